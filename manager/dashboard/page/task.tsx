/**
 * Page of one task: what it did, when, with what, and why it waits or failed.
 *
 * @module
 */

import type { ComponentChildren, JSX } from "preact";

import type { MountRow, TaskDetail, TryRow } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { CallLink } from "./call.tsx";
import { amount, bytes, count, duration, instant, plural, shorten, UNKNOWN } from "./format.ts";
import { Facts, PageHead, Partial, Problem } from "./layout.tsx";
import { Output } from "./output.tsx";
import { phasesOf } from "./phases.ts";
import { resourceRows, ResourceTable } from "./resource_table.tsx";
import { hrefOf } from "./route.ts";
import { nowOf, useRun } from "./run.ts";
import { outcomeWords, StateMark } from "./state.tsx";
import { TriesCard } from "./tries_card.tsx";
import { Waiting } from "./waiting.tsx";
import { WorkerLink } from "./worker_link.tsx";

/** Numbers of tasks that read what it makes, shown at first. */
const CONSUMERS_SHOWN = 40;

/** Longest source of a file in a table. */
const SOURCE_LENGTH = 60;

/** Page of one task. */
export function Task({ id }: { readonly id: number }): JSX.Element {
  const isNumber = Number.isSafeInteger(id) && id >= 0;
  const { value, error } = useAnswer(isNumber ? { kind: "task", taskId: id } : undefined);
  const nowMs = nowOf(useRun());
  if (!isNumber || value === null) return <Problem text={`There is no task ${id} in this run`} />;
  if (error !== undefined && value === undefined) return <Problem text={error} />;
  if (value === undefined) return <PageHead title={`Task ${id}`} />;
  return (
    <>
      <PageHead
        title={
          <>
            <span class="soft">Task {id}</span> {value.name}
          </>
        }
      >
        <StateMark state={value.state} outcome={value.outcome} />
      </PageHead>
      {value.isPartial && <Partial />}
      {value.message !== "" && value.outcome !== "success" && <Problem text={value.message} />}
      {value.command !== value.name && <pre class="command wrap">{value.command}</pre>}
      {value.state !== "done" && <Waiting taskId={id} />}
      <div class="grid">
        <Times task={value} nowMs={nowMs ?? value.submittedAtMs} />
        <Resources task={value} />
        <About task={value} />
        <Tries task={value} nowMs={nowMs} />
        <Files
          title="Inputs"
          mounts={value.mounts.filter(({ role }) => role !== "output")}
          empty="It reads no files."
        />
        <Files
          title="Outputs"
          mounts={value.mounts.filter(({ role }) => role === "output")}
          empty="It makes no files."
        >
          <Consumers consumers={value.consumers} />
        </Files>
        <Output task={value} />
      </div>
    </>
  );
}

function Times(
  { task, nowMs }: { readonly task: TaskDetail; readonly nowMs: number },
): JSX.Element {
  const phases = phasesOf(task, nowMs);
  const total = Math.max(1, phases.reduce((sum, { ms }) => sum + ms, 0));
  const words = {
    waiting: "waiting",
    staging: "staging",
    running: "running",
    after: "retrieving",
  };
  return (
    <section class="card">
      <h2>Times</h2>
      <div class="phases" aria-hidden="true">
        {phases.map(({ name, ms }) => (
          <i key={name} class={`phase-${name}`} style={{ width: `${ms / total * 100}%` }} />
        ))}
      </div>
      <p class="legend">
        {phases.map(({ name, ms }) => (
          <span key={name} class="legend-entry">
            <i class={`swatch phase-${name}`} />
            {words[name]} <b>{duration(ms)}</b>
          </span>
        ))}
      </p>
      <Facts
        rows={[
          ["Submitted", instant(task.submittedAtMs)],
          ["Dispatched", instant(task.dispatchedAtMs, task.submittedAtMs)],
          ["Started", instant(task.startedAtMs, task.submittedAtMs)],
          ["Ended", instant(task.endedAtMs, task.submittedAtMs)],
          ["Ran", duration(task.ranMs)],
        ]}
      />
    </section>
  );
}

function Resources({ task }: { readonly task: TaskDetail }): JSX.Element {
  const { requested, allocated, used } = task;
  return (
    <section class="card">
      <h2>Resources</h2>
      <ResourceTable
        heads={["Asked", "Given", "Used"]}
        barHead="Used of what was given"
        rows={resourceRows({ values: [requested, allocated, used], used, of: allocated })}
      />
      <p class="soft">
        {used.cpuMs !== null && `${duration(used.cpuMs)} of processor time. `}
        {used.processCount !== null &&
          `${plural(used.processCount, "process", "processes")} at most.`}
      </p>
    </section>
  );
}

