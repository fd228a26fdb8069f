/**
 * The process that has the tries of a local executor as children: commands in sandboxes of their own,
 * and functions in processes that are kept. It has what a worker has for them, and neither a manager
 * nor a cache. It ends when its input does, with all that it has started; should it be killed, its
 * watcher sees to that.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import { readFileSync, renameSync } from "node:fs";
import { copyFile, cp } from "node:fs/promises";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { join } from "@std/path";

import { unreachable } from "../../shared/assert.ts";
import type { TaskId } from "../../shared/ids.ts";
import type {
  LocalCall,
  LocalCommand,
  LocalEnd,
  LocalOrder,
  LocalTry,
} from "../../shared/local_try.ts";
import { FrameReader, writeFrame } from "../../shared/pipe_frame.ts";
import { STREAM_KEPT_BYTES } from "../../shared/protocol.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import { descriptorStream } from "../../shared/runtime/descriptor_stream.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";
import { NO_DEVICES } from "../core/device.ts";
import type { CallResult } from "../library/library_call.ts";
import { type TaskEnd, TaskProcesses } from "../process.ts";
import { STOP_GRACE_MS, tendrilVariables } from "../runner.ts";
import { type Sandbox, Sandboxes } from "../sandbox.ts";
import { inheritedEnvironment, NO_ACTIVATION } from "../task_environment.ts";
import { isDiskFull } from "../task_output.ts";
import { removeTree, Trash } from "../trash.ts";
import {
  callVerdict,
  endVerdict,
  failure,
  statusOf,
  type Stop,
  stopped,
  type Verdict,
  verdictOf,
} from "../verdict.ts";
import { Watcher } from "../watcher.ts";
import { KeptProcesses } from "./kept_processes.ts";
import { deliver, findChanged, lend, type LentFile, placeInput } from "./local_file.ts";

/** A timer that is set for longer would fire at once. */
const TIMER_MS_MAX: number = 2 ** 31 - 1;

/** How long a helper may take to start, and the pause between two looks. */
const HELPER_MS_MAX = 1_000;
const HELPER_PAUSE_MS = 1;

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** Main of the process: `args` has the folder that is its own until it ends. */
export async function runTryHost([folder]: readonly string[]): Promise<number> {
  if (!folder) throw new TypeError("Cannot run tries without a folder");
  process.stdout.on("error", () => {
    // Whoever was to be told is gone: the end of the input says so too.
  });
  const host = await TryHost.open(folder, (end) => process.stdout.write(writeFrame(end)));
  const reader = new FrameReader<LocalOrder>();
  try {
    for await (const chunk of descriptorStream(0)) {
      for (const order of reader.read(chunk)) host.take(order);
    }
  } finally {
    await host.close();
  }
  return 0;
}

interface Run {
  stop: Stop | undefined;
  /** Ends what it has started, once there is something. */
  end: (() => void) | undefined;
}

/** How a try ended, before it is told. */
type Told = Omit<LocalEnd, "tryId">;

/** Owner of all that it starts. */
class TryHost {
  readonly #folder: string;
  readonly #tell: (end: LocalEnd) => void;
  readonly #watcher: Watcher;
  readonly #processes: TaskProcesses;
  readonly #trash: Trash;
  readonly #sandboxes: Sandboxes;
  readonly #kept: KeptProcesses;
  readonly #runs: Map<number, Run> = new Map();
  readonly #work: Set<Promise<void>> = new Set();

  static async open(folder: string, tell: (end: LocalEnd) => void): Promise<TryHost> {
    const mark = randomUUID();
    const watcher = new Watcher({
      command: selfCommand(["internal-watch"]),
      mark,
      sandboxesPath: folder,
      onTrouble: (message) => process.stderr.write(`tendril: ${message}\n`),
    });
    await becomesItself(watcher.processId);
    const processes = await TaskProcesses.open({ mark, env: process.env, watcher });
    return new TryHost({ folder, tell, mark, watcher, processes });
  }

