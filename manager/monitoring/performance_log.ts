/**
 * `vine-logs/performance`: the manager in numbers, a row for each sample, with the columns of CCTools
 * 8.0, for `vine_plot_performance` and `vine_profile_dispatch`.
 *
 * Where our manager knows other things than TaskVine's:
 * - 0, as nothing of ours is like it: `workers_init`, `workers_slow`, `time_status_msgs`,
 *   `time_application`, and all of `capacity_…`, which TaskVine guesses from what one task after the
 *   other took.
 * - `time_send` and `time_receive` are sums over transfers, which go on beside each other and beside
 *   scheduling. What TaskVine counts for tasks that went well is the same here.
 * - `time_internal` is `time_scheduling`; `time_polling` is all other time.
 * - `workers_able` are all connected workers.
 * - `tasks_failed` are tasks that did not go well, whatever they exited with, and not their tries.
 *
 * Source: CCTools, taskvine/src/manager/vine_perf_log.c, and the fields of `vine_stats` in taskvine.h.
 *
 * @module
 */

import type { Outcome } from "../../shared/task.ts";
import { LogLines, type LogPlace } from "./log_lines.ts";
import type { RecordOf, RecordSink, RunRecord, Sample, TransferRecord } from "./record.ts";
import { StartTimes } from "./start_times.ts";
import { disconnectionOf, megabytes, microseconds } from "./vine_format.ts";

/** Bandwidth in MB/s that TaskVine supposes until it has seen more than a second of transfers. */
const BANDWIDTH_DEFAULT = 1;

/** All columns after the time, in their order. */
const COLUMNS: readonly string[] = (
  "workers_connected workers_init workers_idle workers_busy workers_able workers_joined " +
  "workers_removed workers_released workers_idled_out workers_blocked workers_slow " +
  "workers_lost tasks_waiting tasks_on_workers tasks_running tasks_with_results " +
  "tasks_submitted tasks_dispatched tasks_done tasks_failed tasks_successful " +
  "tasks_cancelled tasks_exhausted_attempts tasks_recovery time_send time_receive " +
  "time_send_good time_receive_good time_status_msgs time_internal time_polling " +
  "time_application time_scheduling time_execute time_execute_good time_execute_exhaustion " +
  "bytes_sent bytes_received bandwidth capacity_tasks capacity_cores capacity_memory " +
  "capacity_disk capacity_instantaneous capacity_weighted total_cores total_memory " +
  "total_disk committed_cores committed_memory committed_disk max_cores max_memory " +
  "max_disk min_cores min_memory min_disk inuse_cache"
).split(" ");

/** Of a manager that has nothing. */
export const NO_SAMPLE: Sample = {
  waiting: 0,
  ready: 0,
  dispatched: 0,
  retrieving: 0,
  submittedTotal: 0,
  succeededTotal: 0,
  failedTotal: 0,
  cancelledTotal: 0,
  triesStartedTotal: 0,
  recoveriesTotal: 0,
  workersConnected: 0,
  workersAway: 0,
  cores: 0,
  coresCommitted: 0,
  memoryBytes: 0,
  memoryCommittedBytes: 0,
  diskBytes: 0,
  diskCommittedBytes: 0,
  diskUsedBytes: 0,
  files: 0,
  transfers: 0,
  managerToWorkerBytes: 0,
  workerToWorkerBytes: 0,
  workerToManagerBytes: 0,
  urlToWorkerBytes: 0,
  workerToUrlBytes: 0,
  schedulingMs: 0,
  loopDelayMs: 0,
};

interface Worker {
  readonly cores: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** Tries that it has. */
  readonly tasks: Set<number>;
}

/** The log of one run. */
export class PerformanceLog implements RecordSink {
  readonly #lines: LogLines;
  readonly #workers: Map<string, Worker> = new Map();
  readonly #transfers: StartTimes<number> = new StartTimes();
  #startedAtMs = 0;
  #last: Sample = NO_SAMPLE;
  #joinedCount = 0;
  #leftCount = 0;
  #releasedCount = 0;
  #idledOutCount = 0;
  #lostCount = 0;
  #blockedCount = 0;
  #dispatchedCount = 0;
  #exhaustedCount = 0;
  #sendMs = 0;
  #receiveMs = 0;
  #executeMs = 0;
  #executeGoodMs = 0;
  #executeExhaustionMs = 0;

