/**
 * Lines of the transactions log about tasks: READY, RUNNING, WAITING_RETRIEVAL, RETRIEVED and, after
 * the last attempt, DONE.
 *
 * @module
 */

import type { Resources } from "../../shared/resources.ts";
import type { Outcome } from "../../shared/task.ts";
import { callEndAt } from "./call_end.ts";
import type { RecordOf, RunRecord, TaskSort, TryEnd } from "./record.ts";
import type { TransactionCategories } from "./transaction_categories.ts";
import type { WriteTransaction } from "./transactions_log.ts";
import {
  amountsJson,
  commitJson,
  lostJson,
  measuredJson,
  oneWord,
  requestedJson,
  resultOf,
  workerName,
} from "./vine_format.ts";

/** Ended tasks that are remembered because they may have to make their outputs again. */
const MAKERS_MAX = 1_000_000;

/** Where a task stands, as the log has told it. */
type State =
  | "READY"
  | "RUNNING"
  | "WAITING_RETRIEVAL"
  /** Its attempt failed and was retrieved, or was lost: what follows is not known yet. */
  | "RETRIEVED"
  | "LOST"
  | "DONE";

interface Task {
  readonly taskId: number;
  readonly category: string;
  /** As JSON. */
  readonly requested: string;
  readonly outputs: readonly number[];
  state: State;
  /** Attempts that were told to be READY. */
  attempt: number;
  /** The attempt before ran out of resources. */
  isExhausted: boolean;
  workerId: string;
  dispatchedAtMs: number;
  /** By the manager's clock; 0 before it is known. */
  startedAtMs: number;
  endedAtMs: number;
  allocated: Resources | undefined;
  outcome: Outcome;
  end: TryEnd | undefined;
}

/** The tasks of one run. */
export class TransactionTasks {
  readonly #write: WriteTransaction;
  readonly #categories: TransactionCategories;
  readonly #tasks: Map<number, Task> = new Map();
  /** `{ended task with outputs: what it was}`, the oldest first. */
  readonly #makers: Map<number, Task> = new Map();
  /** `{file: the task that makes it}`, of tasks that are not done. */
  readonly #producers: Map<number, Task> = new Map();
  /** `{worker: tasks that it has}` */
  readonly #byWorker: Map<string, Set<Task>> = new Map();
  /** Tasks whose attempt failed or was lost at `#looseAtMs`. */
  #loose: Task[] = [];
  #looseAtMs = 0;

  constructor(write: WriteTransaction, categories: TransactionCategories) {
    this.#write = write;
    this.#categories = categories;
  }

  /** Tasks that failed before `atMs` and did not end then are tried again. */
  settle(atMs: number): void {
    if (this.#loose.length === 0 || atMs <= this.#looseAtMs) return;
    const loose = this.#loose;
    this.#loose = [];
    for (const task of loose) this.#queueAgain(task);
  }

  /** Takes what is about tasks, and passes over everything else. */
  take(atMs: number, record: RunRecord): void {
    switch (record.kind) {
      case "task_submitted":
        return this.#submit(atMs, record);
      case "try_dispatched":
        return this.#dispatch(atMs, record);
      case "try_started":
        return this.#start(atMs, record);
      case "try_returned":
        return this.#giveBack(atMs, record);
      case "try_ended":
        return this.#endTry(atMs, record);
      case "outputs_lost":
        return this.#loseOutputs(atMs, record.taskId);
      case "task_ended":
      case "recovery_ended":
        return this.#end(atMs, record);
      case "recovery_started":
        return this.#recover(atMs, record.taskId);
    }
  }

  /** Calls of which nothing but their arguments is told. */
  submitCalls({ sorts, sort, atMs, taskId }: RecordOf<"calls_submitted">): void {
    const kinds = sorts.map(kindOf);
    for (let row = 0; row < taskId.length; row++) {
      const kind = kinds[sort[row] ?? 0];
      if (kind !== undefined) this.#add(atMs[row] ?? 0, taskId[row] ?? 0, kind);
    }
  }

  /** Calls that succeeded. */
  endCalls(record: RecordOf<"calls_ended">): void {
    const { taskId, workers } = record;
    for (let row = 0; row < taskId.length; row++) {
      const task = this.#tasks.get(taskId[row] ?? 0);
      const where = workers[record.worker[row] ?? 0];
      if (task === undefined || where === undefined) continue;
      const atMs = record.endedAtMs[row] ?? 0;
      if (task.state !== "RUNNING") {
        const dispatchedAtMs = record.dispatchedAtMs[row] ?? atMs;
        this.#run(dispatchedAtMs, task, { workerId: where.workerId, allocated: undefined });
      }
      const end = callEndAt(record, row);
      this.#comeBack(atMs, task, { outcome: "success", end });
      this.#finish(atMs, task, "success");
    }
  }

  /** What a worker had that left goes elsewhere. */
  leave(atMs: number, workerId: string): void {
    for (const task of this.#byWorker.get(workerId) ?? []) this.#lose(atMs, task);
    this.#byWorker.delete(workerId);
  }

  /** Since when the task runs that makes the file; undefined when none does. */
  makingSince(fileId: number): number | undefined {
    const task = this.#producers.get(fileId);
    if (task === undefined || task.dispatchedAtMs === 0) return undefined;
    return task.startedAtMs === 0 ? task.dispatchedAtMs : task.startedAtMs;
  }

  #submit(atMs: number, record: RecordOf<"task_submitted">): void {
    const outputs = record.mounts.filter(({ role }) => role === "output");
    const kind = { ...kindOf(record), outputs: outputs.map(({ fileId }) => fileId) };
    const task = this.#add(atMs, record.taskId, kind);
    for (const fileId of task.outputs) this.#producers.set(fileId, task);
  }

  #add(
    atMs: number,
    taskId: number,
    kind: Pick<Task, "category" | "requested" | "outputs">,
  ): Task {
    const task: Task = {
      ...kind,
      taskId,
      state: "READY",
      attempt: 0,
      isExhausted: false,
      workerId: "",
      dispatchedAtMs: 0,
      startedAtMs: 0,
      endedAtMs: 0,
      allocated: undefined,
      outcome: "success",
      end: undefined,
    };
    this.#tasks.set(taskId, task);
    this.#queue(atMs, task);
    return task;
  }

