/**
 * Page "Workers": what each has, what of it is given away, and what it did.
 *
 * @module
 */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import type { WorkerRow } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { session } from "./client.ts";
import { amount, bytes, count, plural, shortId } from "./format.ts";
import { HostActions, HostMark, type HostStates, useHosts } from "./host_actions.tsx";
import { Icon } from "./icon.tsx";
import { PageHead, Problem } from "./layout.tsx";
import { changeParams, hrefOf } from "./route.ts";
import { useRun } from "./run.ts";
import { useSorted } from "./sorted.ts";
import { useStore } from "./store.ts";
import { type Column, Table } from "./table.tsx";
import { UseBar } from "./use_bar.tsx";

/** Page "Workers". */
export function Workers({ params }: { readonly params: URLSearchParams }): JSX.Element {
  const { value, error } = useAnswer({ kind: "workers" });
  const states = useHosts();
  const state = useStore(session);
  const canAct = state.kind === "open" && state.info.canAct;
  const isLive = state.kind === "open" && state.info.isLive;
  const search = params.get("q") ?? "";
  const columns = useMemo(() => columnsOf(states, canAct), [states.byHost, canAct]);
  const shown = useMemo(() => matching(value?.rows ?? [], search), [value, search]);
  const { rows, sorting, onSort } = useSorted(shown, columns, {
    key: "state",
    isDescending: false,
  });
  const connected = value?.rows.filter(({ isConnected }) => isConnected) ?? [];
  const ahead = sum(connected, (worker) => worker.committed.cores - coresGiven(worker));
  return (
    <>
      <PageHead title="Workers">
        {value && (
          <p class="soft" role="status">
            {count(connected.length)} of {plural(value.total, "worker")}{" "}
            {isLive ? "connected" : "there at the end"}, {amount(sum(connected, coresGiven))} of
            {" "}
            {amount(sum(connected, ({ cores }) => cores))}{" "}
            cores given away{ahead > 0 && `, ${amount(ahead)} more ahead`}
          </p>
        )}
      </PageHead>
      {error !== undefined && value === undefined && <Problem text={error} />}
      {value && value.rows.length > 0 && <Search text={search} params={params} />}
      {value && (
        <Table
          label="Workers"
          columns={columns}
          total={rows.length}
          rowAt={(index) => rows[index]}
          resetKey={`${search} ${sorting.key} ${sorting.isDescending}`}
          hrefOf={({ workerId }) => hrefOf("workers", workerId)}
          sorting={sorting}
          onSort={onSort}
          empty={value.rows.length === 0 ? <NoWorkers /> : <p>No worker matches.</p>}
        />
      )}
    </>
  );
}

/** What to do when there are none. */
function NoWorkers(): JSX.Element {
  const name = useRun()?.name ?? "NAME";
  return (
    <>
      <p>No worker has joined yet. Start one on each node:</p>
      <pre class="command">tendril worker --name {name}</pre>
      <p>
        On a node that does not share your home directory, give it the access file:{" "}
        <code>tendril access --role worker -o worker.json</code>
      </p>
    </>
  );
}

interface SearchProps {
  readonly text: string;
  readonly params: URLSearchParams;
}

function Search({ text, params }: SearchProps): JSX.Element {
  const [typed, setTyped] = useState(text);
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <label class="search">
        <span class="hidden">Search</span>
        <Icon name="search" />
        <input
          type="search"
          placeholder="Search worker, host, feature"
          value={typed}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            changeParams("workers", params, { q: event.currentTarget.value });
          }}
        />
      </label>
    </form>
  );
}