  constructor(place: LogPlace) {
    this.#lines = new LogLines(place);
    this.#lines.add(0, `# timestamp ${COLUMNS.join(" ")}`);
  }

  apply(atMs: number, record: RunRecord): void {
    switch (record.kind) {
      case "run_started":
        this.#startedAtMs = record.startedAtMs;
        this.#write(record.startedAtMs);
        return this.#lines.flush();
      case "run_ended":
        this.#last = { ...NO_SAMPLE, ...totalsOf(this.#last) };
        // All of them are told to leave.
        this.#leftCount += this.#workers.size;
        this.#releasedCount += this.#workers.size;
        this.#workers.clear();
        return this.#write(atMs);
      case "sample":
        this.#last = record;
        return this.#write(atMs);
      case "worker_joined":
      case "worker_reconnected":
      case "worker_left":
        return this.#takeWorker(record);
      case "try_dispatched":
        this.#dispatchedCount += 1;
        return void this.#workers.get(record.workerId)?.tasks.add(record.taskId);
      case "try_returned":
        return void this.#workers.get(record.workerId)?.tasks.delete(record.taskId);
      case "try_ended":
        this.#workers.get(record.workerId)?.tasks.delete(record.taskId);
        return this.#execute(record.outcome, record.end?.ranMs ?? 0);
      case "calls_ended":
        return this.#takeCalls(record);
      case "transfer_started":
      case "transfer_ended":
      case "transfer_failed":
      case "transfer_called_off":
        return this.#takeTransfer(atMs, record);
      case "note":
        if (record.noteKind === "host_blocked") this.#blockedCount += 1;
        return;
    }
  }

  flush(): void {
    this.#lines.flush();
  }

  close(): void {
    this.#lines[Symbol.dispose]();
  }

  #takeWorker(record: RecordOf<"worker_joined" | "worker_reconnected" | "worker_left">): void {
    const { workerId } = record;
    if (record.kind !== "worker_left") {
      const known = this.#workers.get(workerId);
      if (known === undefined) this.#joinedCount += 1;
      const { cores, memoryBytes, diskBytes } = record.resources;
      const tasks = known?.tasks ?? new Set();
      this.#workers.set(workerId, { cores, memoryBytes, diskBytes, tasks });
      return;
    }
    if (!this.#workers.delete(workerId)) return;
    this.#leftCount += 1;
    const word = disconnectionOf(record.reason);
    if (word === "IDLE_OUT") this.#idledOutCount += 1;
    else if (word === "FAILURE") this.#lostCount += 1;
    else this.#releasedCount += 1;
  }