  private constructor({ folder, tell, mark, watcher, processes }: {
    readonly folder: string;
    readonly tell: (end: LocalEnd) => void;
    readonly mark: string;
    readonly watcher: Watcher;
    readonly processes: TaskProcesses;
  }) {
    this.#folder = folder;
    this.#tell = tell;
    this.#watcher = watcher;
    this.#processes = processes;
    this.#trash = new Trash(join(folder, "trash"));
    this.#sandboxes = new Sandboxes(join(folder, "tries"), this.#trash);
    this.#kept = new KeptProcesses({
      directory: join(folder, "kept"),
      trash: this.#trash,
      env: inheritedEnvironment(process.env),
      mark,
      processes,
    });
  }

  /** Carries out an order. */
  take(order: LocalOrder): void {
    switch (order.kind) {
      case "library":
        return this.#kept.declare(order.library);
      case "command":
        return this.#begin(order.command, (run) => this.#runCommand(order.command, run));
      case "call":
        return this.#begin(order.call, (run) => this.#runCall(order.call, run));
      case "stop": {
        const run = this.#runs.get(order.tryId);
        if (run !== undefined) stopRun(run, "cancelled");
        return;
      }
      default:
        return unreachable(order);
    }
  }

  /** Ends everything; resolves when nothing of it is left. */
  async close(): Promise<void> {
    for (const run of this.#runs.values()) stopRun(run, "cancelled");
    await this.#kept.close();
    await this.#processes.close();
    while (this.#work.size > 0) await Promise.all(this.#work);
    await this.#sandboxes.close();
    await this.#watcher.close();
    await removeTree(this.#folder);
  }

  #begin({ tryId }: LocalTry, work: (run: Run) => Promise<Told>): void {
    const run: Run = { stop: undefined, end: undefined };
    this.#runs.set(tryId, run);
    const done = this.#finish({ tryId, run, work }).finally(() => this.#work.delete(done));
    this.#work.add(done);
  }

  async #finish({ tryId, run, work }: {
    readonly tryId: number;
    readonly run: Run;
    readonly work: (run: Run) => Promise<Told>;
  }): Promise<void> {
    let told: Told;
    try {
      told = await work(run);
    } catch (error) {
      told = { ...toldOf(failure(error)), stdout: NO_BYTES, stderr: NO_BYTES, ranMs: 0 };
    }
    this.#runs.delete(tryId);
    this.#tell({ tryId, ...told });
  }

  async #runCommand(order: LocalCommand, run: Run): Promise<Told> {
    const sandbox = await this.#sandbox(order);
    let hasSurvivors = false;
    try {
      const lent: LentFile[] = [];
      for (const input of order.inputs) {
        const file = await placeInput(sandbox.directory, input);
        if (file !== undefined) lent.push(file);
      }
      if (run.stop !== undefined) return toldNothing(stopped(run.stop, order.timeoutMs));
      const startedAtMs = performance.now();
      const end = await this.#runProcess({ order, sandbox, run });
      hasSurvivors = end.hasSurvivors;
      const ranMs = performance.now() - startedAtMs;
      const stdout = sandbox.readStream("stdout", STREAM_KEPT_BYTES);
      const stderr = sandbox.readStream("stderr", STREAM_KEPT_BYTES);
      for (const stream of ["stdout", "stderr"] as const) {
        const path = order.streams[stream];
        // The sandbox goes on using its own file.
        if (path !== undefined) await copyFile(sandbox.streamPath(stream), path);
      }
      const verdict = await judgeCommand({ order, run, sandbox, end, lent });
      return { ...toldOf(verdict), stdout, stderr, ranMs };
    } finally {
      await removeSandbox(sandbox, { hasSurvivors });
    }
  }

  async #runProcess({ order, sandbox, run }: {
    readonly order: LocalCommand;
    readonly sandbox: Sandbox;
    readonly run: Run;
  }): Promise<TaskEnd> {
    const child = this.#processes.start({
      taskId: order.callId as TaskId,
      try: order.try,
      command: order.command,
      directory: sandbox.directory,
      temporaryDirectory: sandbox.temporaryDirectory,
      stdout: sandbox.descriptor("stdout"),
      stderr: sandbox.descriptor("stderr"),
      env: { ...order.env, ...tendrilVariables(NO_ACTIVATION) },
      activation: NO_ACTIVATION,
      resources: { ...NO_RESOURCES, cores: order.cores },
      memoryBytesMax: Infinity,
      devices: NO_DEVICES,
    });
    run.end = () => child.stop(STOP_GRACE_MS);
    const { timeoutMs } = order;
    const timer = timeoutMs > 0
      ? setTimeout(() => stopRun(run, "timeout"), Math.min(timeoutMs, TIMER_MS_MAX))
      : undefined;
    try {
      return await child.ended;
    } finally {
      clearTimeout(timer);
      run.end = undefined;
    }
  }

  async #runCall(order: LocalCall, run: Run): Promise<Told> {
    const lent = order.files.map((path) => lend(path, `file argument "${path}"`));
    const sandbox = order.outputs.length > 0 ? await this.#sandbox(order) : undefined;
    try {
      if (run.stop !== undefined) return toldNothing(stopped(run.stop, order.timeoutMs));
      const call = this.#kept.call(order, sandbox?.directory ?? "");
      run.end = () => call.cancel();
      let result: CallResult;
      try {
        result = await call.result;
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        return toldNothing(verdictOf("library_failed", message));
      }
      const verdict = await judgeCall({ order, result, sandbox, lent });
      const { stdout, stderr, ranMs, end } = result;
      const told = { ...toldOf(verdict), stdout, stderr, ranMs };
      if (verdict.outcome === "call_error" && end.kind === "error") {
        return { ...told, value: end.value };
      }
      if (verdict.outcome !== "success") return told;
      if (end.kind === "ok") return { ...told, value: end.value };
      if (end.kind === "ok_file") {
        await moveFile(end.path, order.valuePath);
        return { ...told, hasValueFile: true };
      }
      return told;
    } finally {
      run.end = undefined;
      if (sandbox !== undefined) await removeSandbox(sandbox, { hasSurvivors: false });
    }
  }

  #sandbox({ callId, try: number, outputs }: LocalTry): Promise<Sandbox> {
    return this.#sandboxes.create({
      taskId: callId as TaskId,
      try: number,
      inputs: [],
      outputs: outputs.map(({ mount }) => mount),
    });
  }
}

