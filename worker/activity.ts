/**
 * What a worker does, in its log: read off what its core asks for and says, so that nothing in
 * between has to tell of itself. What goes well is told at `debug` alone.
 *
 * @module
 */

import type { CacheName } from "../shared/ids.ts";
import type { WorkerMessage } from "../shared/protocol.ts";
import type { Exceeded, TryResult } from "../shared/task.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import type { WorkerLog } from "./log.ts";

/** Tells a log of one worker's doings. */
export class Activity {
  readonly #log: Pick<WorkerLog, "keeps" | "write">;
  /** Files that were offered for deletion as the disk was full: at most those of one message. */
  #offered: ReadonlySet<CacheName> = new Set();

  constructor(log: Pick<WorkerLog, "keeps" | "write">) {
    this.#log = log;
  }

  /** Tells of one instruction of the core. */
  note(instruction: WorkerInstruction): void {
    switch (instruction.kind) {
      case "send":
        for (const message of instruction.messages) this.#noteMessage(message);
        return;
      case "stop_task": {
        const { taskId, reason, exceeded } = instruction;
        const level = reason === "cancelled" ? "info" : "warn";
        const fields = { taskId, try: instruction.try, reason };
        return this.#log.write(level, "try_killed", { ...fields, ...excess(exceeded) });
      }
      case "stop_call":
        return this.#log.write("info", "call_killed", {
          taskId: instruction.taskId,
          try: instruction.try,
        });
      case "start_instance": {
        const { instanceId, library } = instruction;
        const fields = { library: library.name, instanceId };
        return this.#log.write("info", "library_starting", fields);
      }
      case "stop_instance": {
        const { instanceId, stop } = instruction;
        if (stop === undefined) return;
        const { outcome, message, exceeded } = stop;
        const fields = { instanceId, reason: outcome, message };
        return this.#log.write("warn", "library_killed", { ...fields, ...excess(exceeded) });
      }
      case "delete_file": {
        const { name, generation } = instruction;
        const isEvicted = this.#offered.has(name);
        const event = isEvicted ? "file_evicted" : "file_deleted";
        return this.#log.write(isEvicted ? "info" : "debug", event, { file: name, generation });
      }
      default:
        if (this.#log.keeps("debug")) this.#noteOrder(instruction);
    }
  }

  #noteMessage(message: WorkerMessage): void {
    switch (message.kind) {
      case "result":
        return this.#noteResult(message.result);
      case "results":
        for (const result of message.results) this.#noteResult(result);
        return;
      case "recalled": {
        const fields = { taskId: message.taskId, try: message.try };
        if (message.isCrowded !== true) return this.#log.write("debug", "try_returned", fields);
        return this.#log.write("info", "try_returned", { ...fields, reason: "disk_full" });
      }
      case "transfer_failed": {
        const { transferId, name, message: found, canRetry, isDiskFull } = message;
        const fields = { transferId, file: name, message: found, canRetry, isDiskFull };
        return this.#log.write("warn", "transfer_failed", fields);
      }
      case "send_failed": {
        const { transferId, message: found, isFinal } = message;
        const fields = { transferId, message: found, canRetry: isFinal !== true };
        return this.#log.write("warn", "send_failed", fields);
      }
      case "keep_failed": {
        const { keepId, message: found } = message;
        return this.#log.write("warn", "keep_failed", { keepId, message: found });
      }
      case "kept": {
        const { file: { name }, level } = message;
        return this.#log.write("info", "file_kept", { file: name, level });
      }
      case "room_wanted":
        this.#offered = new Set(message.files.map(({ name }) => name));
        return this.#log.write("info", "disk_full", { filesOffered: message.files.length });
      case "instance_ready":
        return this.#log.write("info", "library_ready", {
          instanceId: message.instanceId,
          startMs: message.startMs,
        });
      case "instance_gone": {
        const { instanceId, reason, message: found } = message;
        const fields = { instanceId, message: found === "" ? undefined : found };
        const level = reason === "stopped" ? "info" : "warn";
        return this.#log.write(level, `library_${reason}`, fields);
      }
      case "leaving":
        return this.#log.write("info", "leaving", { reason: message.reason });
      default:
        if (this.#log.keeps("debug")) this.#noteProgress(message);
    }
  }

  #noteResult(result: TryResult): void {
    const { taskId, outcome, exitCode, signal, mount, exceeded } = result;
    const isUsual = outcome === "success" || outcome === "cancelled";
    const level = isUsual ? "debug" : "warn";
    if (!this.#log.keeps(level)) return;
    this.#log.write(level, isUsual ? "try_ended" : "try_failed", {
      taskId,
      try: result.try,
      outcome,
      message: result.message === "" ? undefined : result.message,
      exitCode,
      signal,
      mount,
      ranMs: Math.round(result.times.ranMs),
      ...excess(exceeded),
    });
  }

  /** Of what comes by the thousand. */
  #noteOrder(instruction: WorkerInstruction): void {
    switch (instruction.kind) {
      case "run_task": {
        const { task } = instruction;
        return this.#log.write("debug", "try_started", { taskId: task.taskId, try: task.try });
      }
      case "call":
        return this.#log.write("debug", "calls_given", {
          instanceId: instruction.instanceId,
          calls: instruction.calls.length,
        });
      case "fetch":
      case "make":
      case "put": {
        const { transferId, name } = instruction.order;
        const fields = { transferId, file: name, how: instruction.kind };
        return this.#log.write("debug", "transfer_started", fields);
      }
      default:
    }
  }

  #noteProgress(message: WorkerMessage): void {
    switch (message.kind) {
      case "replica_ready": {
        const { transferId, file, movedBytes } = message;
        const fields = { transferId, file: file.name, movedBytes };
        return this.#log.write("debug", "transfer_ended", fields);
      }
      case "stored":
        return this.#log.write("debug", "transfer_ended", { transferId: message.transferId });
      case "replica_gone":
        return this.#log.write("debug", "file_gone", { file: message.name });
      default:
    }
  }
}

function excess(exceeded: Exceeded | undefined): { [name: string]: string | number } {
  if (exceeded === undefined) return {};
  const { resource, limit, used } = exceeded;
  return { resource, limitBytes: limit, usedBytes: used };
}