  #takeCalls({ taskId, workers, worker, ranMs }: RecordOf<"calls_ended">): void {
    for (let row = 0; row < taskId.length; row++) {
      const where = workers[worker[row] ?? 0];
      const tasks = where && this.#workers.get(where.workerId)?.tasks;
      // Of those that took longer than a batch the dispatch was told.
      if (tasks?.delete(taskId[row] ?? 0) !== true) this.#dispatchedCount += 1;
      this.#execute("success", ranMs[row] ?? 0);
    }
  }

  #execute(outcome: Outcome, ranMs: number): void {
    this.#executeMs += ranMs;
    if (outcome === "success") this.#executeGoodMs += ranMs;
    if (outcome !== "resources_exhausted") return;
    this.#exhaustedCount += 1;
    this.#executeExhaustionMs += ranMs;
  }

  #takeTransfer(
    atMs: number,
    record: TransferRecord,
  ): void {
    const { kind, transferId, from, to } = record;
    if (kind === "transfer_started") return this.#transfers.begin(transferId, atMs);
    const tookMs = atMs - (this.#transfers.take(transferId) ?? atMs);
    if (from === "manager") this.#sendMs += tookMs;
    else if (to === "manager") this.#receiveMs += tookMs;
  }

  #write(atMs: number): void {
    const values = [...this.#workerColumns(), ...this.#taskColumns(), ...this.#timeColumns(atMs)];
    values.push(...this.#resourceColumns());
    this.#lines.add(atMs, `${microseconds(atMs)} ${values.join(" ")}`);
  }

  #workerColumns(): readonly number[] {
    const { workersConnected } = this.#last;
    let busy = 0;
    for (const { tasks } of this.#workers.values()) busy += tasks.size > 0 ? 1 : 0;
    // Workers that are away have their tasks still.
    busy = Math.min(busy, workersConnected);
    return [
      workersConnected,
      0,
      workersConnected - busy,
      busy,
      workersConnected,
      this.#joinedCount,
      this.#leftCount,
      this.#releasedCount,
      this.#idledOutCount,
      this.#blockedCount,
      0,
      this.#lostCount,
    ];
  }

  #taskColumns(): readonly number[] {
    const { waiting, ready, dispatched, retrieving, submittedTotal, recoveriesTotal } = this.#last;
    const { succeededTotal, failedTotal, cancelledTotal } = this.#last;
    return [
      waiting + ready,
      dispatched + retrieving,
      dispatched,
      retrieving,
      submittedTotal,
      this.#dispatchedCount,
      succeededTotal + failedTotal + cancelledTotal,
      failedTotal,
      succeededTotal,
      cancelledTotal,
      this.#exhaustedCount,
      recoveriesTotal,
    ];
  }

  #timeColumns(atMs: number): readonly (number | string)[] {
    const { schedulingMs, managerToWorkerBytes, workerToManagerBytes } = this.#last;
    const pollingMs = Math.max(0, atMs - this.#startedAtMs - schedulingMs);
    const movingMs = this.#sendMs + this.#receiveMs;
    const movedBytes = managerToWorkerBytes + workerToManagerBytes;
    const bandwidth = movingMs > 1_000
      ? movedBytes / 1024 / 1024 / (movingMs / 1_000)
      : BANDWIDTH_DEFAULT;
    const [send, receive] = [microseconds(this.#sendMs), microseconds(this.#receiveMs)];
    const scheduling = microseconds(schedulingMs);
    return [
      ...[send, receive, send, receive, 0, scheduling, microseconds(pollingMs), 0, scheduling],
      microseconds(this.#executeMs),
      microseconds(this.#executeGoodMs),
      microseconds(this.#executeExhaustionMs),
      managerToWorkerBytes,
      workerToManagerBytes,
      bandwidth.toFixed(6),
    ];
  }

  #resourceColumns(): readonly number[] {
    const { cores, coresCommitted, memoryBytes, memoryCommittedBytes } = this.#last;
    const { diskBytes, diskCommittedBytes, diskUsedBytes } = this.#last;
    const all = [...this.#workers.values()];
    const most = (amounts: readonly number[]) => amounts.reduce((a, b) => Math.max(a, b), 0);
    const least = (amounts: readonly number[]) =>
      amounts.length === 0 ? 0 : amounts.reduce((a, b) => Math.min(a, b), Infinity);
    const [allCores, allMemory, allDisk] = [
      all.map((worker) => Math.round(worker.cores)),
      all.map((worker) => megabytes(worker.memoryBytes)),
      all.map((worker) => megabytes(worker.diskBytes)),
    ];
    return [
      ...[0, 0, 0, 0, 0, 0],
      ...[Math.round(cores), megabytes(memoryBytes), megabytes(diskBytes)],
      // Parts of cores are no number of TaskVine's.
      ...[
        Math.ceil(coresCommitted),
        megabytes(memoryCommittedBytes),
        megabytes(diskCommittedBytes),
      ],
      ...[most(allCores), most(allMemory), most(allDisk)],
      ...[least(allCores), least(allMemory), least(allDisk)],
      megabytes(diskUsedBytes),
    ];
  }
}

/** What has added up, of a run that is over. */
function totalsOf(sample: Sample): Partial<Sample> {
  const { submittedTotal, succeededTotal, failedTotal, cancelledTotal, recoveriesTotal } = sample;
  const { managerToWorkerBytes, workerToManagerBytes, schedulingMs } = sample;
  return {
    submittedTotal,
    succeededTotal,
    failedTotal,
    cancelledTotal,
    recoveriesTotal,
    managerToWorkerBytes,
    workerToManagerBytes,
    schedulingMs,
  };
}
