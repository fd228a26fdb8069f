/**
 * A small flow of calls of apps whose tries are tasks of a made-up core, for tests of what is told of
 * them: `APPS` says what each call of it comes to.
 *
 * @module
 */

import type { ManagerEvent } from "../../../manager/core/event.ts";
import type { AppFact } from "../../../manager/core/fact.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { RecordedCore } from "./recorded_run.ts";

type Called = Extract<AppFact, { kind: "app_called" }>;
type Moved = Extract<AppFact, { kind: "app_state" }>;

/** `{name of the call: its id}`; tasks have ids from 1 on. */
export const APPS = {
  align: 101,
  count: 102,
  again: 103,
  broken: 104,
  after: 105,
  joined: 106,
  local: 107,
  stopped: 108,
  pending: 109,
} as const;

/** A core to which calls of apps can happen. */
export class AppCore extends RecordedCore {
  /** Called after each step. */
  onFeed: () => void = () => {};

  override feed(...events: ManagerEvent[]): void {
    super.feed(...events);
    this.onFeed?.();
  }

  calls(callId: number, app: string, more: Partial<Called> = {}): void {
    this.notes({
      kind: "app_called",
      callId: callId as TaskId,
      app,
      appKind: "javascript",
      executor: "tendril",
      dependsOn: [],
      argumentText: "",
      outputs: [],
      isMemoized: false,
      ...more,
    });
  }

  moves(
    callId: number,
    state: Moved["state"],
    number: number,
    more: Partial<Moved> = {},
  ): void {
    this.notes({ kind: "app_state", callId: callId as TaskId, state, try: number, ...more });
  }

  /** A try of the call is a task at `worker`; it ends as `outcome` says. */
  tries(
    callId: number,
    number: number,
    outcome: "success" | "exit" = "success",
  ): TaskId {
    const taskId = this.submits({ appCall: callId as TaskId, category: "apps" });
    this.moves(callId, "launched", number, { taskId, executor: "tendril" });
    this.starts("a", taskId);
    this.finishes("a", taskId, { outcome, message: outcome === "exit" ? "code 3" : "", used: {} });
    return taskId;
  }

  notes(fact: AppFact): void {
    this.feed({ kind: "app_noted", facts: [fact] });
  }
}

/** Runs the flow. */
export function runFlow(core: AppCore): void {
  const id = (name: keyof typeof APPS) => APPS[name] as TaskId;
  core.joins("a", { cores: 4 });
  core.calls(APPS.align, "align", {
    appKind: "command",
    argumentText: '"reads/a.fq", index',
    outputs: ["sam"],
    label: "first",
    stdout: "/data/align.txt",
    isMemoized: true,
  });
  core.calls(APPS.count, "count", {
    appKind: "python",
    dependsOn: [id("align")],
    argumentText: "align.sam",
  });
  core.calls(APPS.again, "count", { appKind: "python", isMemoized: true });
  core.calls(APPS.broken, "broken", { argumentText: "1, <b>2</b>" });
  core.calls(APPS.after, "total", { dependsOn: [id("broken"), id("count")] });
  core.tries(APPS.align, 1);
  core.moves(APPS.align, "exec_done", 1, { memoKey: "abc123", host: "host of a" });
  core.tries(APPS.count, 1, "exit");
  core.moves(APPS.count, "fail_retryable", 1, { message: "code 3", failCost: 0.5 });
  core.moves(APPS.count, "pending", 1);
  core.tries(APPS.count, 2);
  core.moves(APPS.count, "exec_done", 2);
  core.moves(APPS.again, "memo_done", 0, { memoKey: "def456" });
  core.tries(APPS.broken, 1, "exit");
  core.moves(APPS.broken, "failed", 1, { message: "Error: no <such> thing", failCost: 1 });
  core.moves(APPS.after, "dep_fail", 0, { message: 'call 104 of app "broken": Error: no' });
  core.calls(APPS.joined, "both", { appKind: "join", executor: "" });
  core.moves(APPS.joined, "launched", 0);
  core.moves(APPS.joined, "joining", 0, { joins: [id("align"), id("again")] });
  core.moves(APPS.joined, "exec_done", 0);
  core.calls(APPS.local, "plot", { executor: "local", dependsOn: [id("joined")] });
  core.moves(APPS.local, "launched", 1, { executor: "local", host: "here" });
  core.moves(APPS.local, "running", 1);
  core.moves(APPS.local, "exec_done", 1);
  core.calls(APPS.stopped, "count", { appKind: "python" });
  core.moves(APPS.stopped, "cancelled", 0, { message: "cancelled" });
  core.calls(APPS.pending, "count", { appKind: "python", dependsOn: [id("local")] });
}
