/** The records of one manager's run: what hears its facts, and knows what those do not tell. */

import { randomUUID } from "node:crypto";
import { hostname, userInfo } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { FileId } from "../shared/ids.ts";
import { selfCommand } from "../shared/runtime/self_command.ts";
import { shownUrl } from "../shared/url/address.ts";
import { VERSION } from "../shared/version.ts";
import type { Catalog } from "./catalog.ts";
import type { ManagerConfig } from "./config.ts";
import type { ManagerState } from "./core/state.ts";
import { summarize } from "./core/summary.ts";
import { taskOfValue } from "./core/value_file.ts";
import type { Question } from "./dashboard/api.ts";
import type { Engine } from "./engine.ts";
import type { FileSource } from "./file_entry.ts";
import type { FileStore } from "./file_store.ts";
import type { FileDescription } from "./monitoring/fact_record.ts";
import type { RecordPlaces } from "./monitoring/record_frame.ts";
import { RecordProcess } from "./monitoring/record_process.ts";
import { Recorder, type Summary } from "./monitoring/recorder.ts";
import { tell } from "./notice.ts";
import type { RunDirectory } from "./run_directory.ts";

/** What the records of a run are made of. */
export interface RunRecordsOptions {
  readonly config: Pick<ManagerConfig, "hasDashboard">;
  /** Of the manager. */
  readonly name: string;
  readonly runDirectory: RunDirectory;
  /** Folder of the manager's own: has the database of a run that keeps none, for the dashboard. */
  readonly folder: string;
  readonly engine: Engine;
  readonly state: ManagerState;
  readonly store: FileStore;
  readonly catalog: Catalog;
}

/** Records one run, in a process that is started when there is something to record. */
export class RunRecords implements AsyncDisposable {
  readonly #process: RecordProcess;
  readonly #recorder: Recorder;
  readonly #unsubscribe: () => void;
  readonly #startedAtMs: number = Date.now();
  #closing: Promise<void> | undefined;

  constructor(options: RunRecordsOptions) {
    const { engine, state, store, catalog, name, runDirectory } = options;
    this.#process = new RecordProcess({
      command: () => selfCommand(["internal-records"]),
      places: () => placesOf(options),
      onTrouble: tell,
    });
    this.#recorder = new Recorder({
      run: () => ({
        runId: randomUUID(),
        name,
        version: VERSION,
        host: hostname(),
        user: userName(),
        pid: process.pid,
        directory: runDirectory.make() ?? "",
        startedAtMs: this.#startedAtMs,
      }),
      writer: this.#process,
      summarize: () => summaryOf(state, engine),
      tagOf: (taskId) => catalog.get(taskId)?.tag,
      describeFile: (fileId) => describeFile(store, fileId as FileId),
    });
    this.#unsubscribe = engine.subscribe((facts, atMs) => this.#recorder.hear(facts, atMs));
  }

  /** The database holds everything up to then, epoch milliseconds; 0 before it holds anything. */
  get recordedAtMs(): number {
    return this.#process.recordedAtMs;
  }

  /** Calls `listener` when `recordedAtMs` has grown; gives back how to stop. */
  onRecorded(listener: (atMs: number) => void): () => void {
    return this.#process.onRecorded(listener);
  }

  /** What waits to be recorded, and what was left out for want of time. */
  get counts(): { readonly waiting: number; readonly leftOut: number } {
    return { waiting: this.#recorder.waitingCount, leftOut: this.#process.leftOutCount };
  }

  /** False before there was something to record: then there is nothing to ask. */
  get isRecording(): boolean {
    return this.#process.processId !== undefined;
  }

  /**
   * Asks the records; the answer is JSON in UTF-8, and knows what the manager knew.
   *
   * @throws {Error} When nothing is recorded, or the answer does not come.
   */
  ask(question: Question): Promise<Uint8Array> {
    this.#recorder.hurry();
    return this.#process.ask(question);
  }

  /** Records that the run has ended, and waits until all is written. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#unsubscribe();
    this.#recorder.close();
    await this.#process.close();
  }
}

function placesOf(
  { config, runDirectory, folder }: Pick<RunRecordsOptions, "config" | "runDirectory" | "folder">,
): RecordPlaces {
  runDirectory.make();
  const { databasePath, vineLogsPath, outputsPath } = runDirectory;
  const ownPath = config.hasDashboard ? join(folder, "monitoring.db") : undefined;
  const database = databasePath ?? ownPath;
  return {
    ...(database === undefined ? {} : { database }),
    ...(vineLogsPath === undefined ? {} : { vineLogs: vineLogsPath }),
    ...(outputsPath === undefined ? {} : { outputs: outputsPath }),
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user without an entry, as in many containers.
    return process.env["USER"] ?? "";
  }
}

function summaryOf(state: ManagerState, engine: Engine): Summary {
  const summary = summarize(state);
  return {
    waiting: summary.waiting,
    ready: summary.ready,
    dispatched: summary.dispatched,
    retrieving: summary.retrieving,
    submittedTotal: summary.submitted,
    succeededTotal: summary.succeeded,
    failedTotal: summary.failed,
    cancelledTotal: summary.cancelled,
    triesStartedTotal: summary.triesStarted,
    recoveriesTotal: summary.recoveries,
    workersConnected: summary.workersConnected,
    workersAway: summary.workersAway,
    cores: summary.coresTotal,
    coresCommitted: summary.coresCommitted,
    memoryBytes: summary.memoryTotalBytes,
    memoryCommittedBytes: summary.memoryCommittedBytes,
    diskBytes: summary.diskTotalBytes,
    diskCommittedBytes: summary.diskCommittedBytes,
    diskUsedBytes: summary.diskUsedBytes,
    files: summary.files,
    transfers: summary.transfersActive,
    managerToWorkerBytes: summary.managerToWorkerBytes,
    workerToWorkerBytes: summary.workerToWorkerBytes,
    workerToManagerBytes: summary.workerToManagerBytes,
    urlToWorkerBytes: summary.urlToWorkerBytes,
    workerToUrlBytes: summary.workerToUrlBytes,
    schedulingMs: engine.steppedMs,
  };
}

/** What a file is to its user; undefined of one that is forgotten. */
function describeFile(store: FileStore, fileId: FileId): FileDescription | undefined {
  const producer = taskOfValue(fileId);
  if (producer !== undefined) return { kind: "value", producer };
  const entry = store.get(fileId);
  if (entry === undefined) return undefined;
  const { source } = entry;
  switch (source.kind) {
    case "local":
      return { kind: "local", source: source.path };
    case "url":
      return { kind: "url", source: shownUrl(source.url) };
    case "upload":
      return { kind: "buffer" };
    case "mini_task":
      return { kind: "mini_task", source: madeBy(source) };
    default:
      return { kind: source.kind };
  }
}

function madeBy({ recipe }: Extract<FileSource, { kind: "mini_task" }>): string {
  return recipe.kind === "command" ? recipe.command : recipe.kind;
}
