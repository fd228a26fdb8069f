/**
 * Who wants to see what running tasks add to their streams and files, and how far each has seen.
 *
 * Nothing of this is state of the core: it reads the facts as every other reader does, and only
 * while somebody looks. Each look has a watch of its own at the worker, with credit that grows as
 * its bytes are used, so that a slow reader holds up nobody and fills no memory. A worker that
 * comes back is asked to go on from where its bytes ended; a new try begins anew; a piece of a
 * watch that is over is dropped.
 *
 * @module
 */

import type { SessionId, TaskId, WatchId, WorkerId } from "../shared/ids.ts";
import {
  type GrowingSource,
  type ManagerMessage,
  WATCH_CREDIT_BYTES,
  WATCH_LAST_BYTES,
  type WatchEnd,
  type WorkerMessage,
} from "../shared/protocol.ts";
import type { Outcome } from "../shared/task.ts";
import type { Fact } from "./core/fact.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { ManagerState, TryRecord } from "./core/state.ts";

/** What a worker tells of its watches. */
export type TailReport = Extract<WorkerMessage, { kind: "piece" | "watch_ended" }>;

/** What one try has added. */
export interface TailPiece {
  readonly try: number;
  readonly atByte: number;
  readonly bytes: Uint8Array;
  /** Before `atByte`, of the same try. */
  readonly skippedBytes: number;
}

/** Who takes what is seen. */
export interface TailSink {
  /** A try has started, and is told from its first byte; false when it need not be. */
  begin(number: number): boolean;
  /** Taken when `consumed` was called for all of it. */
  piece(piece: TailPiece): void;
  /** Nothing more is told of this try, though it goes on. */
  stopped(reason: WatchEnd): void;
  /** Called once, last: the task has ended, or with undefined the manager. */
  end(end: TaskEnd | undefined): void;
}

/** What is looked at. */
export interface TailTarget {
  readonly taskId: TaskId;
  readonly source: GrowingSource;
  /** See `watch` in protocol.ts. */
  readonly canSkip: boolean;
  /** What of a try that runs was seen before. */
  readonly from?: { readonly try: number; readonly byte: number } | undefined;
}

/** One look, as its owner holds it. */
export interface Tail {
  /** That many bytes of pieces are used: as many more may come. */
  consumed(bytes: number): void;
  /** Looks no more; `end` is not called. */
  close(): void;
}

/** What a desk is made of. */
export interface TailDeskOptions {
  /** Only looked at. */
  readonly state: Pick<ManagerState, "tasks">;
  /** Sends at once. */
  readonly send: (session: SessionId, message: ManagerMessage) => void;
  readonly subscribe: (listener: (facts: readonly Fact[]) => void) => () => void;
}

/** Looks that were used up are made good when this much is missing. */
const CREDIT_STEP_BYTES: number = WATCH_CREDIT_BYTES / 4;

interface Look extends TailTarget {
  readonly sink: TailSink;
  /** The try that is, or was last, looked at; 0 is none. */
  try: number;
  atByte: number;
  /** Where that try runs; undefined when it does not, or is not looked at. */
  workerId: WorkerId | undefined;
  session: SessionId | undefined;
  watchId: WatchId | undefined;
  /** What the worker may still send. */
  creditBytes: number;
  /** Given to the sink and not used. */
  heldBytes: number;
}

/** The looks of one manager at running tries. */
export class TailDesk {
  readonly #options: TailDeskOptions;
  readonly #byTask: Map<TaskId, Set<Look>> = new Map();
  readonly #byWatch: Map<WatchId, Look> = new Map();
  /** Those whose try runs. */
  readonly #running: Set<Look> = new Set();
  #unsubscribe: (() => void) | undefined;
  #lastId = 0;

  constructor(options: TailDeskOptions) {
    this.#options = options;
  }

