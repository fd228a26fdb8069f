/**
 * Follows tasks through their records, and tells which of them have to be written: a task that came
 * and went since the last time is written once.
 *
 * @module
 */

import type { Attempt, Attempts } from "./attempts.ts";
import { callEndAt } from "./call_end.ts";
import { type LooseEnd, OpenTask, type Submission, type TriedCall } from "./open_task.ts";
import type { RecordOf, TryEnd } from "./record.ts";

/** Characters that are kept of the messages of a task's failures. */
const HISTORY_CHARS_MAX = 2_000;

/** What following tasks needs to know of files and libraries. */
export interface TaskSurroundings {
  /** Tasks that make the file, or what it is made of. */
  readonly producersOf: (fileId: number) => readonly number[];
  readonly coresPerSlot: (library: string) => number;
  /** The call of an app that a task is a try of; recoveries are not told of it. */
  readonly triedCall: (callId: number, taskId: number) => TriedCall;
}

/** The tasks of a run that have not ended, or are not written. */
export class TaskLife {
  readonly attempts: Attempts;
  readonly #surroundings: TaskSurroundings;
  readonly #tasks: Map<number, OpenTask> = new Map();
  /** Tasks to be written, but for the first `#writtenCount`. */
  #dirty: OpenTask[] = [];
  #writtenCount = 0;
  /** As Parsl counts them, and none that is a try of a call of an app. */
  succeededCount = 0;
  failedCount = 0;
  endedCallCount = 0;

  constructor(attempts: Attempts, surroundings: TaskSurroundings) {
    this.attempts = attempts;
    this.#surroundings = surroundings;
  }

  /** How many wait to be written. */
  get dirtyCount(): number {
    return this.#dirty.length - this.#writtenCount;
  }

  /** How many are remembered. */
  get openCount(): number {
    return this.#tasks.size;
  }

  /** The next task to be written, oldest first; it is forgotten if it has ended. */
  takeDirty(): OpenTask | undefined {
    const task = this.#dirty[this.#writtenCount];
    if (task === undefined) {
      this.#dirty = [];
      this.#writtenCount = 0;
      return undefined;
    }
    this.#writtenCount += 1;
    task.isDirty = false;
    const isOver = task.ending !== undefined && this.#tasks.get(task.taskId) === task;
    if (isOver) this.#tasks.delete(task.taskId);
    return task;
  }

