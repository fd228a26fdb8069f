/** Starts workers on this machine and ends them: processes of the binary, or of Bun. */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { access, mkdir, open } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";

import type { LogLevel } from "../shared/log.ts";
import { plainText } from "../shared/plain_text.ts";
import { selfCommand, withoutRuntimeVariables } from "../shared/runtime/self_command.ts";
import type { LocalWorkersConfig } from "./config.ts";

/** A released worker ends by itself within this time; then it is told by SIGTERM. */
const RELEASE_MS = 2000;

/** Time from SIGTERM to SIGKILL. */
const TERMINATE_MS = 5000;

/** Of what a worker said, what is read for its last line when it ends. */
const LOG_BYTES_READ = 2000;

/** What local workers are started with. */
export interface LocalWorkersOptions {
  readonly config: LocalWorkersConfig;
  /** Access file with the worker's secret alone. */
  readonly accessPath: string;
  /** Folder in which each has its workspace. */
  readonly workspaces: string;
  /** Folder for what each says on standard output and error, `worker-N.stderr`. */
  readonly logs: string;
  /** Whether each logs to `worker-N.log` there, else in its workspace. */
  readonly hasLogs: boolean;
  readonly logLevel: LogLevel;
  /** True when the process of that id has said hello as a worker. */
  readonly hasJoined: (pid: number) => boolean;
  /**
   * Told of each process that ended, by its id; `message` says how, with its last words, and
   * `isReplaced` whether another one is started for it.
   */
  readonly onExit: (pid: number, message: string, isReplaced: boolean) => void;
}

/** Processes that are started for one that was killed, or broke, after it had joined. */
const REPLACEMENTS_MAX = 10;

interface LocalWorker {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

/** The worker processes of one manager. */
export class LocalWorkers {
  readonly #options: LocalWorkersOptions;
  readonly #workers: Set<LocalWorker> = new Set();
  /** `{index of a worker: processes that were started for others}` */
  readonly #replacements: Map<number, number> = new Map();
  #isClosing = false;
  /** A manager that ends without a word would have its workers wait for it; watchers clean up. */
  readonly #killAll = (): void => {
    for (const { child } of this.#workers) child.kill("SIGKILL");
  };