  #queue(atMs: number, task: Task): void {
    task.state = "READY";
    task.attempt += 1;
    const { taskId, category, requested, attempt } = task;
    const resources = resourcesWord(task);
    this.#write(atMs, `TASK ${taskId} READY ${category} ${resources} ${attempt} ${requested}`);
  }

  /** Unless it has ended, or is told to be READY already. */
  #queueAgain(task: Task): void {
    if (task.state === "RETRIEVED" || task.state === "LOST") this.#queue(task.endedAtMs, task);
  }

  #dispatch(atMs: number, record: RecordOf<"try_dispatched">): void {
    const task = this.#tasks.get(record.taskId);
    if (task !== undefined) this.#run(atMs, task, record);
  }

  #run(
    atMs: number,
    task: Task,
    { workerId, allocated }: { workerId: string; allocated?: Resources | undefined },
  ): void {
    // Its outputs were lost on their way, or nobody has told how the attempt before ended.
    if (task.state === "WAITING_RETRIEVAL") this.#retrieve(atMs, task, "worker_lost");
    else if (task.state === "RUNNING") this.#lose(atMs, task);
    this.#queueAgain(task);
    task.state = "RUNNING";
    task.workerId = workerId;
    task.dispatchedAtMs = atMs;
    task.startedAtMs = 0;
    task.allocated = allocated;
    task.end = undefined;
    const there = this.#byWorker.get(workerId) ?? new Set();
    this.#byWorker.set(workerId, there.add(task));
    const given = commitJson(atMs, allocated);
    const resources = resourcesWord(task);
    this.#write(
      atMs,
      `TASK ${task.taskId} RUNNING ${workerName(workerId)}  ${resources} ${given}`,
    );
  }

  #start(atMs: number, { taskId, workerId }: RecordOf<"try_started" | "try_returned">): void {
    const task = this.#tasks.get(taskId);
    if (task?.state === "RUNNING" && task.workerId === workerId) task.startedAtMs = atMs;
  }

  #giveBack(atMs: number, { taskId, workerId }: RecordOf<"try_started" | "try_returned">): void {
    const task = this.#tasks.get(taskId);
    if (task?.state === "RUNNING" && task.workerId === workerId) this.#lose(atMs, task);
  }

  #loseOutputs(atMs: number, taskId: number): void {
    const task = this.#tasks.get(taskId);
    if (task !== undefined) this.#lose(atMs, task);
  }

  #lose(atMs: number, task: Task): void {
    if (task.state !== "RUNNING" && task.state !== "WAITING_RETRIEVAL") return;
    this.#byWorker.get(task.workerId)?.delete(task);
    task.state = "LOST";
    task.endedAtMs = atMs;
    this.#doubt(atMs, task);
  }

  #endTry(atMs: number, { taskId, workerId, outcome, end }: RecordOf<"try_ended">): void {
    const task = this.#tasks.get(taskId);
    if (task?.state !== "RUNNING" || task.workerId !== workerId) return;
    if (end === undefined) return this.#lose(atMs, task);
    this.#comeBack(atMs, task, { outcome, end });
    if (outcome === "success") return;
    this.#retrieve(atMs, task, outcome);
    this.#doubt(atMs, task);
  }

  #comeBack(
    atMs: number,
    task: Task,
    { outcome, end }: { readonly outcome: Outcome; readonly end: TryEnd },
  ): void {
    task.state = "WAITING_RETRIEVAL";
    task.outcome = outcome;
    task.end = end;
    task.endedAtMs = atMs;
    task.isExhausted = outcome === "resources_exhausted";
    this.#byWorker.get(task.workerId)?.delete(task);
    this.#write(atMs, `TASK ${task.taskId} WAITING_RETRIEVAL ${workerName(task.workerId)} `);
    this.#categories.use(atMs, task.category);
  }

  #retrieve(atMs: number, task: Task, outcome: Outcome): void {
    const { taskId, end, dispatchedAtMs, endedAtMs, allocated, state } = task;
    const hasRun = end !== undefined && end.startedAtMs > 0;
    task.state = "RETRIEVED";
    const measured = end === undefined ? lostJson(dispatchedAtMs) : measuredJson({
      startMs: startOf(task, end),
      ranMs: end.ranMs,
      retrievedMs: state === "WAITING_RETRIEVAL" ? Math.max(0, atMs - endedAtMs) : 0,
      dispatchedAtMs,
      allocated,
      end,
    });
    const limits = limitsOf(outcome, end);
    this.#write(
      atMs,
      `TASK ${taskId} RETRIEVED ${resultOf(outcome, { end, hasRun })} ${limits} ${measured}`,
    );
  }

  /** Whether it is tried again is told by what comes next. */
  #doubt(atMs: number, task: Task): void {
    this.#loose.push(task);
    this.#looseAtMs = atMs;
  }

  #end(atMs: number, { taskId, outcome }: RecordOf<"task_ended" | "recovery_ended">): void {
    const task = this.#tasks.get(taskId);
    if (task !== undefined) this.#finish(atMs, task, outcome);
  }

  #finish(atMs: number, task: Task, outcome: Outcome): void {
    const { taskId, state, end } = task;
    const hasRun = end !== undefined && end.startedAtMs > 0;
    // TaskVine's tools expect an attempt to be RETRIEVED only where it was RUNNING.
    if (state === "RUNNING" || state === "WAITING_RETRIEVAL" || state === "LOST") {
      this.#byWorker.get(task.workerId)?.delete(task);
      this.#retrieve(atMs, task, outcome);
    }
    this.#write(atMs, `TASK ${taskId} DONE ${resultOf(outcome, { end, hasRun })} `);
    task.state = "DONE";
    this.#tasks.delete(taskId);
    for (const fileId of task.outputs) this.#producers.delete(fileId);
    if (task.outputs.length === 0) return;
    this.#makers.set(taskId, task);
    const [oldest] = this.#makers.keys();
    if (this.#makers.size > MAKERS_MAX && oldest !== undefined) this.#makers.delete(oldest);
  }

  #recover(atMs: number, taskId: number): void {
    const task = this.#makers.get(taskId);
    if (task === undefined) return;
    this.#makers.delete(taskId);
    this.#tasks.set(taskId, task);
    for (const fileId of task.outputs) this.#producers.set(fileId, task);
    task.end = undefined;
    task.isExhausted = false;
    this.#queue(atMs, task);
  }
}

const NO_FILES: readonly number[] = [];

function kindOf(sort: TaskSort): Pick<Task, "category" | "requested" | "outputs"> {
  const category = oneWord(sort.category);
  const requested = requestedJson(sort.requested, sort.taskKind === "call");
  return { category, requested, outputs: NO_FILES };
}

function resourcesWord({ isExhausted }: Task): string {
  return isExhausted ? "MAX_RESOURCES" : "FIRST_RESOURCES";
}

/** Clocks differ: whatever that of the worker said, it ran between its dispatch and its end. */
function startOf({ dispatchedAtMs, endedAtMs }: Task, { startedAtMs, ranMs }: TryEnd): number {
  return Math.max(dispatchedAtMs, Math.min(startedAtMs, endedAtMs - ranMs));
}

function limitsOf(outcome: Outcome, end: TryEnd | undefined): string {
  if (outcome !== "resources_exhausted") return " {}";
  const { resource, limit } = end?.exceeded ?? {};
  return amountsJson({
    memoryBytes: resource === "memory" ? limit : undefined,
    diskBytes: resource === "disk" ? limit : undefined,
    gpus: undefined,
    cores: undefined,
  });
}
