/**
 * Calls that have nothing but arguments and end well, as columns: of such a call there may be
 * 30,000 a second, and a record of its own for each thing that it does would cost the manager more
 * than the call.
 *
 * @module
 */

import type { Outcome, TryResult } from "../../shared/task.ts";
import type { TaskDefinition, TaskTemplate } from "../core/event.ts";
import type { Fact } from "../core/fact.ts";
import type { RunRecord, TaskSort } from "./record.ts";

type Submitted = Extract<RunRecord, { kind: "calls_submitted" }>;
type Ended = Extract<RunRecord, { kind: "calls_ended" }>;
type Dispatched = Extract<Fact, { kind: "try_dispatched" }>;
type TryEnded = Extract<Fact, { kind: "try_ended" }>;
type TaskEnded = Extract<Fact, { kind: "task_ended" }>;

/**
 * A try that began so shortly before the end of a batch is told of with the next one, if it goes on
 * until then: of a stream of short calls some hundreds are always under way.
 */
const YOUNG_MS = 150;

/** The same lists while they grow. */
export type Growing<Columns> = {
  -readonly [Name in keyof Columns]: Columns[Name] extends readonly (infer Item)[] ? Item[]
    : Columns[Name];
};

/** A try that began lately: one that ends soon is a row of the columns, and needs no other record. */
interface Begun {
  readonly fact: Dispatched;
  readonly atMs: number;
  startedAtMs: number;
}

/** True of a call about which there is nothing to record but what the columns have. */
export function isPlainCall(definition: TaskDefinition): boolean {
  const { body, inputs, outputs, environments, awaits } = definition;
  return body.kind === "call" && awaits === undefined && definition.retries === 0 &&
    inputs.length + outputs.length + environments.length === 0;
}

/** True of the end of a call that went well, and left nothing but its value. */
export function isPlainEnd({ outcome, end }: TaskEnded): boolean {
  return isPlainResult(outcome, end.result) && end.workerId !== undefined;
}

/** True of the end of a try whose task ends with it, as a plain call. */
export function isPlainTryEnd({ outcome, result }: TryEnded): boolean {
  return isPlainResult(outcome, result);
}

/** Commands have no value, and what a call left in files comes after the end of its try. */
function isPlainResult(outcome: Outcome, result: TryResult | undefined): boolean {
  return outcome === "success" && result?.value !== undefined && result.outputs.length === 0;
}

/** The columns of what is recorded at once, and the tries that began in a batch. */
export class CallColumns {
  readonly #epochMs: number;
  readonly #sortOf: (definition: TaskDefinition) => TaskSort;
  #submitted: Growing<Submitted> | undefined;
  #ended: Growing<Ended> | undefined;
  /** Of the columns: `{template: {function: sort}}`, and the newest of them. */
  readonly #sorts: Map<TaskTemplate, Map<string, number>> = new Map();
  #last: { template: TaskTemplate; function: string; priority: number; sort: number } | undefined;
  readonly #workers: Map<string, number> = new Map();
  readonly #begun: Map<number, Begun> = new Map();

  /** `epochMs` is the instant 0 of facts; `sortOf` tells what calls of a kind have in common. */
  constructor(epochMs: number, sortOf: (definition: TaskDefinition) => TaskSort) {
    this.#epochMs = epochMs;
    this.#sortOf = sortOf;
  }