  private constructor(options: LocalWorkersOptions) {
    this.#options = options;
    process.on("exit", this.#killAll);
  }

  /** How many of them are there. */
  get joinedCount(): number {
    const { hasJoined } = this.#options;
    let count = 0;
    for (const { child } of this.#workers) if (hasJoined(child.pid ?? 0)) count += 1;
    return count;
  }

  /** Whether their workspaces are left as they are when they end. */
  get isWorkspaceKept(): boolean {
    return this.#options.config.workspace !== undefined;
  }

  /** Starts them all; throws when there is no binary to start. */
  static async start(options: LocalWorkersOptions): Promise<LocalWorkers> {
    const workers = new LocalWorkers(options);
    if (options.config.count === 0) return workers;
    const command = await findWorkerCommand();
    await makeFolder(options.logs, "for the logs of workers");
    try {
      for (let index = 0; index < options.config.count; index++) {
        await workers.#spawn(command, index);
      }
    } catch (error) {
      await workers.close();
      throw error;
    }
    return workers;
  }

  /** Waits for released workers to end, and ends those that do not, or were not there to hear it. */
  async close(): Promise<void> {
    const { hasJoined } = this.#options;
    this.#isClosing = true;
    await Promise.all([...this.#workers].map((worker) => {
      return end(worker, hasJoined(worker.child.pid ?? 0) ? RELEASE_MS : 0);
    }));
    process.off("exit", this.#killAll);
  }

  async #spawn(command: readonly string[], index: number): Promise<void> {
    const { config, logs, hasLogs, logLevel } = this.#options;
    const number = this.#replacements.get(index) ?? 0;
    // What watched the one before it may still be at work in its workspace.
    const name = number === 0 ? `worker-${index + 1}` : `worker-${index + 1}-${number + 1}`;
    const workspace = join(this.#options.workspaces, name);
    await makeFolder(workspace, "as a workspace");
    const said = await open(this.#saidPath(index), "a", 0o600);
    try {
      if (this.#isClosing) return;
      const [file = "", ...start] = command;
      const args = [...start, "worker", "--single", ...workerArguments(config, index)];
      args.push("--workspace", workspace, "--access", this.#options.accessPath);
      args.push("--log-level", logLevel);
      if (hasLogs) args.push("--log", join(logs, `worker-${index + 1}.log`));
      const child = spawn(file, args, {
        stdio: ["ignore", said.fd, said.fd],
        env: withoutRuntimeVariables(process.env),
      });
      await this.#watch(child, { command, index });
    } finally {
      await said.close();
    }
  }

  async #watch(
    child: ChildProcess,
    { command, index }: { readonly command: readonly string[]; readonly index: number },
  ): Promise<void> {
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const worker = { child, ended };
    this.#workers.add(worker);
    const started = Promise.withResolvers<void>();
    child.once("spawn", started.resolve);
    child.once("error", (error) => {
      this.#workers.delete(worker);
      resolve();
      started.reject(
        new Error(`Cannot start local worker ${index + 1}: ${error.message}`, { cause: error }),
      );
    });
    child.once("exit", (code, signal) => {
      this.#workers.delete(worker);
      resolve();
      const how = signal === null ? `status ${code}` : signal;
      const said = lastWords(this.#saidPath(index));
      const pid = child.pid ?? 0;
      const isReplaced = code !== 0 && this.#replaces(pid, index);
      const more = isReplaced ? "; another one is started" : "";
      this.#options.onExit(
        pid,
        `Local worker ${index + 1} ended: ${how}${said}${more}`,
        isReplaced,
      );
      if (!isReplaced) return;
      this.#spawn(command, index).catch((error: unknown) => {
        this.#options.onExit(0, error instanceof Error ? error.message : String(error), false);
      });
    });
    await started.promise;
  }

  /** True when another process is to come for that one: calls would wait for it for ever. */
  #replaces(pid: number, index: number): boolean {
    const count = (this.#replacements.get(index) ?? 0) + 1;
    if (this.#isClosing || count > REPLACEMENTS_MAX || !this.#options.hasJoined(pid)) return false;
    this.#replacements.set(index, count);
    return true;
  }

  #saidPath(index: number): string {
    return join(this.#options.logs, `worker-${index + 1}.stderr`);
  }
}

/** What the worker of that index offers: what is not stated, it finds out and takes its part of. */
function workerArguments(config: LocalWorkersConfig, index: number): string[] {
  const { cores, memoryBytes, diskBytes, gpus, resources = {}, features = [] } = config;
  const args = config.count === 1 ? [] : ["--share", `${index + 1}/${config.count}`];
  for (
    const [name, amount] of Object.entries({ cores, memory: memoryBytes, disk: diskBytes, gpus })
  ) {
    if (amount !== undefined) args.push(`--${name}`, String(amount));
  }
  for (const [name, amount] of Object.entries(resources)) {
    args.push("--resource", `${name}=${amount}`);
  }
  for (const feature of features) args.push(`--feature=${feature}`);
  if (config.pinCores === true) args.push("--pin-cores");
  if (config.cleanEnv === true) args.push("--clean-env");
  return args;
}

/** What starts `tendril`: this binary, the one that is stated or built, or Bun with the source. */
async function findWorkerCommand(): Promise<readonly string[]> {
  const stated = process.env["TENDRIL_BIN"];
  if (stated !== undefined && stated !== "") {
    if (await isExecutable(stated)) return [stated];
    throw new Error(`Cannot use TENDRIL_BIN "${stated}" as the tendril binary: it cannot be run`);
  }
  const here = fileURLToPath(import.meta.url);
  // Not in a bundle: what lies around it is another project's.
  if (here.endsWith("/manager/local_worker.ts")) {
    const built = fileURLToPath(new URL("../dist/tendril", import.meta.url).href);
    if (await isExecutable(built)) return [built];
  }
  return selfCommand([]);
}

async function makeFolder(path: string, use: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot use "${path}" ${use}: ${found}`, { cause });
  }
}

/** The last line of the file at `path`, for a message; a file without one goes. */
function lastWords(path: string): string {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const end = new Uint8Array(LOG_BYTES_READ);
    const { size } = fstatSync(descriptor);
    if (size === 0) rmSync(path, { force: true });
    const startByte = Math.max(0, size - LOG_BYTES_READ);
    const readBytes = readSync(descriptor, end, 0, LOG_BYTES_READ, startByte);
    const text = new TextDecoder().decode(end.subarray(0, readBytes));
    const line = plainText(text.trimEnd().split("\n").at(-1) ?? "", LOG_BYTES_READ);
    return line === "" ? "" : `; it said: ${line}`;
  } catch {
    // Without its words the end of the worker is told all the same.
    return "";
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

async function end({ child, ended }: LocalWorker, releaseMs: number): Promise<void> {
  if (releaseMs > 0 && await endsWithin(ended, releaseMs)) return;
  child.kill("SIGTERM");
  if (await endsWithin(ended, TERMINATE_MS)) return;
  child.kill("SIGKILL");
  await ended;
}

async function endsWithin(ended: Promise<void>, withinMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), withinMs);
  try {
    return await Promise.race([ended.then(() => true), promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(() => true, () => false);
}
