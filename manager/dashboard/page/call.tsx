/**
 * Page of one call of an app: its arguments, what it waited for, its tries, and why it failed.
 *
 * @module
 */

import type { ComponentChildren, JSX } from "preact";

import type { CallDetail } from "../call_api.ts";
import { useAnswer } from "./answer.ts";
import { CallMark } from "./call_state.tsx";
import { tookOf } from "./call_table.tsx";
import { amount, duration, instant, plural, UNKNOWN } from "./format.ts";
import { Facts, PageHead, Partial, Problem } from "./layout.tsx";
import { hrefOf } from "./route.ts";
import { nowOf, useRun } from "./run.ts";
import { TriesCard } from "./tries_card.tsx";

/** Numbers of calls shown at first. */
const CALLS_SHOWN = 60;

/** Page of one call. */
export function Call({ id }: { readonly id: number }): JSX.Element {
  const isNumber = Number.isSafeInteger(id) && id >= 0;
  const { value, error } = useAnswer(isNumber ? { kind: "call", callId: id } : undefined);
  const nowMs = nowOf(useRun());
  if (!isNumber || value === null) return <Problem text={`There is no call ${id} in this run`} />;
  if (error !== undefined && value === undefined) return <Problem text={error} />;
  if (value === undefined) return <PageHead title={`Call ${id}`} />;
  return (
    <>
      <PageHead
        title={
          <>
            <span class="soft">Call {id}</span> {value.app}
          </>
        }
      >
        <CallMark state={value.state} />
      </PageHead>
      {value.isPartial && <Partial />}
      {value.message !== "" && <Problem text={value.message} />}
      <pre class="command wrap">{value.app}({value.argumentText})</pre>
      <div class="grid">
        <About call={value} nowMs={nowMs} />
        {value.causes.length > 0 && <Causes causes={value.causes} />}
        <Related call={value} />
        <Tries call={value} nowMs={nowMs} />
      </div>
    </>
  );
}

interface CallProps {
  readonly call: CallDetail;
  readonly nowMs: number | undefined;
}

function About({ call, nowMs }: CallProps): JSX.Element {
  const rows: [string, ComponentChildren][] = [
    [
      "App",
      <a key="app" href={hrefOf("calls", undefined, new URLSearchParams({ app: call.app }))}>
        {call.app}
      </a>,
    ],
    ["Kind", call.appKind],
  ];
  if (call.label !== null) rows.push(["Label", call.label]);
  if (call.category !== null) rows.push(["Category", call.category]);
  rows.push(["Executor", call.executor === "" ? "this script" : call.executor]);
  if (call.host !== null) rows.push(["Host", call.host]);
  rows.push(
    ["Called", instant(call.calledAtMs)],
    ["Launched", instant(call.launchedAtMs, call.calledAtMs)],
    ["Ended", instant(call.endedAtMs, call.calledAtMs)],
    ["Took", tookOf(call, nowMs)],
  );
  rows.push(["Memory", memoryWords(call)]);
  if (call.failCost > 0) rows.push(["Cost of failures", amount(call.failCost)]);
  if (call.outputs.length > 0) rows.push(["Outputs", call.outputs.join(", ")]);
  if (call.stdout !== null) rows.push(["Standard output", call.stdout]);
  if (call.stderr !== null) rows.push(["Standard error", call.stderr]);
  return (
    <section class="card">
      <h2>About</h2>
      <Facts rows={rows} />
    </section>
  );
}

function memoryWords({ state, memoKey, isMemoized }: CallDetail): ComponentChildren {
  if (!isMemoized && memoKey === null) return "not used";
  const used = state === "memo_done" ? "answered from memory" : "remembered";
  return memoKey === null ? used : (
    <>
      {used} as <code class="wrap">{memoKey}</code>
    </>
  );
}

function Causes({ causes }: Pick<CallDetail, "causes">): JSX.Element {
  return (
    <section class="card">
      <h2>Why</h2>
      <ol class="causes">
        {causes.map(({ callId, app, message }) => (
          <li key={callId} class="wrap">
            <CallLink id={callId} /> {app}
            {message !== "" && <span class="soft">: {message}</span>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Related({ call: { depends, joins } }: Pick<CallProps, "call">): JSX.Element {
  return (
    <section class="card">
      <h2>Waits for</h2>
      {depends.length + joins.length === 0 ? <p class="soft">It waits for no other call.</p> : (
        <>
          <CallList words="Its arguments are of" ids={depends} />
          <CallList words="It returned what is made by" ids={joins} />
        </>
      )}
    </section>
  );
}

function CallList(
  { words, ids }: { readonly words: string; readonly ids: readonly number[] },
): JSX.Element | null {
  if (ids.length === 0) return null;
  const rest = ids.length - CALLS_SHOWN;
  return (
    <p class="consumers">
      {words} {ids.slice(0, CALLS_SHOWN).map((id) => (
        <span key={id}>
          <CallLink id={id} />
          {" "}
        </span>
      ))}
      {rest > 0 && <span class="soft">and {plural(rest, "more", "more")}</span>}
    </p>
  );
}

function Tries({ call: { tries, state }, nowMs }: CallProps): JSX.Element {
  return (
    <TriesCard
      columns={["Executor", "Task", "Launched"]}
      nothing={state === "pending" ? "It was not launched yet." : "Nothing of it ran."}
      rows={tries.map((one) => (
        <tr key={one.try}>
          <td class="number">{one.try}</td>
          <td class="wrap">
            {one.executor} <span class="soft">{one.host}</span>
            {one.message !== null && <span class="soft">: {one.message}</span>}
          </td>
          <td>
            {one.taskId === null
              ? UNKNOWN
              : <a href={hrefOf("tasks", one.taskId)}>task {one.taskId}</a>}
          </td>
          <td>{instant(one.launchedAtMs, nowMs)}</td>
          <td class="number">
            {duration((one.endedAtMs ?? nowMs ?? one.launchedAtMs) - one.launchedAtMs)}
          </td>
        </tr>
      ))}
    />
  );
}

/** Leads to the page of a call. */
export function CallLink({ id }: { readonly id: number }): JSX.Element {
  return <a href={hrefOf("calls", id)}>call {id}</a>;
}
