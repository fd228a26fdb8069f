/** What the kernel knows of one call of an app. */

import type { AppState } from "../core/fact.ts";
import type { TaskId } from "../../shared/ids.ts";
import type { TaskHandle } from "../task_handle.ts";
import type { FailedCall } from "./app_error.ts";
import { argumentText } from "./call_text.ts";
import type { MadeCommand } from "./command.ts";
import type { RunningTry, TryFailure } from "./executor.ts";
import type { PlacedFile } from "./placed_file.ts";
import type { Recipe } from "./recipe.ts";
import type { StoredValue } from "./stored_value.ts";
import type { StreamPlaces } from "./stream_option.ts";

/** How a call ended. */
export type CallEnd =
  | {
    readonly kind: "done";
    readonly value: StoredValue;
    readonly outputs: { readonly [name: string]: PlacedFile };
  }
  | { readonly kind: "failed"; readonly error: Error };

const NO_ARGUMENTS: readonly unknown[] = Object.freeze([]);

/** One call, from its making until nobody holds its future. */
export interface CallRecord {
  readonly id: TaskId;
  readonly recipe: Recipe;
  /** As they were given; emptied once the call has ended, so that they can go. */
  args: readonly unknown[];
  state: AppState;
  /** What it depends on that has not ended. */
  waitingCount: number;
  /** False of arguments that can be given to an executor as they are. */
  hasReferences: boolean;
  /** Promises among its arguments that are no futures of ours. */
  promised: Promised | undefined;
  /** Where what it writes goes; undefined where nobody has asked. */
  readonly streams: StreamPlaces | undefined;
  /** Calls that depend on it, each once. */
  consumers: CallRecord[] | undefined;
  /** Told once it has ended. */
  listeners: (() => void)[] | undefined;
  /** Under which its result is remembered; undefined before that is looked for, or if it is not. */
  memoKey: string | undefined;
  /** True of one that runs because what was remembered of another one is lost. */
  readonly isAgain: boolean;
  /** Number of the last try, 0 before the first. */
  try: number;
  failCost: number;
  /** Of its tries, the newest at the end. */
  failures: TryFailure[] | undefined;
  /** Of a command app, once its function has made it. */
  command: MadeCommand | undefined;
  running: RunningTry | undefined;
  /** The task of the manager that its newest try is, or was. */
  task: TaskHandle<unknown> | undefined;
  /** Calls that the function of a join has made, and which end with it when it is cancelled. */
  made: CallRecord[] | undefined;
  /** Ends a pause before a try, or whatever it waits for beside its dependencies. */
  abort: (() => void) | undefined;
  end: CallEnd | undefined;
  /** The arguments of a call that has failed, as text. */
  text: string | undefined;
}

/** What is awaited of any promises; what they hold on to is this, and not the call. */
export interface Promised {
  /** Undefined once it has ended. */
  call: CallRecord | undefined;
  /** `{promise: what it gave}` */
  readonly values: Map<object, unknown>;
}

/** A call that waits. */
export function newCall(
  own: Pick<CallRecord, "id" | "recipe" | "args" | "streams" | "isAgain">,
): CallRecord {
  const { id, recipe, args, streams, isAgain } = own;
  return {
    id,
    recipe,
    args,
    streams,
    isAgain,
    state: "pending",
    waitingCount: 0,
    hasReferences: false,
    promised: undefined,
    memoKey: undefined,
    consumers: undefined,
    listeners: undefined,
    try: 0,
    failCost: 0,
    failures: undefined,
    command: undefined,
    running: undefined,
    task: undefined,
    made: undefined,
    abort: undefined,
    end: undefined,
    text: undefined,
  };
}

/** Lets go of what a call needs no more once it has ended. */
export function freeCall(call: CallRecord): void {
  if (call.promised !== undefined) call.promised.call = undefined;
  call.promised = undefined;
  call.running = undefined;
  call.made = undefined;
  call.abort = undefined;
  call.failures = undefined;
  call.command = undefined;
  if (call.end?.kind === "failed") call.text = argumentText(call.args);
  call.args = NO_ARGUMENTS;
}

/** How messages name a call. */
export function failedCallOf({ id, recipe, args, text }: CallRecord): FailedCall {
  return { callId: id, app: recipe.name, call: `${recipe.name}(${text ?? argumentText(args)})` };
}

/** True of a call that is over. */
export function hasEnded(call: CallRecord): boolean {
  return call.end !== undefined;
}

/** The value of a call that succeeded. */
export function valueOf({ end, id }: CallRecord): StoredValue {
  if (end?.kind !== "done") throw new Error(`Cannot read the value of call ${id}: it has none`);
  return end.value;
}

/** An output of a call that succeeded. */
export function outputOf({ end, id }: CallRecord, name: string): PlacedFile {
  if (end?.kind === "failed") throw end.error;
  const file = end?.outputs[name];
  if (file === undefined) throw new Error(`Cannot find output "${name}" of call ${id}`);
  return file;
}
