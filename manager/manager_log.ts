/**
 * `logs/manager.log` of a run: what the manager says on stderr, and of its facts what a person asks
 * for afterwards. At `debug` each dispatch, try and transfer is told as well.
 *
 * @module
 */

import { hostname } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Log, type LogFields, type LogLevel } from "../shared/log.ts";
import { VERSION } from "../shared/version.ts";
import type { Fact } from "./core/fact.ts";
import { onTold, tell } from "./notice.ts";
import type { RunDirectory } from "./run_directory.ts";
import type { RunEnd } from "./run_file.ts";
import { describeUnplaceable } from "./unplaceable_note.ts";

/** Messages from before there was something to record; more are not kept. */
const EARLY_MAX = 100;

/** What a manager's log is made of. */
export interface ManagerLogOptions {
  readonly runDirectory: RunDirectory;
  /** Of the manager. */
  readonly name: string;
  readonly level: LogLevel;
}

type FactOf<Kind extends Fact["kind"]> = Extract<Fact, { kind: Kind }>;

/** The log of one manager. */
export class ManagerLog {
  readonly #options: ManagerLogOptions;
  readonly #unsubscribe: () => void;
  #early: string[] = [];
  #log: Log | undefined;
  #isOpen = false;

  constructor(options: ManagerLogOptions) {
    this.#options = options;
    this.#unsubscribe = onTold((message) => {
      if (this.#isOpen) this.#log?.write("warn", "said", { message });
      else if (this.#early.length < EARLY_MAX) this.#early.push(message);
    });
  }