function matching(rows: readonly WorkerRow[], search: string): readonly WorkerRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter(({ workerId, host, features }) => {
    const text = `${workerId} ${host} ${features.join(" ")}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function sum(rows: readonly WorkerRow[], value: (row: WorkerRow) => number): number {
  return rows.reduce((total, row) => total + value(row), 0);
}

/** What is given away beyond that is given ahead: to start as soon as there is room. */
function coresGiven({ committed, cores }: WorkerRow): number {
  return Math.min(committed.cores, cores);
}

/** Is it there, and does it get work? */
export function WorkerMark(
  { worker, states }: {
    readonly worker: Pick<WorkerRow, "isConnected" | "reason" | "host">;
    readonly states: HostStates;
  },
): JSX.Element {
  const state = states.byHost.get(worker.host);
  if (worker.isConnected && state) return <HostMark state={state} />;
  return worker.isConnected
    ? (
      <span class="mark mark-success">
        <Icon name="connected" />
        {states.isLive ? "connected" : "at the end"}
      </span>
    )
    : (
      <span class="mark mark-waiting" title={worker.reason ?? ""}>
        <Icon name="away" />
        gone
      </span>
    );
}

function columnsOf(states: HostStates, canAct: boolean): readonly Column<WorkerRow>[] {
  const sortable = { isSortable: true } as const;
  const columns: readonly Column<WorkerRow>[] = [
    {
      key: "host",
      title: "Worker",
      isNarrow: true,
      ...sortable,
      value: ({ host, workerId }) => `${host} ${workerId}`,
      cell: ({ workerId, host }) => (
        <>
          <span class="name">{host}</span>
          <span class="soft" title={workerId}>{shortId(workerId)}</span>
        </>
      ),
    },
    {
      key: "state",
      title: "State",
      width: 118,
      isNarrow: true,
      ...sortable,
      value: ({ isConnected, host, workerId }) => `${isConnected ? 0 : 1} ${host} ${workerId}`,
      cell: (worker) => <WorkerMark worker={worker} states={states} />,
    },
    useColumn("cores", "Cores given", coresGiven, (row) => row.cores),
    useColumn(
      "memory",
      "Memory given",
      ({ committed, memoryBytes }) => Math.min(committed.memoryBytes, memoryBytes),
      ({ memoryBytes }) => memoryBytes,
      bytes,
    ),
    useColumn("disk", "Cache", (row) => row.cachedBytes, ({ diskBytes }) => diskBytes, bytes),
    numberColumn("running", "Running", 80, (row) => row.running, count, { isNarrow: true }),
    numberColumn("done", "Done", 66, (row) => row.done),
    numberColumn("failed", "Failed", 70, (row) => row.failed),
    numberColumn("instances", "Libraries", 88, (row) => row.instances),
    numberColumn("received", "Received", 90, (row) => row.receivedBytes, bytes, { isExtra: true }),
    numberColumn("sent", "Sent", 84, (row) => row.sentBytes, bytes, { isExtra: true }),
  ];
  if (!canAct) return columns;
  return [...columns, {
    key: "actions",
    title: "",
    width: 140,
    cell: ({ host, isConnected }) => isConnected && <HostActions host={host} states={states} />,
  }];
}

function useColumn(
  key: string,
  title: string,
  used: (row: WorkerRow) => number,
  whole: (row: WorkerRow) => number,
  show: (value: number) => string = amount,
): Column<WorkerRow> {
  return {
    key,
    title,
    width: 132,
    isSortable: true,
    value: (row) => used(row) / Math.max(1, whole(row)),
    cell: (row) => (
      <span class="with-bar">
        <span title={`${show(used(row))} of ${show(whole(row))}`}>
          {show(used(row))} <span class="soft">/ {show(whole(row))}</span>
        </span>
        <UseBar used={used(row)} of={whole(row)} />
      </span>
    ),
  };
}

function numberColumn(
  key: string,
  title: string,
  width: number,
  value: (row: WorkerRow) => number,
  show: (value: number) => string = count,
  room: Pick<Column<WorkerRow>, "isNarrow" | "isExtra"> = {},
): Column<WorkerRow> {
  return {
    key,
    title,
    width,
    isNumber: true,
    isSortable: true,
    ...room,
    value,
    cell: (row) => show(value(row)),
  };
}