  submit(atMs: number, record: RecordOf<"task_submitted">): void {
    const { taskId, tag, mounts, argumentBytes, awaits, appCall = 0 } = record;
    const depends = new Set(awaits);
    for (const { role, fileId } of mounts) {
      if (role === "output") continue;
      for (const producer of this.#surroundings.producersOf(fileId)) depends.add(producer);
    }
    const submission = { sort: record, tag, mounts, argumentBytes, depends: [...depends] };
    this.#add({ atMs, taskId, appCall, submission });
  }

  submitCalls(record: RecordOf<"calls_submitted">): void {
    const { sorts, sort, atMs, taskId, argumentBytes, tags } = record;
    const tagsByRow = new Map(tags);
    for (let row = 0; row < taskId.length; row++) {
      const common = sorts[sort[row] ?? 0];
      if (common === undefined) continue;
      const submission = {
        sort: common,
        tag: tagsByRow.get(row),
        mounts: NO_MOUNTS,
        argumentBytes: argumentBytes[row],
        depends: NO_TASKS,
      };
      this.#add({
        atMs: atMs[row] ?? 0,
        taskId: taskId[row] ?? 0,
        appCall: record.appCall[row] ?? 0,
        submission,
      });
    }
  }

  endCalls(record: RecordOf<"calls_ended">): void {
    const { taskId, workers, worker } = record;
    for (let row = 0; row < taskId.length; row++) {
      const task = this.#tasks.get(taskId[row] ?? 0);
      const where = workers[worker[row] ?? 0];
      if (task === undefined || where === undefined || task.ending !== undefined) continue;
      const atMs = record.endedAtMs[row] ?? 0;
      const end = callEndAt(record, row);
      const number = record.try[row] ?? 1;
      if (task.attempt?.try !== number) {
        const dispatchedAtMs = record.dispatchedAtMs[row] ?? atMs;
        this.#begin(task, dispatchedAtMs, { try: number, workerId: where.workerId });
      }
      this.#endTry(task, atMs, { outcome: "success", message: "", end });
      this.#end(task, atMs, { outcome: "success", message: "" });
    }
  }

  dispatch(atMs: number, record: RecordOf<"try_dispatched">): void {
    const task = this.#tasks.get(record.taskId);
    if (task !== undefined) this.#begin(task, atMs, record);
  }

  start(atMs: number, { taskId, try: number }: RecordOf<"try_started" | "try_returned">): void {
    const task = this.#tasks.get(taskId);
    const attempt = task?.attempt;
    if (task === undefined || attempt?.try !== number || attempt.endedAtMs !== 0) return;
    this.attempts.start(attempt, atMs);
    task.state = "running";
    task.note("running", attempt.startedAtMs);
    task.touch(attempt);
    this.#touch(task);
  }

  giveBack(atMs: number, { taskId, try: number }: RecordOf<"try_started" | "try_returned">): void {
    const task = this.#tasks.get(taskId);
    const attempt = task?.attempt;
    if (task === undefined || attempt?.try !== number) return;
    if (attempt.endedAtMs !== 0) return;
    this.#close(task, attempt, atMs, { outcome: "returned", message: "" });
    this.#wait(task, { atMs, try: number, isFailure: false });
  }

  endTry(atMs: number, record: RecordOf<"try_ended">): void {
    const task = this.#tasks.get(record.taskId);
    if (task?.attempt?.try !== record.try) return;
    this.#endTry(task, atMs, record);
  }

  /** What a try made was lost before its task had ended. */
  loseOutputs(atMs: number, { taskId, message }: RecordOf<"outputs_lost">): void {
    const task = this.#tasks.get(taskId);
    if (task === undefined || task.ending !== undefined) return;
    this.#wait(task, { atMs, try: task.tryCount, isFailure: true });
    noteFailure(task, "worker_lost", message);
  }

  end(atMs: number, record: RecordOf<"task_ended">): void {
    const task = this.#tasks.get(record.taskId);
    if (task === undefined || task.ending !== undefined) return;
    task.tryCount = Math.max(task.tryCount, record.try);
    this.#end(task, atMs, record);
  }

  startRecovery(atMs: number, { taskId }: RecordOf<"recovery_started">): void {
    // The task itself, if it is not written yet, is before it in the queue.
    const recovery = new OpenTask({
      taskId,
      submittedAtMs: atMs,
      library: this.#tasks.get(taskId)?.library,
      submission: undefined,
      isRecovery: true,
      triedCall: undefined,
    });
    this.#tasks.set(taskId, recovery);
    this.#touch(recovery);
  }

  endRecovery(atMs: number, record: RecordOf<"recovery_ended">): void {
    const task = this.#tasks.get(record.taskId);
    if (task === undefined || !task.isRecovery || task.ending !== undefined) return;
    const { outcome, message } = record;
    if (task.attempt !== undefined) this.#close(task, task.attempt, atMs, { outcome, message });
    task.ending = { outcome, message, mount: undefined, atMs };
    this.#touch(task);
  }

  /** What ran at a worker that left runs there no more. */
  leave(atMs: number, workerId: string, reason: string): void {
    for (const attempt of this.attempts.openAt(workerId)) {
      const task = this.#tasks.get(attempt.taskId);
      if (task === undefined) {
        this.attempts.end(attempt, atMs);
        continue;
      }
      this.#close(task, attempt, atMs, { outcome: "worker_lost", message: reason });
      if (task.ending !== undefined || task.attempt !== attempt) continue;
      this.#wait(task, { atMs, try: attempt.try, isFailure: true });
      noteFailure(task, "worker_lost", reason);
    }
  }

  #add({ atMs, taskId, appCall, submission }: {
    readonly atMs: number;
    readonly taskId: number;
    readonly appCall: number;
    readonly submission: Submission;
  }): void {
    const task = new OpenTask({
      taskId,
      submittedAtMs: atMs,
      library: submission.sort.library,
      submission,
      isRecovery: false,
      triedCall: appCall === 0 ? undefined : this.#surroundings.triedCall(appCall, taskId),
    });
    this.#tasks.set(taskId, task);
    task.note("pending", atMs, 1);
    this.#touch(task);
  }

  #begin(
    task: OpenTask,
    atMs: number,
    { try: number, workerId, allocated }: Pick<
      RecordOf<"try_dispatched">,
      "try" | "workerId" | "allocated"
    >,
  ): void {
    this.#goOn(task);
    // One that nobody has told the end of is over all the same.
    const before = task.attempt;
    if (before?.endedAtMs === 0) {
      this.#close(task, before, atMs, { outcome: "worker_lost", message: "" });
    }
    if (before !== undefined) before.past = { end: task.end, failHistory: task.failHistory };
    const { taskId, library, isRecovery } = task;
    const cores = allocated?.cores ??
      (library === undefined ? 0 : this.#surroundings.coresPerSlot(library));
    task.attempt = this.attempts.begin({
      taskId,
      try: number,
      workerId,
      isRecovery,
      dispatchedAtMs: atMs,
      allocated,
      isCall: library !== undefined,
      cores,
    });
    task.allocated = allocated;
    task.end = undefined;
    task.tryCount = number;
    task.state = "dispatched";
    task.note("launched", atMs);
    task.touch(task.attempt);
    this.#touch(task);
  }

  #endTry(
    task: OpenTask,
    atMs: number,
    { outcome, message, end }: Pick<RecordOf<"try_ended">, "outcome" | "message" | "end">,
  ): void {
    const { attempt } = task;
    if (attempt === undefined || attempt.endedAtMs !== 0) return;
    const wasStarted = attempt.startedAtMs !== 0;
    this.#close(task, attempt, atMs, { outcome, message, end });
    if (attempt.startedAtMs !== 0) {
      if (!wasStarted) task.note("running", attempt.startedAtMs);
      task.note("running_ended", attempt.endedAtMs);
    }
    if (task.ending !== undefined) return;
    task.end = end;
    if (outcome === "success") {
      task.state = "retrieving";
      return;
    }
    const isFailure = outcome !== "cancelled";
    this.#wait(task, { atMs, try: attempt.try, isFailure });
    if (isFailure) noteFailure(task, outcome, message);
  }

  /** Its try is over, and it has not ended as far as is known. */
  #wait(task: OpenTask, end: LooseEnd): void {
    if (task.ending !== undefined) return;
    task.state = "pending";
    task.looseEnd = end;
    this.#touch(task);
  }

  #end(
    task: OpenTask,
    atMs: number,
    { outcome, message, mount }: Pick<RecordOf<"task_ended">, "outcome" | "message" | "mount">,
  ): void {
    const { attempt } = task;
    if (attempt?.endedAtMs === 0) this.#close(task, attempt, atMs, { outcome, message });
    const isSuccess = outcome === "success";
    const hasFailedTry = task.looseEnd?.isFailure === true;
    if (isSuccess) this.#goOn(task);
    task.looseEnd = undefined;
    if (!isSuccess && !hasFailedTry && outcome !== "cancelled") {
      noteFailure(task, outcome, message);
    }
    const isUntried = task.tryCount === 0 && outcome === "input_missing";
    const status = isSuccess ? "exec_done" : isUntried ? "dep_fail" : "failed";
    task.note(status, atMs);
    task.state = "done";
    task.ending = { outcome, message, mount, atMs };
    if (task.triedCall === undefined) {
      if (status === "exec_done") this.succeededCount += 1;
      else if (status === "failed") this.failedCount += 1;
    }
    if (task.library !== undefined) this.endedCallCount += 1;
    this.#touch(task);
  }

  /** The task goes on: Parsl calls a failure before that retryable. */
  #goOn(task: OpenTask): void {
    const end = task.looseEnd;
    if (end === undefined) return;
    task.looseEnd = undefined;
    if (end.isFailure) task.note("fail_retryable", end.atMs, end.try);
    task.note("pending", end.atMs, end.try + 1);
  }

  #close(
    task: OpenTask,
    attempt: Attempt,
    atMs: number,
    { outcome, message, end }: {
      readonly outcome: string;
      readonly message: string;
      readonly end?: TryEnd | undefined;
    },
  ): void {
    if (attempt.endedAtMs !== 0) return;
    this.attempts.end(attempt, atMs, end);
    attempt.outcome = outcome;
    attempt.message = message;
    task.touch(attempt);
    this.#touch(task);
  }

  #touch(task: OpenTask): void {
    if (task.isDirty) return;
    task.isDirty = true;
    this.#dirty.push(task);
  }
}

const NO_MOUNTS: Submission["mounts"] = [];
const NO_TASKS: readonly number[] = [];

function noteFailure(task: OpenTask, outcome: string, message: string): void {
  const said = message === "" ? outcome : message;
  task.failCount += 1;
  const history = task.failHistory === "" ? said : `${task.failHistory}, ${said}`;
  task.failHistory = history.slice(0, HISTORY_CHARS_MAX);
}
