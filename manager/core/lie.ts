/**
 * What no honest worker says, whatever broke: numbers that nobody gave it, files that cannot be
 * what it says they are. Each is counted and has no effect; too many end the connection.
 *
 * What comes late is no lie: answers to transfers, tries and instances that were given up are.
 *
 * @module
 */

import { EXECUTABLE_SUFFIX, FILE_CONTENT_PREFIX } from "../../shared/cache_name.ts";
import { type FileFacts, madeFiles, type TryId, type TryResult } from "../../shared/task.ts";
import { isInPlace, outputFiles } from "./file.ts";
import {
  type FileRecord,
  type ManagerState,
  type TaskRecord,
  tryKey,
  type TryRecord,
  type WorkerRecord,
} from "./state.ts";
import { valueLie } from "./value_file.ts";

/** Lies of one connection after which it is closed. */
export const LIES_MAX = 16;

/** No file has more bytes than this, 1 PiB. */
const FILE_BYTES_MAX = 2 ** 50;

/** Counts a lie. */
export function noteLie(state: ManagerState, worker: WorkerRecord, what: string): void {
  if (worker.link.kind !== "open") return;
  worker.lieCount += 1;
  worker.lastLie = what;
  const { workerId, link: { session } } = worker;
  state.instructions.push({ kind: "refused", workerId, session, what });
}

/** Counts a lie when `id` is the number of a transfer, delivery or instance that was never given. */
export function checkGiven(state: ManagerState, worker: WorkerRecord, id: number): void {
  if (id > state.lastId) noteLie(state, worker, `number ${id} was never given`);
}

/** The try of that id at `worker`; a lie is counted when it cannot have been there. */
export function tryAt(
  state: ManagerState,
  worker: WorkerRecord,
  id: TryId,
): TryRecord | undefined {
  const attempt = worker.tries.get(tryKey(id));
  // Large numbers may give the key of another try.
  if (attempt?.taskId === id.taskId && attempt.try === id.try) return attempt;
  if (attempt !== undefined || isStrange(state, worker, id)) {
    noteLie(state, worker, `try ${id.try} of task ${id.taskId} was never given to it`);
  }
  return undefined;
}

/** What cannot be true of the outputs of a try, as it ended. */
export function outputLie(
  state: ManagerState,
  attempt: TryRecord,
  result: TryResult,
): string | undefined {
  const { task } = attempt;
  const outputs = madeFiles(result);
  if (outputs.length + task.definition.outputs.length === 0 && !task.hasValue) return undefined;
  const isSuccess = result.outcome === "success";
  const strange = valueLie(state, attempt, result);
  if (strange !== undefined) return strange;
  const names = new Set<string>();
  for (const output of outputs) {
    const { name, sizeBytes, content } = output;
    if (!isOutputOf(state, task, { output, made: attempt.try })) return `"${name}" is no output`;
    if (names.has(name)) return `output "${name}" is told twice`;
    names.add(name);
    if (content !== undefined && content.length !== sizeBytes) {
      return `output "${name}" has ${content.length} bytes, not ${sizeBytes}`;
    }
    const lie = factsLie(output);
    if (lie !== undefined) return lie;
  }
  for (const { file, only } of outputFiles(state, task)) {
    const { bound } = file;
    const isMeant = isSuccess !== (only === "failure");
    if (!isMeant && bound !== undefined && names.has(bound.name)) {
      return `"${bound.name}" is no output of a ${isSuccess ? "success" : "failure"}`;
    }
    // A failed task may leave what it likes.
    if (!isMeant || !isSuccess) continue;
    if (isInPlace(file) || bound === undefined || names.has(bound.name)) continue;
    return `output "${bound.name}" is missing from a success`;
  }
  return undefined;
}

/** False of what the try numbered `made` of `task` was not to make; undeclared files are not known. */
export function isOutputOf(
  state: ManagerState,
  task: TaskRecord,
  { output, made }: { readonly output: FileFacts; readonly made: number },
): boolean {
  if (output.generation !== made) return false;
  const producer = state.filesByName.get(output.name)?.producer;
  return producer === undefined || producer === task;
}

/** What cannot be true of a copy of `file` in its newest making. */
export function replicaLie(file: FileRecord, facts: FileFacts): string | undefined {
  const { bound, origin } = file;
  const { name, sizeBytes, digest, isDirectory } = facts;
  if (bound === undefined || name !== bound.name) return `"${name}" is not what it was to bring`;
  const lie = factsLie(facts);
  if (lie !== undefined) return lie;
  // What a url has may change, and what is made is not the same everywhere.
  if (origin.kind === "url" && !origin.isOutput || origin.kind === "recipe") return undefined;
  // Of a directory the name tells the contents, and not the times in it.
  if (origin.kind === "kept" && isDirectory && bound.isDirectory) return undefined;
  const isOther = bound.sizeBytes >= 0 && sizeBytes !== bound.sizeBytes ||
    bound.digest !== "" && digest !== bound.digest || isDirectory !== bound.isDirectory;
  return isOther ? `"${name}" has other contents, of ${sizeBytes} bytes` : undefined;
}

/** What cannot be true of any file. */
export function factsLie({ name, sizeBytes, digest }: FileFacts): string | undefined {
  if (sizeBytes > FILE_BYTES_MAX) return `"${name}" has ${sizeBytes} bytes`;
  if (digest === "" || !name.startsWith(FILE_CONTENT_PREFIX)) return undefined;
  const honest = FILE_CONTENT_PREFIX + digest;
  if (name === honest || name === honest + EXECUTABLE_SUFFIX) return undefined;
  return `"${name}" has digest ${digest}`;
}

/** True of a try that this worker was never given: it may have been given up, but not so. */
function isStrange(state: ManagerState, worker: WorkerRecord, id: TryId): boolean {
  if (id.taskId > state.lastTaskId) return true;
  const task = state.tasks.get(id.taskId);
  if (task === undefined) return false;
  if (id.try > task.tryCount) return true;
  if (task.state.kind !== "dispatched" && task.state.kind !== "retrieving") return false;
  const { attempt } = task.state;
  return attempt.try === id.try && attempt.worker !== worker;
}
