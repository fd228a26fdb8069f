/**
 * Page of one worker: what it has, runs, holds, and when it was there.
 *
 * @module
 */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import type { Committed, WorkerDetail } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { bytes, duration, instant, plural, UNKNOWN } from "./format.ts";
import { HostActions, useHosts } from "./host_actions.tsx";
import { Facts, PageHead, Partial, Problem } from "./layout.tsx";
import { type ResourceRow, resourceRows, ResourceTable } from "./resource_table.tsx";
import { hrefOf } from "./route.ts";
import { nowOf, useRun } from "./run.ts";
import { useSorted } from "./sorted.ts";
import { type Column, Table } from "./table.tsx";
import { taskColumns } from "./task_table.tsx";
import { WorkerMark } from "./workers.tsx";

/** Rows in sight of the lists. */
const ROWS_IN_SIGHT = 10;

type CachedFile = WorkerDetail["cache"][number];
type Instance = WorkerDetail["libraries"][number];

/** Page of one worker. */
export function Worker({ id }: { readonly id: string }): JSX.Element {
  const { value, error } = useAnswer({ kind: "worker", workerId: id });
  const states = useHosts();
  const nowMs = nowOf(useRun());
  if (value === null) return <Problem text={`There is no worker "${id}" in this run`} />;
  if (error !== undefined && value === undefined) return <Problem text={error} />;
  if (value === undefined) return <PageHead title={`Worker ${id}`} />;
  return (
    <>
      <PageHead
        title={
          <>
            <span class="soft">Worker</span> {value.host}
          </>
        }
      >
        <WorkerMark worker={value} states={states} />
        {value.isConnected && <HostActions host={value.host} states={states} />}
      </PageHead>
      {value.isPartial && <Partial />}
      <div class="grid">
        <Capacity worker={value} />
        <About worker={value} />
        <Running worker={value} nowMs={nowMs} />
        <Cache worker={value} nowMs={nowMs} />
        <Libraries worker={value} nowMs={nowMs} />
        <Sessions worker={value} nowMs={nowMs} />
      </div>
    </>
  );
}

interface PartProps {
  readonly worker: WorkerDetail;
  readonly nowMs: number | undefined;
}

function Capacity({ worker }: { readonly worker: WorkerDetail }): JSX.Element {
  const { cachedBytes, diskBytes } = worker;
  const cache: ResourceRow = {
    name: "Cache",
    show: bytes,
    values: [cachedBytes, diskBytes],
    used: cachedBytes,
    of: diskBytes,
  };
  const part = (key: keyof Committed): number => Math.min(worker.committed[key], worker[key]);
  const given: Committed = {
    cores: part("cores"),
    memoryBytes: part("memoryBytes"),
    diskBytes: part("diskBytes"),
    gpus: part("gpus"),
  };
  const aheadCores = worker.committed.cores - given.cores;
  const rows = resourceRows({ values: [given, worker], used: given, of: worker });
  return (
    <section class="card">
      <h2>Given away</h2>
      <ResourceTable heads={["Given", "Has"]} barHead="Part" rows={[...rows, cache]} />
      {aheadCores > 0 && (
        <p class="soft">
          Tasks for {plural(aheadCores, "more core")}{" "}
          are there ahead, to start as soon as there is room.
        </p>
      )}
    </section>
  );
}

function About({ worker }: { readonly worker: WorkerDetail }): JSX.Element {
  const params = new URLSearchParams({ worker: worker.workerId });
  return (
    <section class="card">
      <h2>About</h2>
      <Facts
        rows={[
          ["Name", worker.workerId],
          ["Process", worker.pid],
          ["Address", worker.address ?? UNKNOWN],
          ["Features", worker.features.join(", ") || "none"],
          [
            "Tasks",
            <a key="tasks" href={hrefOf("tasks", undefined, params)}>
              {plural(worker.done, "try", "tries")} ended well, {worker.failed} did not
            </a>,
          ],
          ["Received", bytes(worker.receivedBytes)],
          ["Sent", bytes(worker.sentBytes)],
        ]}
      />
    </section>
  );
}

