/** What the shell does for calls whose arguments hold values of others, and for values that are files. */

import type { ManagerEvent, TaskDefinition } from "../../manager/core/event.ts";
import type { TaskEnd } from "../../manager/core/instruction.ts";
import { valueFileId } from "../../manager/core/value_file.ts";
import type { CacheName, FileId, TaskId } from "../../shared/ids.ts";

/** True of a call whose value is a file. */
export function hasLargeValue(taskId: TaskId): boolean {
  return taskId % 3 === 0;
}

/** The calls of one run that wait for others. */
export class Awaited {
  readonly #ends: Map<TaskId, TaskEnd> = new Map();
  readonly #waiting: Map<TaskId, TaskDefinition[]> = new Map();
  /** `{value that is a file: its name}` */
  readonly #names: Map<FileId, CacheName> = new Map();

  /** Values that are files. */
  get values(): Iterable<FileId> {
    return this.#names.keys();
  }

  /** The name of a value that is a file. */
  nameOf(fileId: FileId): CacheName | undefined {
    return this.#names.get(fileId);
  }

  /** What the core is told of a task. */
  submit(task: TaskDefinition): ManagerEvent[] {
    const submitted = { kind: "task_submitted", task } as const;
    const [awaited] = task.awaits ?? [];
    if (awaited === undefined) return [submitted];
    const end = this.#ends.get(awaited);
    if (end !== undefined) return [submitted, this.#tell(task, end)];
    const others = this.#waiting.get(awaited) ?? [];
    this.#waiting.set(awaited, [...others, task]);
    return [submitted];
  }

  /** What the core is told when a task has ended. */
  end(end: TaskEnd): ManagerEvent[] {
    const { taskId } = end;
    this.#ends.set(taskId, end);
    const value = end.result?.valueFile;
    if (value !== undefined) this.#names.set(valueFileId(taskId), value.name);
    const waiting = this.#waiting.get(taskId) ?? [];
    this.#waiting.delete(taskId);
    return waiting.map((task) => this.#tell(task, end));
  }

  #tell({ taskId, body }: TaskDefinition, end: TaskEnd): ManagerEvent {
    if (end.outcome !== "success") {
      return { kind: "arguments_failed", taskId, message: `task ${end.taskId} failed` };
    }
    const inputs = end.result?.valueFile === undefined
      ? []
      : [{ mount: "value", fileId: valueFileId(end.taskId) }];
    return { kind: "arguments_known", taskId, inputs, body };
  }
}