/**
 * Waits until a helper is no shell any more: while it changes, its environment cannot be read, and it
 * would be taken for what the first try has left behind.
 */
async function becomesItself(processId: number | undefined): Promise<void> {
  const untilMs = performance.now() + HELPER_MS_MAX;
  while (performance.now() < untilMs) {
    try {
      if (readFileSync(`/proc/${processId}/comm`, "utf8") !== "sh\n") return;
    } catch {
      // Not Linux, or gone: nobody is adopted, or it is started again.
      return;
    }
    await delay(HELPER_PAUSE_MS);
  }
}

function stopRun(run: Run, reason: "cancelled" | "timeout"): void {
  run.stop ??= { reason };
  run.end?.();
}

async function judgeCommand({ order, run, sandbox, end, lent }: {
  readonly order: LocalCommand;
  readonly run: Run;
  readonly sandbox: Sandbox;
  readonly end: TaskEnd;
  readonly lent: readonly LentFile[];
}): Promise<Verdict> {
  if (run.stop !== undefined) return { ...stopped(run.stop, order.timeoutMs), ...statusOf(end) };
  const modified = modifiedVerdict("The task", lent);
  if (modified !== undefined) return { ...modified, ...statusOf(end) };
  const verdict = endVerdict(end, sandbox.directory);
  return verdict.outcome === "success" ? await takeOutputs(order, { sandbox, verdict }) : verdict;
}

async function judgeCall({ order, result, sandbox, lent }: {
  readonly order: LocalCall;
  readonly result: CallResult;
  readonly sandbox: Sandbox | undefined;
  readonly lent: readonly LentFile[];
}): Promise<Verdict> {
  const modified = modifiedVerdict("The function, or its process,", lent);
  if (modified !== undefined) return modified;
  const verdict = callVerdict(result.end, order.timeoutMs);
  if (verdict.outcome !== "success" || sandbox === undefined) return verdict;
  return await takeOutputs(order, { sandbox, verdict });
}

function modifiedVerdict(who: string, lent: readonly LentFile[]): Verdict | undefined {
  const changed = findChanged(lent);
  if (changed === undefined) return undefined;
  return verdictOf("input_modified", `${who} wrote to its ${changed.what}`);
}

/** All of them, or none as far as that can be. */
async function takeOutputs(
  { outputs }: LocalTry,
  { sandbox, verdict }: { readonly sandbox: Sandbox; readonly verdict: Verdict },
): Promise<Verdict> {
  const found: string[] = [];
  for (const { mount } of outputs) {
    const made = await sandbox.collect(mount);
    if (made.kind !== "ready") return { ...verdictOf("output_missing", made.message), mount };
    found.push(made.path);
  }
  for (const [index, output] of outputs.entries()) {
    try {
      await deliver(found[index] ?? "", output);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `Cannot bring output "${output.mount}" to "${output.to}": ${why}`;
      const outcome = isDiskFull(error) ? "disk_full" : "output_missing";
      return { ...verdictOf(outcome, message), mount: output.mount };
    }
  }
  return verdict;
}

async function moveFile(from: string, to: string): Promise<void> {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await cp(from, to);
  }
}

async function removeSandbox(
  sandbox: Sandbox,
  options: { readonly hasSurvivors: boolean },
): Promise<void> {
  await sandbox.remove(options).catch(() => {
    // What cannot be removed now goes with the whole folder at the end.
  });
}

function toldOf({ outcome, message, exitCode, signal }: Verdict): Pick<
  Told,
  "outcome" | "message" | "exitCode" | "signal"
> {
  return {
    outcome,
    message,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** Of a try that nothing was started for. */
function toldNothing(verdict: Verdict): Told {
  return { ...toldOf(verdict), stdout: NO_BYTES, stderr: NO_BYTES, ranMs: 0 };
}
