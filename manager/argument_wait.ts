/**
 * Calls among whose arguments are handles of tasks: when those end, their values are put in. The
 * core knows such a call from the start; it waits there, like a task whose inputs are to be made.
 */

import type { TaskId } from "../shared/ids.ts";
import type { TaskBody } from "../shared/task.ts";
import { closeArguments, type OpenArguments } from "./call_arguments.ts";
import type { ManagerEvent } from "./core/event.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileStore } from "./file_store.ts";
import { bytesSpec } from "./library_source.ts";
import type { TaskHandle } from "./task_handle.ts";

/** What the waiting calls are made of. */
export interface ArgumentWaitsOptions {
  readonly store: FileStore;
  readonly push: (event: ManagerEvent) => void;
}

/** A call as it is submitted. */
export interface PlannedCall {
  readonly body: TaskBody;
  readonly files: readonly FileEntry[];
  /** Tasks that it waits for; absent when all is known. */
  readonly awaits?: readonly TaskId[];
  /** Arguments that no other task will have: to be undeclared once the core has the call. */
  readonly long?: FileEntry;
}

/** A call that the core is to be told more of. */
interface WaitingCall {
  readonly taskId: TaskId;
  readonly open: OpenArguments;
  /** Handles among its arguments that have not ended, each once. */
  leftCount: number;
  /** `{task: index of the file that its value is}`, of those that have ended. */
  valueFiles: Map<TaskId, number> | undefined;
}

type Handle = TaskHandle<unknown>;

/** How the messages begin of what ends because another task has failed, in the core as well. */
const CANNOT_RUN = "Cannot run: ";

const NO_VALUES: ReadonlyMap<TaskId, number> = new Map();

const NO_BYTES = new Uint8Array(0);

/** The calls that wait for the values of tasks. */
export class ArgumentWaits {
  readonly #options: ArgumentWaitsOptions;
  readonly #calls: Map<TaskId, WaitingCall> = new Map();
  /** `{task: calls that wait for its value}` */
  readonly #byTask: Map<TaskId, WaitingCall[]> = new Map();

  constructor(options: ArgumentWaitsOptions) {
    this.#options = options;
  }

  /** How a call is submitted: whole, or to be followed by `add`. */
  plan(open: OpenArguments): PlannedCall {
    const handles = handlesOf(open);
    for (const { id, valueFile } of handles) {
      // One that was undeclared is refused before anything is done.
      if (valueFile !== undefined) {
        this.#options.store.entryOf(valueFile, `the value of task ${id}`);
      }
    }
    if (handles.some((handle) => handle.ended?.outcome !== "success")) {
      const body = { kind: "call", function: open.function, arguments: NO_BYTES } as const;
      return { body, files: open.files, awaits: handles.map(({ id }) => id) };
    }
    const files = [...open.files];
    const valueFiles = new Map<TaskId, number>();
    for (const handle of handles) {
      const entry = this.#valueOf(handle);
      if (entry !== undefined) valueFiles.set(handle.id, files.push(entry) - 1);
    }
    const { body, long } = this.#close(open, valueFiles);
    return long === undefined ? { body, files } : { body, files: [...files, long], long };
  }

  /** Has a call that the core was just told of wait for the handles among its arguments. */
  add(taskId: TaskId, open: OpenArguments): void {
    const handles = handlesOf(open);
    for (const handle of handles) {
      const failure = failureOf(handle);
      if (failure !== undefined) return this.#fail(taskId, failure);
    }
    const call: WaitingCall = { taskId, open, leftCount: 0, valueFiles: undefined };
    this.#calls.set(taskId, call);
    for (const handle of handles) {
      if (handle.ended !== undefined) {
        this.#keepValue(call, handle);
        continue;
      }
      call.leftCount += 1;
      const waiting = this.#byTask.get(handle.id);
      if (waiting === undefined) this.#byTask.set(handle.id, [call]);
      else waiting.push(call);
    }
  }

  /** A task has ended: calls that waited for it go on, or end as well. */
  end(handle: Handle): void {
    this.#calls.delete(handle.id);
    const waiting = this.#byTask.get(handle.id);
    if (waiting === undefined) return;
    this.#byTask.delete(handle.id);
    const failure = failureOf(handle);
    for (const call of waiting) {
      // It has ended otherwise.
      if (this.#calls.get(call.taskId) !== call) continue;
      if (failure === undefined) this.#goOn(call, handle);
      else this.#fail(call.taskId, failure);
    }
  }

  /** Forgets all of them. */
  clear(): void {
    this.#calls.clear();
    this.#byTask.clear();
  }

  #goOn(call: WaitingCall, handle: Handle): void {
    this.#keepValue(call, handle);
    call.leftCount -= 1;
    if (call.leftCount > 0) return;
    const { taskId, open, valueFiles = NO_VALUES } = call;
    const { store, push } = this.#options;
    try {
      const { body, long } = this.#close(open, valueFiles);
      if (long !== undefined) store.useAsInput(long);
      push({
        kind: "arguments_known",
        taskId,
        inputs: long === undefined ? [] : [input(long)],
        body,
      });
      if (long !== undefined) store.release(long.id);
      this.#calls.delete(taskId);
    } catch (error) {
      // They are too large together.
      this.#fail(taskId, error instanceof Error ? error.message : String(error));
    }
  }

  /** A value that is a file stays in the cluster until the call has read it. */
  #keepValue(call: WaitingCall, handle: Handle): void {
    const entry = this.#valueOf(handle);
    if (entry === undefined) return;
    const { taskId, open } = call;
    call.valueFiles ??= new Map();
    call.valueFiles.set(handle.id, open.files.length + call.valueFiles.size);
    this.#options.push({ kind: "arguments_known", taskId, inputs: [input(entry)] });
  }

  #close(
    open: OpenArguments,
    valueFiles: ReadonlyMap<TaskId, number>,
  ): ReturnType<typeof closeArguments> {
    const { store } = this.#options;
    return closeArguments(open, {
      valueFiles,
      fileCount: open.files.length + valueFiles.size,
      keep: (bytes) => {
        return store.entryOf(store.declare(bytesSpec(bytes)), "arguments");
      },
    });
  }

  #valueOf({ id, valueFile }: Handle): FileEntry | undefined {
    return valueFile && this.#options.store.entryOf(valueFile, `the value of task ${id}`);
  }

  #fail(taskId: TaskId, message: string): void {
    this.#calls.delete(taskId);
    this.#options.push({ kind: "arguments_failed", taskId, message });
  }
}

/** The handles whose values are missing, each once. */
function handlesOf({ gaps }: OpenArguments): readonly Handle[] {
  return [...new Set(gaps.map(({ handle }) => handle))];
}

/** Why what needs the value of a task cannot run, if that is so. */
function failureOf({ id, ended }: Handle): string | undefined {
  if (ended === undefined || ended.outcome === "success") return undefined;
  const { outcome, message } = ended;
  // Of a chain the first one is the cause.
  if (outcome === "input_missing" && message.startsWith(CANNOT_RUN)) return message;
  const how = message === "" ? outcome : `${outcome}: ${message}`;
  return `${CANNOT_RUN}task ${id}, whose value is an argument, ended as ${how}`;
}

/** A file argument of a call has no name: its index in the list is its place. */
function input({ id }: FileEntry): { readonly mount: ""; readonly fileId: FileEntry["id"] } {
  return { mount: "", fileId: id };
}