  /** Adds a call that was submitted. */
  submit(atMs: number, definition: TaskDefinition, tag: string | undefined): void {
    const { taskId, body, appCall } = definition;
    if (body.kind !== "call") return;
    this.#submitted ??= emptySubmitted();
    const { sort, taskId: taskIds, atMs: instants, argumentBytes, tags } = this.#submitted;
    this.#submitted.appCall.push(appCall ?? 0);
    sort.push(this.#sortIndex(definition, body.function));
    instants.push(this.#epochMs + atMs);
    argumentBytes.push(body.arguments.length);
    if (tag !== undefined) tags.push([taskIds.length, tag]);
    taskIds.push(taskId);
  }

  /** A try that holds nothing beside its instance began. */
  begin(atMs: number, fact: Dispatched): void {
    this.#begun.set(fact.taskId, { fact, atMs, startedAtMs: 0 });
  }

  /** A try started; false when it did not begin in this batch. */
  start(atMs: number, taskId: number): boolean {
    const begun = this.#begun.get(taskId);
    if (begun === undefined) return false;
    begun.startedAtMs = atMs;
    return true;
  }

  /** Adds a plain end. */
  end({ taskId, end }: TaskEnded): void {
    const { result, workerId, host } = end;
    if (result === undefined || workerId === undefined) return;
    this.#begun.delete(taskId);
    this.#ended ??= emptyEnded();
    const columns = this.#ended;
    let worker = this.#workers.get(workerId);
    if (worker === undefined) {
      worker = columns.workers.length;
      this.#workers.set(workerId, worker);
      columns.workers.push({ workerId, host: host ?? "" });
    }
    columns.taskId.push(taskId);
    columns.try.push(end.try);
    columns.worker.push(worker);
    columns.dispatchedAtMs.push(this.#epochMs + end.dispatchedAtMs);
    columns.endedAtMs.push(this.#epochMs + end.endedAtMs);
    columns.startedAtMs.push(result.times.startedAtMs);
    columns.stagedMs.push(result.times.stagedMs);
    columns.ranMs.push(result.times.ranMs);
    columns.valueBytes.push(result.value?.length ?? result.valueFile?.sizeBytes ?? 0);
  }

  /** Tells of the try of a task that began in this batch: it is more than a row. */
  tell(taskId: number, tell: (atMs: number, record: RunRecord) => void): void {
    const begun = this.#begun.get(taskId);
    if (begun === undefined) return;
    this.#begun.delete(taskId);
    const { fact: { try: number, workerId }, atMs, startedAtMs } = begun;
    tell(atMs, { kind: "try_dispatched", taskId, try: number, workerId });
    if (startedAtMs === 0) return;
    tell(startedAtMs, { kind: "try_started", taskId, try: number, workerId });
  }

  /** Tells of all tries that began lately. */
  tellBegun(tell: (atMs: number, record: RunRecord) => void): void {
    for (const taskId of this.#begun.keys()) this.tell(taskId, tell);
  }

  /** The same of those that are not young at `nowMs`; true when others are left. */
  tellOld(nowMs: number, tell: (atMs: number, record: RunRecord) => void): boolean {
    for (const [taskId, { atMs }] of this.#begun) {
      // They are in the order in which they began.
      if (nowMs - atMs < YOUNG_MS) return true;
      this.tell(taskId, tell);
    }
    return false;
  }

  /** The columns so far, after which there are none. */
  take(): { readonly submitted: Submitted | undefined; readonly ended: Ended | undefined } {
    const [submitted, ended] = [this.#submitted, this.#ended];
    this.#submitted = undefined;
    this.#ended = undefined;
    this.#last = undefined;
    this.#sorts.clear();
    this.#workers.clear();
    return { submitted, ended };
  }

  #sortIndex(definition: TaskDefinition, name: string): number {
    const { template, priority } = definition;
    const last = this.#last;
    const isLast = last?.template === template && last.function === name &&
      last.priority === priority;
    if (isLast) return last.sort;
    const sort = this.#findSort(definition, `${priority} ${name}`);
    this.#last = { template, function: name, priority, sort };
    return sort;
  }

  #findSort(definition: TaskDefinition, key: string): number {
    const sorts = this.#sorts.get(definition.template) ?? new Map<string, number>();
    this.#sorts.set(definition.template, sorts);
    const known = sorts.get(key);
    if (known !== undefined) return known;
    const list = this.#submitted?.sorts ?? [];
    sorts.set(key, list.length);
    list.push(this.#sortOf(definition));
    return list.length - 1;
  }
}

function emptySubmitted(): Growing<Submitted> {
  return {
    kind: "calls_submitted",
    sorts: [],
    sort: [],
    atMs: [],
    taskId: [],
    argumentBytes: [],
    tags: [],
    appCall: [],
  };
}

function emptyEnded(): Growing<Ended> {
  return {
    kind: "calls_ended",
    workers: [],
    taskId: [],
    try: [],
    worker: [],
    dispatchedAtMs: [],
    endedAtMs: [],
    startedAtMs: [],
    stagedMs: [],
    ranMs: [],
    valueBytes: [],
  };
}
