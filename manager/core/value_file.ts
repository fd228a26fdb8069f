/**
 * Values of calls that are too large for a message: each is a temp that its call has made, under a
 * name that follows from the number of the call. Of a call whose value is small there is nothing.
 */

import type { CacheName, FileId, TaskId } from "../../shared/ids.ts";
import { VALUE_BYTES_MAX } from "../../shared/protocol.ts";
import type { FileFacts, TryResult } from "../../shared/task.ts";
import { declareFile } from "./file.ts";
import type { ManagerState, TaskRecord, TryRecord, WorkerRecord } from "./state.ts";

/** Numbers of files that are values are above it, and those of declared files below. */
const VALUE_IDS_FROM = 1_000_000_000;

/** The number of the file that the value of a call may become. */
export function valueFileId(taskId: TaskId): FileId {
  return VALUE_IDS_FROM + taskId as FileId;
}

/** The call whose value is the file of that number; undefined of all other files. */
export function taskOfValue(fileId: FileId): TaskId | undefined {
  return fileId > VALUE_IDS_FROM ? fileId - VALUE_IDS_FROM as TaskId : undefined;
}

/** What the names of values begin with; the number of the task follows. */
export function valuePrefix({ managerId }: ManagerState): string {
  return `value-${managerId}-`;
}

/** Sees to it that the value of a success is a file of its task, where it is one. */
export function declareValue(state: ManagerState, { task }: TryRecord, result: TryResult): void {
  const { valueFile } = result;
  // Of one whose handle has its value, a second one is of no use to anybody.
  if (valueFile === undefined || task.hasValue || task.isSettled) return;
  const { definition: { taskId } } = task;
  const fileId = valueFileId(taskId);
  task.hasValue = true;
  declareFile(state, {
    kind: "file_declared",
    fileId,
    origin: { kind: "temp" },
    level: "workflow",
    peerTransfer: true,
    bound: {
      name: valueFile.name,
      sizeBytes: -1,
      digest: "",
      isDirectory: false,
      isExecutable: false,
    },
    producer: task,
  });
}

/** What cannot be true of the value of a try, as it ended. */
export function valueLie(
  state: ManagerState,
  { task, try: number }: TryRecord,
  { outcome, value, valueFile }: TryResult,
): string | undefined {
  if (valueFile === undefined) return undefined;
  const { taskId, body } = task.definition;
  const { name, generation, sizeBytes, isDirectory } = valueFile;
  if (body.kind !== "call") return `"${name}" is the value of a command`;
  if (outcome !== "success") return `"${name}" is the value of a failure`;
  const isOwn = name === valuePrefix(state) + taskId && generation === number && !isDirectory;
  if (!isOwn) return `"${name}" is no value of task ${taskId}`;
  if (value !== undefined) return `the value of task ${taskId} is told twice`;
  // One that is made again stays a file, whatever has become of it.
  if (sizeBytes > VALUE_BYTES_MAX || task.hasValue) return undefined;
  return `the value of task ${taskId} is a file of ${sizeBytes} bytes`;
}

/** True of a file at `worker` that a result to come may name as a value. */
export function isValueToCome(
  state: ManagerState,
  worker: WorkerRecord,
  { name, generation }: Pick<FileFacts, "name" | "generation">,
): boolean {
  const task = valueTask(state, name);
  if (task?.state.kind !== "dispatched") return false;
  const { attempt } = task.state;
  return attempt.worker === worker && attempt.try === generation;
}

/** The call whose value has that name, if it is in the tables. */
function valueTask(state: ManagerState, name: CacheName): TaskRecord | undefined {
  const prefix = valuePrefix(state);
  if (!name.startsWith(prefix)) return undefined;
  return state.tasks.get(Number(name.slice(prefix.length)) as TaskId);
}