function Running({ worker, nowMs }: PartProps): JSX.Element {
  const columns = useMemo(() => {
    return taskColumns(nowMs).filter(({ key }) => key !== "host").map((column) => ({
      ...column,
      isSortable: false,
    }));
  }, [nowMs]);
  const { runningTasks } = worker;
  return (
    <section class="card span-2 bare">
      <h2>Running tasks</h2>
      <Table
        label="Running tasks"
        columns={columns}
        total={runningTasks.length}
        rowAt={(index) => runningTasks[index]}
        hrefOf={({ taskId }) => hrefOf("tasks", taskId)}
        rowsMax={ROWS_IN_SIGHT}
        empty="It runs no task."
      />
    </section>
  );
}

function Cache({ worker, nowMs }: PartProps): JSX.Element {
  const columns = useMemo(() => cacheColumns(nowMs), [nowMs]);
  const { rows, sorting, onSort } = useSorted(worker.cache, columns, {
    key: "size",
    isDescending: true,
  });
  return (
    <section class="card span-2 bare">
      <h2>
        Cache{" "}
        <span class="soft">{plural(worker.replicas, "file")}, {bytes(worker.cachedBytes)}</span>
      </h2>
      <Table
        label="Cached files"
        columns={columns}
        total={rows.length}
        rowAt={(index) => rows[index]}
        hrefOf={({ fileId }) => hrefOf("data", fileId)}
        sorting={sorting}
        onSort={onSort}
        rowsMax={ROWS_IN_SIGHT}
        empty="It holds no file."
      />
    </section>
  );
}

function cacheColumns(nowMs: number | undefined): readonly Column<CachedFile>[] {
  return [
    {
      key: "file",
      title: "File",
      width: 110,
      isNumber: true,
      isNarrow: true,
      isSortable: true,
      value: ({ fileId }) => fileId,
      cell: ({ fileId }) => fileId,
    },
    {
      key: "source",
      title: "Source",
      isNarrow: true,
      isSortable: true,
      value: ({ source }) => source,
      cell: ({ source, kind }) => (
        <span title={source ?? ""}>{source ?? <span class="soft">{kind}</span>}</span>
      ),
    },
    {
      key: "kind",
      title: "Kind",
      width: 100,
      isSortable: true,
      value: ({ kind }) => kind,
      cell: ({ kind }) => kind.replaceAll("_", " "),
    },
    {
      key: "level",
      title: "Level",
      width: 100,
      isSortable: true,
      value: ({ level }) => level,
      cell: ({ level }) => level,
    },
    {
      key: "size",
      title: "Size",
      width: 96,
      isNumber: true,
      isNarrow: true,
      isSortable: true,
      value: ({ sizeBytes }) => sizeBytes,
      cell: ({ sizeBytes }) => bytes(sizeBytes),
    },
    {
      key: "since",
      title: "There since",
      width: 170,
      isSortable: true,
      value: ({ readyAtMs }) => readyAtMs,
      cell: ({ readyAtMs }) => instant(readyAtMs, nowMs),
    },
  ];
}

function Libraries({ worker, nowMs }: PartProps): JSX.Element {
  return (
    <section class="card">
      <h2>Libraries</h2>
      {worker.libraries.length === 0
        ? <p class="soft">It runs no library.</p>
        : (
          <div class="scroll-x scroll-y">
            <table class="plain">
              <thead>
                <tr>
                  <th scope="col">Library</th>
                  <th scope="col">State</th>
                  <th scope="col">Started</th>
                  <th scope="col" class="number">Took to start</th>
                </tr>
              </thead>
              <tbody>
                {worker.libraries.map((instance) => (
                  <tr key={instance.instanceId}>
                    <td>
                      {instance.library} <span class="soft">{instance.instanceId}</span>
                    </td>
                    <td>{instance.endedAtMs === null ? instance.state : "ended"}</td>
                    <td>{instant(instance.startingAtMs, nowMs)}</td>
                    <td class="number">{startOf(instance)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
    </section>
  );
}

function startOf({ startingAtMs, readyAtMs }: Instance): string {
  return readyAtMs === null ? UNKNOWN : duration(readyAtMs - startingAtMs);
}

function Sessions({ worker, nowMs }: PartProps): JSX.Element {
  return (
    <section class="card">
      <h2>Sessions</h2>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">Joined</th>
            <th scope="col">Left</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {worker.sessions.map(({ joinedAtMs, leftAtMs, reason }) => (
            <tr key={joinedAtMs}>
              <td>{instant(joinedAtMs, nowMs)}</td>
              <td>{leftAtMs === null ? "still there" : instant(leftAtMs, nowMs)}</td>
              <td class="wrap">{reason ?? ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
