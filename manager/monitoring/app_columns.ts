/**
 * Calls of apps and their states as columns: of a call that does nothing there may be 20,000 a
 * second, each with three states or more.
 *
 * @module
 */

import type { AppFact, AppState } from "../core/fact.ts";
import { APP_STATES } from "../dashboard/call_api.ts";
import type { Growing } from "./call_columns.ts";
import {
  type AppCallDetail,
  type AppSort,
  type AppStateDetail,
  COMMAND_CHARS_MAX,
  DEPENDS_MAX,
  type RecordOf,
} from "./record.ts";

type AppCalled = Extract<AppFact, { kind: "app_called" }>;
type AppStateFact = Extract<AppFact, { kind: "app_state" }>;
type Called = Growing<RecordOf<"apps_called">>;
type States = Growing<RecordOf<"app_states">>;

const STATE_INDEXES: ReadonlyMap<AppState, number> = new Map(
  APP_STATES.map((state, index) => [state, index]),
);

/** What is recorded at once of calls of apps. */
export class AppColumns {
  readonly #epochMs: number;
  #called: Called | undefined;
  #states: States | undefined;
  /** Of the columns: `{app and what else is common: index}`, and the newest of them. */
  readonly #sorts: Map<string, number> = new Map();
  #last: { readonly sort: AppSort; readonly index: number } | undefined;
  readonly #names: Map<string, number> = new Map();

  /** `epochMs` is the instant 0 of facts. */
  constructor(epochMs: number) {
    this.#epochMs = epochMs;
  }

  /** Adds a call. */
  call(atMs: number, fact: AppCalled): void {
    const called = this.#called ??= emptyCalled();
    const { callId, argumentText, dependsOn } = fact;
    called.sort.push(this.#sortIndex(called, fact));
    called.atMs.push(this.#epochMs + atMs);
    called.argumentText.push(cut(argumentText));
    called.dependsOn.push(capped(dependsOn));
    const detail = callDetailOf(fact);
    if (detail !== undefined) called.details.push([called.callId.length, detail]);
    called.callId.push(callId);
  }

  /** Adds a state of a call. */
  move(atMs: number, fact: AppStateFact): void {
    const states = this.#states ??= emptyStates();
    const { callId, state, try: number, taskId = 0, executor = "", host = "" } = fact;
    states.atMs.push(this.#epochMs + atMs);
    states.state.push(STATE_INDEXES.get(state) ?? 0);
    states.try.push(number);
    states.taskId.push(taskId);
    states.executor.push(this.#nameIndex(states, executor));
    states.host.push(this.#nameIndex(states, host));
    const detail = stateDetailOf(fact);
    if (detail !== undefined) states.details.push([states.callId.length, detail]);
    states.callId.push(callId);
  }

  /** The columns so far, after which there are none. */
  take(): { readonly called: Called | undefined; readonly states: States | undefined } {
    const [called, states] = [this.#called, this.#states];
    this.#called = undefined;
    this.#states = undefined;
    this.#last = undefined;
    this.#sorts.clear();
    this.#names.clear();
    return { called, states };
  }

  #sortIndex(called: Called, fact: AppCalled): number {
    const { app, appKind, executor, isMemoized } = fact;
    const last = this.#last?.sort;
    const isLast = last?.app === app && last.executor === executor && last.appKind === appKind &&
      last.isMemoized === isMemoized;
    if (isLast) return this.#last?.index ?? 0;
    const key = `${appKind} ${isMemoized} ${executor}\n${app}`;
    const sort = { app: cut(app), appKind, executor, isMemoized };
    let index = this.#sorts.get(key);
    if (index === undefined) {
      index = called.sorts.push(sort) - 1;
      this.#sorts.set(key, index);
    }
    this.#last = { sort, index };
    return index;
  }

  #nameIndex(states: States, name: string): number {
    if (name === "") return 0;
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const index = states.names.push(name) - 1;
    this.#names.set(name, index);
    return index;
  }
}

function emptyCalled(): Called {
  return {
    kind: "apps_called",
    sorts: [],
    sort: [],
    atMs: [],
    callId: [],
    argumentText: [],
    dependsOn: [],
    details: [],
  };
}

function emptyStates(): States {
  return {
    kind: "app_states",
    atMs: [],
    callId: [],
    state: [],
    try: [],
    taskId: [],
    names: [""],
    executor: [],
    host: [],
    details: [],
  };
}

function callDetailOf(fact: AppCalled): AppCallDetail | undefined {
  const { label, category, outputs, stdout, stderr } = fact;
  const hasMore = label !== undefined || category !== undefined || outputs.length > 0 ||
    stdout !== undefined || stderr !== undefined;
  if (!hasMore) return undefined;
  return {
    ...(label === undefined ? {} : { label: cut(label) }),
    ...(category === undefined ? {} : { category }),
    ...(outputs.length === 0 ? {} : { outputs: capped(outputs) }),
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
  };
}

function stateDetailOf(fact: AppStateFact): AppStateDetail | undefined {
  const { joins, memoKey, message, failCost } = fact;
  const hasMore = joins !== undefined || memoKey !== undefined || message !== undefined ||
    failCost !== undefined;
  if (!hasMore) return undefined;
  return {
    ...(joins === undefined ? {} : { joins: capped(joins) }),
    ...(memoKey === undefined ? {} : { memoKey }),
    ...(message === undefined ? {} : { message: cut(message) }),
    ...(failCost === undefined ? {} : { failCost }),
  };
}

function cut(text: string): string {
  return text.length > COMMAND_CHARS_MAX ? text.slice(0, COMMAND_CHARS_MAX) : text;
}

function capped<Item>(list: readonly Item[]): readonly Item[] {
  return list.length > DEPENDS_MAX ? list.slice(0, DEPENDS_MAX) : list;
}
