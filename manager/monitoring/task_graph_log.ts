/**
 * `vine-logs/taskgraph`: which task reads and makes which file, in version 2 of TaskVine's format,
 * for `vine_plot_taskgraph`.
 *
 * A task is told of when it is given to a worker for the first time, as TaskVine does: by then the
 * names of all that it reads are known. Values of calls that are files have no task that makes them.
 *
 * Source: CCTools, taskvine/src/manager/vine_taskgraph_log.c.
 *
 * @module
 */

import { FileNames } from "./file_names.ts";
import { LogLines, type LogPlace } from "./log_lines.ts";
import type { RecordOf, RecordSink, RunRecord } from "./record.ts";

/** The first lines, to the letter. */
export const TASK_GRAPH_HEADER: readonly string[] = [
  "# taskvine taskgraph version 2",
  '# TASK taskid "program" INPUTS fileid1 fileid fileid3 ... OUTPUTS fileid4 fileid5 ...',
  '# FILE fileid "source" size',
];

/** Characters of a program or a source. */
const SOURCE_CHARS_MAX = 500;

type Declared = RecordOf<"file_declared">;
type Submitted = RecordOf<"task_submitted">;

/** The log of one run. */
export class TaskGraphLog implements RecordSink {
  readonly #lines: LogLines;
  readonly #names: FileNames = new FileNames();
  /** `{file without a name: how it was declared}` */
  readonly #files: Map<number, Declared> = new Map();
  /** `{task that was never given to a worker: what it is}` */
  readonly #tasks: Map<number, Submitted> = new Map();

  constructor(place: LogPlace) {
    this.#lines = new LogLines(place);
    for (const line of TASK_GRAPH_HEADER) this.#lines.add(0, line);
  }

  apply(atMs: number, record: RunRecord): void {
    switch (record.kind) {
      case "file_declared":
        return void this.#files.set(record.fileId, record);
      case "file_bound":
        return this.#bind(atMs, record);
      case "file_merged":
        this.#files.delete(record.fileId);
        return this.#names.merge(record);
      case "file_forgotten":
        this.#files.delete(record.fileId);
        return this.#names.forget(record);
      case "task_submitted":
        return void this.#tasks.set(record.taskId, record);
      case "calls_submitted":
        return this.#takeCalls(record);
      case "try_dispatched":
      case "task_ended":
        return this.#tell(atMs, record.taskId);
      case "run_ended":
        for (const taskId of [...this.#tasks.keys()]) this.#tell(atMs, taskId);
        return this.#lines.add(atMs, "# end");
    }
  }

  flush(): void {
    this.#lines.flush();
  }

  close(): void {
    this.#lines[Symbol.dispose]();
  }

  #bind(atMs: number, record: RecordOf<"file_bound">): void {
    this.#names.bind(record);
    const { fileId, cacheName, sizeBytes = 0 } = record;
    const declared = this.#files.get(fileId);
    // It is bound anew when its size is known.
    if (declared === undefined) return;
    this.#files.delete(fileId);
    const { source, fileKind, inputs } = declared;
    this.#lines.add(atMs, `FILE ${cacheName} ${quoted(source ?? fileKind)} ${sizeBytes}`);
    if (inputs.length === 0) return;
    const names = inputs.map((input) => this.#names.of(input)).join(" ");
    const program = quoted(source ?? fileKind);
    this.#lines.add(atMs, `TASK T-${fileId} ${program} INPUTS ${names} OUTPUTS ${cacheName}`);
  }

  #takeCalls({ sorts, sort, taskId, atMs }: RecordOf<"calls_submitted">): void {
    if (this.#lines.isFull) return;
    const programs = sorts.map(({ name }) => quoted(name));
    for (let row = 0; row < taskId.length; row++) {
      const program = programs[sort[row] ?? 0] ?? "";
      this.#lines.add(atMs[row] ?? 0, `TASK T${taskId[row]} ${program} INPUTS OUTPUTS `);
    }
  }

  #tell(atMs: number, taskId: number): void {
    const task = this.#tasks.get(taskId);
    if (task === undefined) return;
    this.#tasks.delete(taskId);
    const inputs: string[] = [];
    const outputs: string[] = [];
    for (const { role, fileId } of task.mounts) {
      (role === "output" ? outputs : inputs).push(`${this.#names.of(fileId)} `);
    }
    const files = `INPUTS ${inputs.join("")}OUTPUTS ${outputs.join("")}`;
    this.#lines.add(atMs, `TASK T${taskId} ${quoted(task.name)} ${files}`);
  }
}

/** In quotes, without what would end them, be it in this log or in the graph that is made of it. */
function quoted(text: string): string {
  // deno-lint-ignore no-control-regex -- line ends among them
  const plain = text.slice(0, SOURCE_CHARS_MAX).replace(/[\x00-\x1f\x7f]+/g, " ");
  return `"${plain.replaceAll('"', "'").replaceAll("\\", "/").toWellFormed()}"`;
}
