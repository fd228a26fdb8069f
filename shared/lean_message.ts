/**
 * Messages as they travel: fields at their usual value stay off the wire, and what there is most
 * of goes in columns, as half of what a call costs is the keys of its maps. `message_shapes.ts` fills
 * them in again, and unpacks them.
 *
 * @module
 */

import {
  isPlainCall,
  isPlainResult,
  packCalls,
  packResults,
  packTries,
  type TryColumns,
} from "./column.ts";
import type { DispatchedTask, ManagerMessage, WorkerMessage } from "./protocol.ts";
import type { TryId, TryResult } from "./task.ts";

/** A message as it goes into a frame; what it is without its shape nobody reads. */
interface LeanMessage {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** A list as short as this is as good as columns. */
const LIST_LENGTH_MAX = 1;

/** Results of one message at most: steps of the manager are bounded by messages. */
const RESULTS_MAX = 64;

/** The messages without what the worker fills in. */
export function leanManagerMessages(messages: readonly ManagerMessage[]): ManagerMessage[] {
  const lean: LeanMessage[] = messages.map(leanManagerMessage);
  // The other side makes of them what they were.
  return lean as unknown[] as ManagerMessage[];
}

/** The messages without what the manager fills in; results that follow one another are one. */
export function leanWorkerMessages(messages: readonly WorkerMessage[]): WorkerMessage[] {
  const lean: LeanMessage[] = [];
  let plain: (TryResult & { readonly value: Uint8Array })[] = [];
  const flush = (): void => {
    const [first] = plain;
    if (first === undefined) return;
    if (plain.length <= LIST_LENGTH_MAX) lean.push({ kind: "result", result: leanResult(first) });
    else lean.push({ kind: "results", results: packResults(plain) });
    plain = [];
  };
  for (const message of messages) {
    if (message.kind === "result" && isPlainResult(message.result)) {
      plain.push(message.result);
      if (plain.length >= RESULTS_MAX) flush();
      continue;
    }
    flush();
    lean.push(leanWorkerMessage(message));
  }
  flush();
  // The other side makes of them what they were.
  return lean as unknown[] as WorkerMessage[];
}

function leanManagerMessage(message: ManagerMessage): LeanMessage {
  if (message.kind === "result_ack") return { ...message, tries: leanTries(message.tries) };
  if (message.kind !== "dispatch") return message;
  const plain = message.tasks.filter(isPlainCall);
  if (plain.length <= LIST_LENGTH_MAX) return { ...message, tasks: message.tasks.map(leanTask) };
  const others = plain.length === message.tasks.length
    ? []
    : message.tasks.filter((task) => !isPlainCall(task)).map(leanTask);
  return { ...message, tasks: { calls: packCalls(plain), others } };
}

function leanWorkerMessage(message: WorkerMessage): LeanMessage {
  if (message.kind === "tries_started") return { ...message, tries: leanTries(message.tries) };
  return message.kind === "result" ? { ...message, result: leanResult(message.result) } : message;
}

function leanTries(tries: readonly TryId[]): readonly TryId[] | TryColumns {
  return tries.length <= LIST_LENGTH_MAX ? tries : packTries(tries);
}

function leanTask(task: DispatchedTask): DispatchedTask {
  const { priority, inputs, outputs, ...rest } = task;
  const lean: { -readonly [Key in keyof DispatchedTask]?: DispatchedTask[Key] } = rest;
  if (priority !== 0) lean.priority = priority;
  if (inputs.length > 0) lean.inputs = inputs;
  if (outputs.length > 0) lean.outputs = outputs;
  // The other side fills in what is left out here.
  return lean as DispatchedTask;
}

function leanResult(result: TryResult): TryResult {
  const { message, stdout, stderr, outputs, ...rest } = result;
  const lean: { -readonly [Key in keyof TryResult]?: TryResult[Key] } = rest;
  if (message !== "") lean.message = message;
  if (stdout.length > 0) lean.stdout = stdout;
  if (stderr.length > 0) lean.stderr = stderr;
  if (outputs.length > 0) lean.outputs = outputs;
  // The other side fills in what is left out here.
  return lean as TryResult;
}