  /**
   * Looks at a task that has not ended, until it has.
   *
   * @throws {RangeError} When it has no such output.
   */
  open(target: TailTarget, sink: TailSink): Tail {
    const { taskId } = target;
    const attempt = this.#attemptOf(taskId);
    if (!isThere(this.#options.state, target)) {
      const mount = target.source.kind === "mount" ? target.source.mount : "";
      throw new RangeError(`Cannot follow "${mount}" of task ${taskId}: it is no output of it`);
    }
    const look: Look = {
      ...target,
      sink,
      try: 0,
      atByte: 0,
      workerId: undefined,
      session: undefined,
      watchId: undefined,
      creditBytes: 0,
      heldBytes: 0,
    };
    const looks = this.#byTask.get(taskId) ?? new Set();
    this.#byTask.set(taskId, looks.add(look));
    this.#unsubscribe ??= this.#options.subscribe((facts) => this.#hear(facts));
    if (attempt !== undefined) this.#start(look, attempt, target.from);
    return {
      consumed: (bytes) => this.#consume(look, bytes),
      close: () => this.#remove(look),
    };
  }

  /** Takes what a worker tells. */
  take(workerId: WorkerId, report: TailReport): void {
    const look = this.#byWatch.get(report.watchId);
    // Another worker than the one that was asked has nothing to say.
    if (look === undefined || look.workerId !== workerId) return;
    if (report.kind === "watch_ended") {
      this.#forgetWatch(look);
      if (report.reason !== "ended") look.sink.stopped(report.reason);
      return;
    }
    // Of a try that was given up since.
    if (this.#attemptOf(look.taskId)?.try !== look.try) return;
    const { atByte, bytes } = report;
    const skippedBytes = atByte - look.atByte;
    look.creditBytes -= bytes.length;
    // What no honest worker sends: more than it may, what was sent before, or with gaps.
    const isWrong = look.creditBytes < -WATCH_LAST_BYTES || skippedBytes < 0 ||
      skippedBytes > 0 && !look.canSkip;
    if (isWrong) {
      this.#unwatch(look);
      return look.sink.stopped("unreadable");
    }
    look.atByte = atByte + bytes.length;
    look.heldBytes += bytes.length;
    look.sink.piece({ try: look.try, atByte, bytes, skippedBytes });
  }

  /** A task has ended: so have the looks at it. */
  end(end: TaskEnd): void {
    for (const look of this.#byTask.get(end.taskId) ?? []) {
      this.#remove(look);
      // Its last try was over before it was said to have started.
      const isUnseen = end.result !== undefined && end.try !== look.try;
      if (isUnseen && end.outcome !== "success") look.sink.begin(end.try);
      look.sink.end(end);
    }
  }

  /** Ends all looks. */
  close(): void {
    for (const looks of [...this.#byTask.values()]) {
      for (const look of looks) {
        this.#remove(look);
        look.sink.end(undefined);
      }
    }
  }

  #hear(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.kind === "worker_reconnected") this.#resume(fact.workerId);
      if (fact.kind !== "try_started" && fact.kind !== "try_ended") continue;
      for (const look of this.#byTask.get(fact.taskId) ?? []) {
        if (fact.kind === "try_ended") this.#stop(look, fact.try, fact.outcome);
        const attempt = fact.kind === "try_started" ? this.#attemptOf(fact.taskId) : undefined;
        if (attempt?.try === fact.try && look.try !== fact.try) this.#start(look, attempt);
      }
    }
  }

  /** The current try of a task that has not ended, when it runs. */
  #attemptOf(taskId: TaskId): TryRecord | undefined {
    const task = this.#options.state.tasks.get(taskId);
    if (task === undefined || task.isSettled || task.state.kind !== "dispatched") return undefined;
    const { attempt } = task.state;
    return attempt.isStarted ? attempt : undefined;
  }

  #start(look: Look, attempt: TryRecord, from?: TailTarget["from"]): void {
    this.#unwatch(look);
    look.try = attempt.try;
    look.atByte = from?.try === attempt.try ? from.byte : 0;
    const isWanted = look.sink.begin(attempt.try);
    if (!isWanted || !isThere(this.#options.state, look)) return;
    this.#running.add(look);
    this.#watch(look, attempt);
  }

  #stop(look: Look, number: number, outcome: Outcome | undefined): void {
    if (look.try === number) return this.#unwatch(look);
    // It was over before it was said to have started.
    if (outcome === "success" || number < look.try) return;
    look.try = number;
    look.sink.begin(number);
  }

  #resume(workerId: WorkerId): void {
    for (const look of this.#running) {
      if (look.workerId !== workerId) continue;
      const attempt = this.#attemptOf(look.taskId);
      this.#forgetWatch(look);
      if (attempt?.try === look.try) this.#watch(look, attempt);
    }
  }

  #watch(look: Look, { worker, taskId, try: number }: TryRecord): void {
    look.workerId = worker.workerId;
    // One that is away is asked when it is back.
    if (worker.link.kind !== "open") return;
    this.#lastId += 1;
    const watchId = this.#lastId as WatchId;
    const { source, atByte: fromByte, canSkip } = look;
    const creditBytes = Math.max(0, WATCH_CREDIT_BYTES - look.heldBytes);
    look.watchId = watchId;
    look.session = worker.link.session;
    look.creditBytes = creditBytes;
    this.#byWatch.set(watchId, look);
    this.#options.send(look.session, {
      kind: "watch",
      watchId,
      taskId,
      try: number,
      source,
      fromByte,
      creditBytes,
      canSkip,
    });
  }

  #consume(look: Look, bytes: number): void {
    look.heldBytes -= bytes;
    const owedBytes = WATCH_CREDIT_BYTES - look.heldBytes - look.creditBytes;
    const { watchId, session } = look;
    if (watchId === undefined || session === undefined || owedBytes < CREDIT_STEP_BYTES) return;
    look.creditBytes += owedBytes;
    this.#options.send(session, { kind: "watch_credit", watchId, bytes: owedBytes });
  }

  #unwatch(look: Look): void {
    const { watchId, session } = look;
    this.#forgetWatch(look);
    this.#running.delete(look);
    if (watchId === undefined || session === undefined) return;
    this.#options.send(session, { kind: "unwatch", watchId });
  }

  #forgetWatch(look: Look): void {
    if (look.watchId !== undefined) this.#byWatch.delete(look.watchId);
    look.watchId = undefined;
  }

  #remove(look: Look): void {
    this.#unwatch(look);
    const looks = this.#byTask.get(look.taskId);
    looks?.delete(look);
    if (looks?.size === 0) this.#byTask.delete(look.taskId);
    if (this.#byTask.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }
}

/** False of a mount that is no output of a task which is known. */
function isThere(
  { tasks }: TailDeskOptions["state"],
  { taskId, source }: Pick<TailTarget, "taskId" | "source">,
): boolean {
  const task = tasks.get(taskId);
  if (source.kind !== "mount" || task === undefined) return true;
  return task.definition.outputs.some(({ mount }) => mount === source.mount);
}
