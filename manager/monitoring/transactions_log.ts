/**
 * `vine-logs/transactions`: what happened to tasks, workers, files and libraries, one line a change,
 * in the format of CCTools 8.0, for `vine_plot_txn_log` and the like.
 *
 * Where our manager knows other things than TaskVine's:
 * - A task is READY from its submission on; the number of an attempt is that of our try.
 * - RUNNING is told when a task is given to its worker. How long that took and how many bytes went
 *   along is not known for single tasks: `time_input_mgr` and `size_input_mgr` are 0.
 * - Of files between peers and from urls CACHE_UPDATE tells; TRANSFER is of those that the manager
 *   sent or received. Sizes are bytes, as TaskVine writes them, though its header says MB.
 * - Instances of libraries have numbers of their own, far above those of tasks.
 * - Once the log is as large as it may be, calls without files are left out of it.
 *
 * Source: CCTools, taskvine/src/manager/vine_txn_log.c.
 *
 * @module
 */

import { FileNames } from "./file_names.ts";
import { LogLines, type LogPlace } from "./log_lines.ts";
import type { RecordOf, RecordSink, RunRecord, TransferRecord } from "./record.ts";
import { StartTimes } from "./start_times.ts";
import { TransactionCategories } from "./transaction_categories.ts";
import { TransactionLibraries } from "./transaction_libraries.ts";
import { TransactionTasks } from "./transaction_tasks.ts";
import { disconnectionOf, microseconds, oneWord, workerJson, workerName } from "./vine_format.ts";

/** The first lines, to the letter. */
export const TRANSACTIONS_HEADER: readonly string[] = [
  "# time manager_pid MANAGER manager_pid START|END time_from_origin",
  "# time manager_pid WORKER worker_id CONNECTION host:port",
  "# time manager_pid WORKER worker_id DISCONNECTION (UNKNOWN|IDLE_OUT|FAST_ABORT|FAILURE|" +
  "STATUS_WORKER|EXPLICIT|XFER_ERRORS)",
  "# time manager_pid WORKER worker_id RESOURCES {resources}",
  "# time manager_pid WORKER worker_id CACHE_UPDATE filename size_in_mb wall_time_us start_time_us",
  "# time manager_pid WORKER worker_id TRANSFER (INPUT|OUTPUT) filename size_in_mb wall_time_us " +
  "start_time_us",
  "# time manager_pid CATEGORY name MAX {resources_max_per_task}",
  "# time manager_pid CATEGORY name MIN {resources_min_per_task_per_worker}",
  "# time manager_pid CATEGORY name FIRST (FIXED|MAX|MIN_WASTE|MAX_THROUGHPUT) " +
  "{resources_requested}",
  "# time manager_pid TASK task_id WAITING category_name (FIRST_RESOURCES|MAX_RESOURCES) " +
  "attempt_number {resources_requested}",
  "# time manager_pid TASK task_id RUNNING worker_id (FIRST_RESOURCES|MAX_RESOURCES) " +
  "{resources_allocated}",
  "# time manager_pid TASK task_id WAITING_RETRIEVAL worker_id",
  "# time manager_pid TASK task_id RETRIEVED (SUCCESS|UNKNOWN|INPUT_MISSING|OUTPUT_MISSING|" +
  "STDOUT_MISSING|SIGNAL|RESOURCE_EXHAUSTION|MAX_RETRIES|MAX_END_TIME|MAX_WALL_TIME|FORSAKEN) " +
  "{limits_exceeded} {resources_measured}",
  "# time manager_pid TASK task_id DONE (SUCCESS|UNKNOWN|INPUT_MISSING|OUTPUT_MISSING|" +
  "STDOUT_MISSING|SIGNAL|RESOURCE_EXHAUSTION|MAX_RETRIES|MAX_END_TIME|MAX_WALL_TIME|FORSAKEN) " +
  "exit_code",
  "# time manager_pid LIBRARY library_id (WAITING|SENT|STARTED|FAILURE) worker_id",
  "# time manager_pid APPLICATION message*",
];

/** Writes one line, without the time and the process in front. */
export type WriteTransaction = (atMs: number, text: string) => void;

/** The log of one run. */
export class TransactionsLog implements RecordSink {
  readonly #lines: LogLines;
  readonly #write: WriteTransaction;
  readonly #names: FileNames = new FileNames();
  readonly #tasks: TransactionTasks;
  readonly #libraries: TransactionLibraries;
  readonly #categories: TransactionCategories;
  /** Workers that are connected. */
  readonly #workers: Set<string> = new Set();
  readonly #transfers: StartTimes<number> = new StartTimes();
  /** Of files that come to a worker and are not told to be there yet, by `worker file`. */
  readonly #arrivals: StartTimes<string> = new StartTimes();
  #pid = 0;
  #startedAtMs = 0;
  #isFullTold = false;

