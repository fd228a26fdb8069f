/**
 * How calls of apps stand, counted as facts tell of them: for the status, the progress line and the
 * metrics. Only calls that have not ended are remembered; the records have all of them.
 *
 * @module
 */

import type { TaskId } from "../shared/ids.ts";
import type { AppFact, AppState, Fact } from "./core/fact.ts";
import { APP_STATES, type AppRow } from "./dashboard/call_api.ts";
import { seriesByName } from "./monitoring/metric_names.ts";

/** A call of an app that a task is a try of. */
export interface TriedCall {
  readonly callId: TaskId;
  readonly app: string;
}

/** Calls of one app that came to one state so far, however they stand now. */
export interface EnteredCount {
  readonly app: string;
  readonly state: AppState;
  readonly count: number;
}

/** The calls of one app, or of all beyond the first few. */
interface Series {
  readonly app: string;
  calls: number;
  /** By index in `APP_STATES`: how many are there now, and how many came there. */
  readonly now: number[];
  readonly entered: number[];
}

/** A call that has not ended. */
interface PendingCall extends TriedCall {
  readonly series: Series;
  state: AppState;
  /** The task that is its try, if that is one. */
  taskId: TaskId | undefined;
}

type StateFact = Extract<AppFact, { readonly kind: "app_state" }>;

/** `{state: its index in APP_STATES}`: a call enters several, and each is counted twice. */
const STATE_INDEX = Object.fromEntries(
  APP_STATES.map((state, index) => [state, index]),
) as { readonly [State in AppState]: number };

/** The calls of apps of one manager. */
export class AppLedger {
  readonly #onTry: (taskId: TaskId, call: TriedCall) => void;
  readonly #calls: Map<TaskId, PendingCall> = new Map();
  /** `{task that is a try: its call}` */
  readonly #tries: Map<TaskId, PendingCall> = new Map();
  readonly #series: Series[] = [];
  readonly #seriesOf: (app: string) => Series = seriesByName((app) => {
    const [now, entered] = [APP_STATES.map(() => 0), APP_STATES.map(() => 0)];
    const series: Series = { app, calls: 0, now, entered };
    this.#series.push(series);
    return series;
  });

  /** `onTry` is told which call a task is a try of. */
  constructor(onTry: (taskId: TaskId, call: TriedCall) => void = () => {}) {
    this.#onTry = onTry;
  }

  /** How the calls of each app stand; undefined when none was called. */
  get rows(): readonly AppRow[] | undefined {
    if (this.#series.length === 0) return undefined;
    return this.#series.map(({ app, calls, now }) => {
      const told = APP_STATES.flatMap((state, index) => {
        const count = now[index] ?? 0;
        return count === 0 ? [] : [[state, count] as const];
      });
      return { app, calls, states: Object.fromEntries(told) };
    });
  }

  /** How often calls came to each state that any has come to. */
  get entered(): readonly EnteredCount[] {
    return this.#series.flatMap(({ app, entered }) =>
      APP_STATES.flatMap((state, index) => {
        const count = entered[index] ?? 0;
        return count === 0 ? [] : [{ app, state, count }];
      })
    );
  }

  /** Counts what became true. */
  hear(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.kind === "app_state") this.#move(fact);
      else if (fact.kind === "app_called") this.#call(fact.callId, fact.app);
      else if (fact.kind === "try_started" && this.#tries.size > 0) this.#run(fact.taskId);
    }
  }

  #call(callId: TaskId, app: string): void {
    const series = this.#seriesOf(app);
    series.calls += 1;
    this.#calls.set(callId, { callId, app, series, state: "pending", taskId: undefined });
    enter(series, "pending");
  }

  #move({ callId, state, taskId }: StateFact): void {
    const call = this.#calls.get(callId);
    if (call === undefined || call.state === state) return;
    this.#enter(call, state);
    if (state === "running" || state === "joining") return;
    if (call.taskId !== undefined) this.#tries.delete(call.taskId);
    call.taskId = taskId;
    if (state === "launched") {
      if (taskId === undefined) return;
      this.#tries.set(taskId, call);
      this.#onTry(taskId, { callId, app: call.app });
    } else if (state !== "pending" && state !== "fail_retryable") this.#calls.delete(callId);
  }

  /** Short tries are told of only when they end. */
  #run(taskId: TaskId): void {
    const call = this.#tries.get(taskId);
    if (call?.state === "launched") this.#enter(call, "running");
  }

  #enter(call: PendingCall, state: AppState): void {
    const { now } = call.series;
    const left = STATE_INDEX[call.state];
    now[left] = (now[left] ?? 1) - 1;
    call.state = state;
    enter(call.series, state);
  }
}

function enter({ now, entered }: Series, state: AppState): void {
  const index = STATE_INDEX[state];
  now[index] = (now[index] ?? 0) + 1;
  entered[index] = (entered[index] ?? 0) + 1;
}

/** Calls by state, and in all. */
export interface AppTotals {
  readonly calls: number;
  /** Ended, however. */
  readonly ended: number;
  /** Of these, those that failed, or did not run as others had. */
  readonly failed: number;
  /** Of these, those that were answered from memory. */
  readonly memory: number;
  /** Of these, those that were called off. */
  readonly cancelled: number;
  /** Launched, running or joining. */
  readonly active: number;
}

/** Sums up what is told of each app. */
export function appTotals(rows: readonly AppRow[]): AppTotals {
  const sum = (...states: readonly AppState[]): number =>
    rows.reduce((total, row) => {
      return total + states.reduce((count, state) => count + (row.states[state] ?? 0), 0);
    }, 0);
  const failed = sum("failed", "dep_fail");
  const memory = sum("memo_done");
  return {
    calls: rows.reduce((total, { calls }) => total + calls, 0),
    ended: sum("exec_done", "cancelled") + failed + memory,
    failed,
    memory,
    cancelled: sum("cancelled"),
    active: sum("launched", "running", "joining"),
  };
}