function About({ task }: { readonly task: TaskDetail }): JSX.Element {
  const rows: [string, ComponentChildren][] = [
    [
      "Kind",
      task.kind === "call" ? `call of ${task.function} in library ${task.library}` : "command",
    ],
    ["Category", task.category || UNKNOWN],
  ];
  if (task.appCallId !== null) rows.push(["A try of", <CallLink key="call" id={task.appCallId} />]);
  if (task.tag !== null) rows.push(["Tag", task.tag]);
  rows.push([
    "Worker",
    task.workerId === null ? UNKNOWN : (
      <>
        <WorkerLink workerId={task.workerId} /> on {task.host}
      </>
    ),
  ]);
  rows.push(["Priority", amount(task.priority)]);
  if (task.exitCode !== null) rows.push(["Exit code", task.exitCode]);
  if (task.signal !== null) rows.push(["Signal", task.signal]);
  if (task.mount !== null) rows.push(["File at fault", task.mount]);
  if (task.recoveryCount > 0) rows.push(["Run again for lost files", count(task.recoveryCount)]);
  if (task.kind === "call") {
    rows.push(["Arguments", bytes(task.argumentBytes)], ["Value", bytes(task.valueBytes)]);
  }
  return (
    <section class="card">
      <h2>About</h2>
      <Facts rows={rows} />
    </section>
  );
}

interface TriesProps {
  readonly task: TaskDetail;
  readonly nowMs: number | undefined;
}

function Tries({ task: { tries, state }, nowMs }: TriesProps): JSX.Element {
  return (
    <TriesCard
      columns={["Outcome", "Worker", "Dispatched"]}
      nothing={state === "done"
        ? "It was given to no worker."
        : "It was not given to a worker yet."}
      rows={tries.map((attempt) => (
        <tr key={attempt.try}>
          <td class="number">{attempt.try}</td>
          <td class="wrap">
            {attempt.outcome === null
              ? (attempt.startedAtMs === null ? "staging" : "running")
              : outcomeWords(attempt.outcome)}
            {attempt.isRecovery && ", for a lost file"}
            {attempt.message !== null && attempt.message !== "" && (
              <span class="soft">: {attempt.message}</span>
            )}
          </td>
          <td>
            <WorkerLink workerId={attempt.workerId} /> <span class="soft">{attempt.host}</span>
          </td>
          <td>{instant(attempt.dispatchedAtMs, nowMs)}</td>
          <td class="number">{tookOf(attempt, nowMs)}</td>
        </tr>
      ))}
    />
  );
}

function tookOf({ dispatchedAtMs, endedAtMs }: TryRow, nowMs: number | undefined): string {
  const end = endedAtMs ?? nowMs;
  return end === undefined ? UNKNOWN : duration(end - dispatchedAtMs);
}

interface FilesProps {
  readonly title: string;
  readonly mounts: readonly MountRow[];
  readonly empty: string;
  readonly children?: ComponentChildren;
}

function Files({ title, mounts, empty, children }: FilesProps): JSX.Element {
  return (
    <section class="card">
      <h2>{title}</h2>
      {mounts.length === 0 ? <p class="soft">{empty}</p> : (
        <div class="scroll-x scroll-y">
          <table class="plain">
            <thead>
              <tr>
                <th scope="col">Mount</th>
                <th scope="col">File</th>
                <th scope="col" class="number">Size</th>
                {title === "Inputs" && <th scope="col" class="number">Made by</th>}
              </tr>
            </thead>
            <tbody>
              {mounts.map((mount) => (
                <tr key={`${mount.mount} ${mount.fileId}`}>
                  <td>
                    {mount.mount}
                    {mount.role === "environment" && <span class="soft">environment</span>}
                  </td>
                  <td class="wrap">
                    <a href={hrefOf("data", mount.fileId)} title={mount.source ?? ""}>
                      {mount.kind} {mount.fileId}
                    </a>{" "}
                    <span class="soft">{shorten(mount.source ?? "", SOURCE_LENGTH)}</span>
                  </td>
                  <td class="number">{bytes(mount.sizeBytes)}</td>
                  {title === "Inputs" && (
                    <td class="number">
                      {mount.producerTaskId !== null && <TaskLink id={mount.producerTaskId} />}
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {children}
    </section>
  );
}

function TaskLink({ id }: { readonly id: number }): JSX.Element {
  return <a href={hrefOf("tasks", id)}>task {id}</a>;
}

function Consumers({ consumers }: { readonly consumers: readonly number[] }): JSX.Element | null {
  if (consumers.length === 0) return null;
  const rest = consumers.length - CONSUMERS_SHOWN;
  return (
    <p class="consumers">
      Read by {consumers.slice(0, CONSUMERS_SHOWN).map((id) => (
        <span key={id}>
          <TaskLink id={id} />
          {" "}
        </span>
      ))}
      {rest > 0 && <span class="soft">and {plural(rest, "more", "more")}</span>}
    </p>
  );
}
