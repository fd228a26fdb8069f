/**
 * What a manager remembers of its tasks for those who look on: one small record per task, from
 * submission on. Pending tasks stay; of ended ones the newest 100,000. It decides nothing.
 *
 * Kept up by submissions, ends and facts, each in constant time: nothing here looks at all tasks
 * but an answer to whoever asks for all.
 *
 * @module
 */

import { assert } from "../shared/assert.ts";
import type { TaskId } from "../shared/ids.ts";
import type { ResourceRequest, Resources } from "../shared/resources.ts";
import type { Outcome, TaskBody, Usage } from "../shared/task.ts";
import type { TriedCall } from "./app_ledger.ts";
import type { TaskSelection } from "./client_protocol.ts";
import type { Fact } from "./core/fact.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { OutputPlace } from "./output_log.ts";
import { labelOf } from "./task_index.ts";
import { type TaskTimes, timesOf } from "./task_result.ts";
import type { TaskWait } from "./task_wait.ts";

/** Ended tasks that are remembered; the oldest are forgotten. */
export const ENDED_TASKS_MAX = 100_000;

/** Characters of a command that are remembered. */
export const COMMAND_CHARS_MAX = 200;

/** Characters of a message that are remembered. */
const MESSAGE_CHARS_MAX = 500;

/** Forgotten entries in the list before it is worth making it anew. */
const GAPS_MAX = 1024;

/** How a task stands, for those who wait. */
export type TaskStanding = "pending" | "running" | "succeeded" | "failed" | "cancelled";

/** One remembered task. */
export interface TaskEntry {
  readonly id: TaskId;
  /** Cut to `COMMAND_CHARS_MAX`. */
  readonly command: string;
  readonly tag: string | undefined;
  readonly category: string | undefined;
  /** Of a call. */
  readonly library: string | undefined;
  readonly requested: ResourceRequest;
  /** The call of an app that it is a try of. */
  call: TriedCall | undefined;
  /** Epoch milliseconds. */
  readonly submittedAtMs: number;
  /** When the running try began; 0 while none runs. */
  startedAtMs: number;
  /** Number of the running try; 0 while none runs. */
  runningTry: number;
  ending: TaskEnding | undefined;
  /** Who waits for it; lists are shared by tasks that have the same waits. */
  waits: readonly TaskWait[];
  isForgotten: boolean;
}

/** How a remembered task ended. */
export interface TaskEnding {
  readonly outcome: Outcome;
  readonly try: number;
  /** Cut to `MESSAGE_CHARS_MAX`. */
  readonly message: string;
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly mount: string | undefined;
  readonly workerId: string | undefined;
  readonly host: string | undefined;
  readonly times: TaskTimes;
  readonly allocated: Resources | undefined;
  readonly used: Usage | undefined;
  /** Where what it wrote is kept. */
  readonly output: OutputPlace;
}

/** A task as the catalog takes it. */
export interface NewTask {
  readonly id: TaskId;
  readonly body: TaskBody;
  /** Of a call. */
  readonly library: string | undefined;
  readonly tag: string | undefined;
  readonly category: string | undefined;
  readonly requested: ResourceRequest;
}

const NO_WAITS: readonly TaskWait[] = [];

const ALL: readonly (readonly [number, number])[] = [[1, Infinity]];

/** The tasks of one manager. */
export class Catalog {
  readonly #endedMax: number;
  /** By id, upwards; forgotten ones stay until there are too many of them. */
  #entries: TaskEntry[] = [];
  #forgottenCount = 0;
  /** In the order in which they ended, from `#endedFrom` on. */
  #ended: TaskEntry[] = [];
  #endedFrom = 0;
  /** First and last ids of the parts of the newest submission. */
  #last: { readonly submissionId: string; readonly ranges: [number, number][] } | undefined;
  readonly #lastCommand = { given: "", shown: "" };

  constructor({ endedMax = ENDED_TASKS_MAX }: { readonly endedMax?: number | undefined } = {}) {
    this.#endedMax = endedMax;
  }

  /** The highest id so far; 0 when there was no task. */
  get lastId(): number {
    return this.#entries.at(-1)?.id ?? 0;
  }