  constructor(place: LogPlace) {
    this.#lines = new LogLines(place);
    for (const line of TRANSACTIONS_HEADER) this.#lines.add(0, line);
    this.#write = (atMs, text) => {
      this.#lines.add(atMs, `${microseconds(atMs)} ${this.#pid} ${text}`);
    };
    this.#categories = new TransactionCategories(this.#write);
    this.#tasks = new TransactionTasks(this.#write, this.#categories);
    this.#libraries = new TransactionLibraries(this.#write);
  }

  apply(atMs: number, record: RunRecord): void {
    this.#tasks.settle(atMs);
    switch (record.kind) {
      case "run_started":
        this.#pid = record.pid;
        this.#startedAtMs = record.startedAtMs;
        this.#write(record.startedAtMs, `MANAGER ${record.pid} START 0`);
        // Readers want it before all else, whatever the clock says.
        return this.#lines.flush();
      case "run_ended":
        return this.#end(atMs);
      case "calls_submitted":
      case "calls_ended":
        return this.#takeCalls(atMs, record);
      case "category_declared":
        return this.#categories.declare(atMs, record);
      case "library_declared":
        return this.#libraries.declare(record);
      case "library_instance":
        return this.#libraries.change(atMs, record);
      case "worker_joined":
      case "worker_reconnected":
      case "worker_left":
        return this.#takeWorker(atMs, record);
      case "file_bound":
        return this.#names.bind(record);
      case "file_merged":
        return this.#names.merge(record);
      case "file_forgotten":
        return this.#names.forget(record);
      case "transfer_started":
      case "transfer_ended":
      case "transfer_failed":
      case "transfer_called_off":
        return this.#takeTransfer(atMs, record);
      case "replica_ready":
        return this.#arrive(atMs, record);
      default:
        return this.#tasks.take(atMs, record);
    }
  }

  flush(): void {
    this.#lines.flush();
  }

  close(): void {
    this.#lines[Symbol.dispose]();
  }

  #end(atMs: number): void {
    for (const workerId of [...this.#workers]) this.#leave(atMs, { workerId, word: "EXPLICIT" });
    const lastedMs = Math.max(0, atMs - this.#startedAtMs);
    this.#write(atMs, `MANAGER ${this.#pid} END ${microseconds(lastedMs)}`);
  }

  #takeCalls(atMs: number, record: RecordOf<"calls_submitted" | "calls_ended">): void {
    if (this.#lines.isFull && record.kind === "calls_submitted") {
      if (this.#isFullTold) return;
      this.#isFullTold = true;
      return this.#write(atMs, "APPLICATION tendril leaves out calls: the log is too large");
    }
    if (record.kind === "calls_submitted") this.#tasks.submitCalls(record);
    else this.#tasks.endCalls(record);
  }

  #takeWorker(
    atMs: number,
    record: RecordOf<"worker_joined" | "worker_reconnected" | "worker_left">,
  ): void {
    const { workerId } = record;
    if (record.kind === "worker_left") {
      if (!this.#workers.has(workerId)) return;
      return this.#leave(atMs, { workerId, word: disconnectionOf(record.reason) });
    }
    const worker = workerName(workerId);
    if (!this.#workers.has(workerId)) {
      this.#workers.add(workerId);
      this.#write(atMs, `WORKER ${worker} CONNECTION ${addressOf(record)}`);
    }
    this.#write(atMs, `WORKER ${worker} RESOURCES ${workerJson(record.resources)}`);
  }

  #leave(atMs: number, { workerId, word }: { workerId: string; word: string }): void {
    this.#workers.delete(workerId);
    this.#write(atMs, `WORKER ${workerName(workerId)} DISCONNECTION ${word}`);
    this.#tasks.leave(atMs, workerId);
    this.#libraries.leave(atMs, workerId);
  }

  #takeTransfer(
    atMs: number,
    record: TransferRecord,
  ): void {
    const { transferId, fileId, workerId, from, to, movedBytes } = record;
    if (record.kind === "transfer_started") {
      if (to === "worker") this.#arrivals.begin(`${workerId} ${fileId}`, atMs);
      return this.#transfers.begin(transferId, atMs);
    }
    const startMs = this.#transfers.take(transferId) ?? atMs;
    if (record.kind !== "transfer_ended") return;
    const isInput = from === "manager" && to === "worker";
    if (!isInput && to !== "manager") return;
    const direction = isInput ? "INPUT" : "OUTPUT";
    this.#write(
      atMs,
      `WORKER ${workerName(workerId)} TRANSFER ${direction} ${this.#names.of(fileId)} ` +
        `${movedBytes} ${microseconds(atMs - startMs)} ${microseconds(startMs)}`,
    );
  }

  #arrive(atMs: number, record: RecordOf<"replica_ready">): void {
    const { fileId, workerId, cacheName, sizeBytes } = record;
    const arrivedMs = this.#arrivals.take(`${workerId} ${fileId}`);
    const startMs = arrivedMs ?? this.#tasks.makingSince(fileId) ?? atMs;
    this.#write(
      atMs,
      `WORKER ${workerName(workerId)} CACHE_UPDATE ${cacheName} ${sizeBytes} ` +
        `${microseconds(atMs - startMs)} ${microseconds(startMs)}`,
    );
  }
}

function addressOf({ urls, host }: RecordOf<"worker_joined" | "worker_reconnected">): string {
  const [url] = urls;
  // A worker without a server of its own has no address.
  if (url === undefined || !URL.canParse(url)) return `${oneWord(host)}:0`;
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port === "" ? (protocol === "https:" ? 443 : 80) : port}`;
}
