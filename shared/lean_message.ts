/**
 * Messages as they travel: fields at their usual value stay off the wire, as half of what a call
 * costs is the keys of its maps. `message_shapes.ts` fills them in again.
 *
 * @module
 */

import type { DispatchedTask, ManagerMessage, WorkerMessage } from "./protocol.ts";
import type { TryResult } from "./task.ts";

/** The message without what the worker fills in. */
export function leanManagerMessage(message: ManagerMessage): ManagerMessage {
  if (message.kind !== "dispatch") return message;
  return { ...message, tasks: message.tasks.map(leanTask) };
}

/** The message without what the manager fills in. */
export function leanWorkerMessage(message: WorkerMessage): WorkerMessage {
  return message.kind === "result" ? { ...message, result: leanResult(message.result) } : message;
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