  /** Adds a task that was submitted; ids must grow. */
  add({ id, body, library, tag, category, requested }: NewTask): TaskEntry {
    assert(id > this.lastId, `Task ${id} must be newer than task ${this.lastId}`);
    const entry: TaskEntry = {
      id,
      command: this.#show(body, library),
      tag,
      category,
      library,
      requested,
      call: undefined,
      submittedAtMs: Date.now(),
      startedAtMs: 0,
      runningTry: 0,
      ending: undefined,
      waits: NO_WAITS,
      isForgotten: false,
    };
    this.#entries.push(entry);
    return entry;
  }

  /** Notes how a task ended. */
  end(end: TaskEnd, output: OutputPlace): TaskEntry {
    const entry = this.get(end.taskId);
    assert(entry, `Task ${end.taskId} must be remembered while it is pending`);
    const before = standingOf(entry);
    const { result } = end;
    entry.ending = {
      outcome: end.outcome,
      try: end.try,
      message: cut(end.message, MESSAGE_CHARS_MAX),
      exitCode: result?.exitCode,
      signal: result?.signal,
      mount: end.mount,
      workerId: end.workerId,
      host: end.host,
      times: timesOf(end),
      allocated: end.allocated,
      used: result?.used,
      output,
    };
    this.#tell(entry, before);
    entry.waits = NO_WAITS;
    this.#ended.push(entry);
    if (this.#ended.length - this.#endedFrom > this.#endedMax) this.#forgetOldest();
    return entry;
  }

  /** Notes which call of an app a task is a try of. */
  noteCall(id: TaskId, call: TriedCall): void {
    const entry = this.get(id);
    if (entry !== undefined) entry.call = call;
  }

  /** Notes which tasks run. */
  hear(facts: readonly Fact[]): void {
    for (const fact of facts) {
      const isEnd = fact.kind === "try_ended" || fact.kind === "outputs_lost";
      if (!isEnd && fact.kind !== "try_started") continue;
      const entry = this.get(fact.taskId);
      // A task that ended may run again to remake a temp: that is not its own life.
      if (entry === undefined || entry.ending !== undefined) continue;
      const before = standingOf(entry);
      if (fact.kind === "try_started") {
        entry.runningTry = fact.try;
        entry.startedAtMs = Date.now();
      } else if (fact.kind === "outputs_lost" || isFailureOf(fact, entry.runningTry)) {
        entry.runningTry = 0;
        entry.startedAtMs = 0;
      }
      this.#tell(entry, before);
    }
  }

  /** The task of that id, if it is remembered. */
  get(id: number): TaskEntry | undefined {
    const entry = this.#entries[this.#indexFrom(id)];
    return entry?.id === id && !entry.isForgotten ? entry : undefined;
  }

  /** Notes that these tasks are a part of a submission; of the newest, they are the last ones. */
  noteSubmission(submissionId: string, part: { firstId: number; count: number }): void {
    const range: [number, number] = [part.firstId, part.firstId + part.count - 1];
    if (this.#last?.submissionId === submissionId) this.#last.ranges.push(range);
    else if (this.#isNewer(part.firstId)) this.#last = { submissionId, ranges: [range] };
  }

  /**
   * The remembered tasks that are meant, by id, those above `after`.
   *
   * @throws {RangeError} When a number is no task's, or nothing was submitted.
   */
  *select(selection: TaskSelection, after: number = 0): Generator<TaskEntry, void> {
    const isLabelled = selection.kind === "tag" || selection.kind === "category";
    const ranges = isLabelled ? ALL : this.#rangesOf(selection);
    for (const [first, last] of ranges) {
      let index = this.#indexFrom(Math.max(first, after + 1));
      for (; index < this.#entries.length; index++) {
        const entry = this.#entries[index];
        if (entry === undefined || entry.id > last) break;
        if (entry.isForgotten) continue;
        if (isLabelled && labelOf(entry, selection.kind) !== selection.label) continue;
        yield entry;
      }
    }
  }

  #rangesOf(
    selection: Exclude<TaskSelection, { readonly label: string }>,
  ): readonly (readonly [number, number])[] {
    switch (selection.kind) {
      case "all":
        return ALL;
      case "last":
        if (this.#last !== undefined) return mergeRanges(this.#last.ranges);
        throw new Error("Cannot find the last submission: no client has submitted a task");
      case "ids": {
        const ranges = mergeRanges(selection.ranges);
        const first = ranges[0]?.[0] ?? 1;
        const last = ranges.at(-1)?.[1] ?? 0;
        if (first >= 1 && last <= this.lastId) return ranges;
        const found = this.lastId === 0
          ? "no task was submitted"
          : `the tasks are 1 to ${this.lastId}`;
        throw new Error(`Cannot find task ${first < 1 ? first : last}: ${found}`);
      }
    }
  }

  /** Parts of one submission may come between those of others: the one that began last counts. */
  #isNewer(firstId: number): boolean {
    return firstId > (this.#last?.ranges[0]?.[0] ?? 0);
  }

  /** Tells those who wait for it how it stands now. */
  #tell(entry: TaskEntry, before: TaskStanding): void {
    if (entry.waits.length === 0) return;
    for (const wait of entry.waits) wait.move(entry, before);
  }

  #forgetOldest(): void {
    const oldest = this.#ended[this.#endedFrom];
    this.#endedFrom += 1;
    if (oldest !== undefined) oldest.isForgotten = true;
    this.#forgottenCount += 1;
    if (this.#endedFrom > GAPS_MAX && this.#endedFrom > this.#ended.length / 2) {
      this.#ended = this.#ended.slice(this.#endedFrom);
      this.#endedFrom = 0;
    }
    const isSparse = this.#forgottenCount > this.#entries.length / 2;
    if (this.#forgottenCount <= GAPS_MAX || !isSparse) return;
    const last = this.#entries.at(-1);
    // The last one says which id is the highest.
    this.#entries = this.#entries.filter((entry) => !entry.isForgotten || entry === last);
    this.#forgottenCount = last?.isForgotten === true ? 1 : 0;
  }

  /** Index of the first entry with that id or a higher one. */
  #indexFrom(id: number): number {
    const entries = this.#entries;
    const [first] = entries;
    if (first === undefined || id <= first.id) return 0;
    // Without gaps, which is the rule, the id says where it is.
    const guess = id - first.id;
    if (entries[guess]?.id === id) return guess;
    let low = 0;
    let high = Math.min(entries.length, guess + 1);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((entries[middle]?.id ?? Infinity) < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** What tables show of a task; alike tasks share one text. */
  #show(body: TaskBody, library: string = ""): string {
    const isCall = body.kind === "call";
    if (!isCall && body.command.length <= COMMAND_CHARS_MAX) return body.command;
    const given = isCall ? `${library}.${body.function}` : body.command;
    if (this.#lastCommand.given !== given) {
      this.#lastCommand.given = given;
      this.#lastCommand.shown = cut(given, COMMAND_CHARS_MAX);
    }
    return this.#lastCommand.shown;
  }
}

/** True of the end of that try, unless it was a success: then its task is about to end. */
function isFailureOf(fact: Extract<Fact, { kind: "try_ended" }>, number: number): boolean {
  return fact.try === number && fact.outcome !== "success";
}

/** How a task stands, for those who wait. */
export function standingOf({ ending, runningTry }: TaskEntry): TaskStanding {
  if (ending === undefined) return runningTry > 0 ? "running" : "pending";
  if (ending.outcome === "success") return "succeeded";
  return ending.outcome === "cancelled" ? "cancelled" : "failed";
}

/** Ranges in order, ends the right way round, none within another. */
function mergeRanges(
  ranges: readonly (readonly [number, number])[],
): readonly (readonly [number, number])[] {
  const sorted = ranges.map(([a, b]): [number, number] => a <= b ? [a, b] : [b, a])
    .sort(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before === undefined || range[0] > before[1] + 1) merged.push(range);
    else before[1] = Math.max(before[1], range[1]);
  }
  return merged;
}

/** The beginning of `text`, which does not keep the whole of it in memory as a slice does. */
function cut(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  return Buffer.from(`${text.slice(0, charsMax - 1)}…`).toString();
}