  /** Begins the log, and with it the run's folder: there is something to record. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    const { runDirectory, name, level } = this.#options;
    runDirectory.make();
    const { logsPath } = runDirectory;
    if (logsPath === undefined) return;
    const log = new Log({ path: join(logsPath, "manager.log"), level, onTrouble: tell });
    this.#log = log;
    log.write("info", "started", { name, version: VERSION, host: hostname(), pid: process.pid });
    for (const message of this.#early.splice(0)) log.write("warn", "said", { message });
  }

  /** Takes in what became true. */
  hear(facts: readonly Fact[]): void {
    if (!this.#isOpen && facts.some(isRecorded)) this.open();
    const log = this.#log;
    if (log === undefined) return;
    const isDetailed = log.keeps("debug");
    for (const fact of facts) {
      if (isDetailed) noteDetail(log, fact);
      note(log, fact);
    }
  }

  /** A bug, after which the process ends. */
  noteBug(error: unknown): void {
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    this.#log?.write("error", "bug", { message });
  }

  /** How the run went. */
  noteEnd({ succeededCount, failedCount, cancelledCount }: RunEnd): void {
    this.#log?.write("info", "ended", { succeededCount, failedCount, cancelledCount });
  }

  /** Writes what waits and takes nothing more. */
  async close(): Promise<void> {
    this.#unsubscribe();
    await this.#log?.close();
  }
}

/** True of what a run begins with. */
function isRecorded({ kind }: Fact): boolean {
  return kind === "task_submitted" || kind === "worker_joined";
}

function note(log: Log, fact: Fact): void {
  switch (fact.kind) {
    // These come by the thousand: see noteDetail.
    case "task_submitted":
    case "try_dispatched":
    case "try_started":
    case "replica_ready":
    case "transfer_started":
    case "transfer_ended":
    case "transfer_called_off":
      return;
    case "try_ended":
      return noteTry(log, fact);
    case "task_ended": {
      const { taskId, outcome, end } = fact;
      if (outcome === "success" || outcome === "cancelled") return;
      const fields = { taskId, try: end.try, outcome, message: end.message };
      return log.write("error", "task_failed", { ...fields, workerId: end.workerId });
    }
    case "outputs_lost":
      return log.write("warn", fact.kind, { taskId: fact.taskId, message: fact.message });
    case "recovery_started":
      return log.write("info", fact.kind, { taskId: fact.taskId });
    case "recovery_ended": {
      const { taskId, outcome, message } = fact;
      const hasFailed = outcome !== "success" && outcome !== "cancelled";
      const fields = { taskId, outcome, ...said(message) };
      return log.write(hasFailed ? "warn" : "info", fact.kind, fields);
    }
    case "transfer_failed":
      return log.write("warn", fact.kind, transferFields(fact));
    case "class_unplaceable":
      return log.write("warn", "tasks_unplaceable", { message: describeUnplaceable(fact) });
    case "library_declared":
      return log.write("info", fact.kind, { library: fact.spec.name });
    case "library_instance":
      return noteInstance(log, fact);
    case "replica_damaged":
      return log.write("warn", fact.kind, { fileId: fact.fileId, workerId: fact.workerId });
    case "file_kept": {
      const { fileId, workerId, file: { name }, level } = fact;
      return log.write("info", fact.kind, { fileId, workerId, file: name, level });
    }
    case "nondeterministic":
      return log.write("warn", fact.kind, { fileId: fact.fileId, taskId: fact.taskId });
    case "policies_set":
      return log.write("info", fact.kind);
    default:
      return noteHost(log, fact);
  }
}

function noteTry(log: Log, fact: FactOf<"try_ended">): void {
  const { taskId, workerId, outcome, result, message = result?.message ?? "" } = fact;
  if (outcome === "success" || outcome === "cancelled") return;
  log.write("warn", "try_failed", {
    taskId,
    try: fact.try,
    workerId,
    outcome,
    ...said(message),
    exitCode: result?.exitCode,
    signal: result?.signal,
    mount: result?.mount,
  });
}

function noteInstance(log: Log, fact: FactOf<"library_instance">): void {
  const { library, instanceId, workerId, change } = fact;
  const hasFailed = change === "start_failed" || change === "died";
  log.write(hasFailed ? "warn" : "debug", `library_${change}`, { library, instanceId, workerId });
}

/** Workers and hosts: they come and go by the hundred, and a person wants each. */
function noteHost(log: Log, fact: Fact): void {
  switch (fact.kind) {
    case "worker_joined":
    case "worker_reconnected": {
      const { workerId, host, pid, resources, features } = fact;
      const { cores, memoryBytes, diskBytes, gpus } = resources;
      const offered = { cores, memoryBytes, diskBytes, gpus, features: features.join(" ") };
      return log.write("info", fact.kind, { workerId, host, pid, ...offered });
    }
    case "worker_left":
      return log.write("info", fact.kind, { workerId: fact.workerId, reason: fact.reason });
    case "host_blocked": {
      const { host, reason, isByHand, forMs } = fact;
      return log.write("warn", fact.kind, { host, reason, isByHand, forMs });
    }
    case "host_draining":
    case "host_unblocked":
      return log.write("info", fact.kind, { host: fact.host });
    default:
  }
}

/** What comes by the thousand. */
function noteDetail(log: Log, fact: Fact): void {
  switch (fact.kind) {
    case "task_submitted": {
      const { taskId, definition } = fact;
      return log.write("debug", fact.kind, { taskId, body: definition.body.kind });
    }
    case "try_dispatched":
    case "try_started":
    case "try_returned":
      return log.write("debug", fact.kind, {
        taskId: fact.taskId,
        try: fact.try,
        workerId: fact.workerId,
      });
    case "try_ended": {
      const { taskId, workerId, outcome } = fact;
      if (outcome !== "success" && outcome !== "cancelled") return;
      return log.write("debug", fact.kind, { taskId, try: fact.try, workerId, outcome });
    }
    case "transfer_started":
    case "transfer_ended":
    case "transfer_called_off":
      return log.write("debug", fact.kind, transferFields(fact));
    default:
  }
}

function transferFields(
  fact: FactOf<`transfer_${"started" | "ended" | "failed" | "called_off"}`>,
): LogFields {
  const { transferId, fileId, from, sourceId, to, workerId, movedBytes, message } = fact;
  return { transferId, fileId, from, sourceId, to, workerId, movedBytes, ...said(message) };
}

function said(message: string): LogFields {
  return message === "" ? {} : { message };
}
