/** The manager of a workflow, as scripts use it. */

import { rm } from "node:fs/promises";
import process from "node:process";

import { join, resolve } from "@std/path";

import { loopbackFirst } from "../shared/addresses.ts";
import { removeAccessFile, writeAccessCopy } from "./access.ts";
import {
  type ManagerConfig,
  type ManagerOptions,
  type PolicyOptions,
  readManagerOptions,
  readPolicies,
} from "./config.ts";
import { type CategoryOptions, readCategory } from "./category.ts";
import { mergeOptions, withConfigFile } from "./config_file.ts";
import type { Fact } from "./core/instruction.ts";
import { copyContents } from "./directory.ts";
import type { FileHandle } from "./file_handle.ts";
import {
  bufferSpec,
  type FileOptions,
  type LocalOptions,
  ownLocalSpec,
  replicaCount,
  type TempOptions,
  tempSpec,
  type UrlOptions,
  urlSpec,
} from "./file_options.ts";
import type { Library, LibraryOptions } from "./library.ts";
import { LibraryDesk } from "./library_desk.ts";
import { type MiniTaskOptions, miniTaskSpec, recipeSpec } from "./mini_task.ts";
import { LocalWorkers } from "./local_worker.ts";
import { type ManagerParts, startParts, throwLater } from "./manager_parts.ts";
import { defaultManagerOptions, noteClosed, noteOpened } from "./open_managers.ts";
import { type BlockOptions, hostChange, workersReleased } from "./host_change.ts";
import { connectManager, type ConnectOptions, type RemoteManager } from "./remote_manager.ts";
import { type CancelOptions, readCancel, readWait, type WaitOptions } from "./result_filter.ts";
import type { Shell } from "./shell.ts";
import type { ManagerStatus } from "./status.ts";
import { readTask, type TaskOptions } from "./task_definition.ts";
import { TaskHandle } from "./task_handle.ts";
import type { TaskResult } from "./task_result.ts";
import { translateParameters } from "./tune_parameter.ts";

/** Arguments of a function as it is called from elsewhere: a file may stand for its path. */
export type WithFiles<A extends unknown[]> = {
  [Index in keyof A]: string extends A[Index] ? A[Index] | FileHandle : A[Index];
};

/**
 * A running manager.
 *
 * @example
 * ```ts
 * await using manager = await Manager.start({ workers: 2 });
 * const hello = manager.submit({ command: "echo hello" });
 * console.log((await hello).stdout);
 * ```
 */
export class Manager implements AsyncDisposable {
  readonly #parts: ManagerParts;
  #workers: LocalWorkers | undefined;
  readonly #libraries: LibraryDesk;
  readonly #closedListeners: (() => void)[] = [];
  #closing: Promise<void> | undefined;
  /** Why it ended by itself. */
  #failure: Error | undefined;

  private constructor(parts: ManagerParts) {
    this.#parts = parts;
    this.#libraries = new LibraryDesk(parts.shell, () => this.#checkOpen());
  }

  /**
   * Starts a manager and its local workers.
   *
   * @param options Under `tendril run`, what is left out is taken from the command line.
   * @returns The manager, which listens; its local workers join in a moment.
   * @throws {TypeError | RangeError} When an option is unknown or has a wrong value.
   * @throws {Error} When the address or the name is taken, or there is no binary for workers.
   */
  static async start(options: ManagerOptions = {}): Promise<Manager> {
    const given = withConfigFile(mergeOptions(options, defaultManagerOptions()));
    const config = readManagerOptions(given);
    for (const note of translateParameters(given.policies ?? {}).notes) {
      process.stderr.write(`tendril: ${note}\n`);
    }
    const manager = new Manager(await startParts(config));
    noteOpened(manager);
    try {
      await manager.#startWorkers(config);
      return manager;
    } catch (error) {
      await manager.close();
      throw error;
    }
  }

  /**
   * Connects to a manager in another process, found by its access file.
   *
   * @param options Nothing is needed when only one manager of this user runs.
   * @returns What has the methods of a manager that make sense from afar.
   * @throws {TypeError | RangeError} When an option is unknown or has a wrong value.
   * @throws {ClientError} When the manager is gone, or refuses this client.
   *
   * @example
   * ```ts
   * await using manager = await Manager.connect({ name: "blast" });
   * console.log((await manager.submit({ command: "hostname" })).stdout);
   * ```
   */
  static connect(options: ConnectOptions = {}): Promise<RemoteManager> {
    return connectManager(options);
  }

  /** The name under which workers and clients find it. */
  get name(): string {
    return this.#parts.access.name;
  }

  /** Where it is reached best, as `http://127.0.0.1:41234`. */
  get address(): string {
    return this.#shell.url;
  }

  /**
   * Declares a file or directory of this machine: an input, or an output that comes back to it.
   *
   * @param path Relative to the working directory.
   * @throws {TypeError | RangeError} When it is no path, or an option is wrong.
   *
   * @example
   * ```ts
   * const genome = manager.file("genome.fa", { cache: "worker" });
   * manager.submit({ command: "wc -l genome", inputs: { genome } });
   * ```
   */
  file(path: string | URL, options: LocalOptions = {}): FileHandle {
    return this.#shell.store.declare(ownLocalSpec(path, options, this.#shell.policies));
  }

  /**
   * Declares what workers fetch from `http://`, `https://` or, on their own disks, `file://`; as
   * the output of a task, where its worker stores it: by PUT, or beside its path and then renamed.
   *
   * @param url May hold a user and a password, which are sent to its own host only and never shown.
   * @throws {TypeError | RangeError} When it is none of these, or an option is wrong.
   *
   * @example
   * ```ts
   * const genome = manager.url("https://data.example.org/genome.fa", { cache: "worker" });
   * ```
   */
  url(url: string | URL, options: UrlOptions = {}): FileHandle {
    return this.#shell.store.declare(urlSpec(url, options));
  }

  /**
   * Declares text or bytes as an input; with no data an output, to be read by `contents()`.
   *
   * @param data Bytes are copied.
   * @throws {TypeError | RangeError} When it is neither, or an option is wrong.
   *
   * @example
   * ```ts
   * const report = manager.buffer();
   * manager.submit({ command: "uname -a > report", outputs: { report } });
   * console.log(await report.text());
   * ```
   */
  buffer(data?: string | Uint8Array, options: FileOptions = {}): FileHandle {
    return this.#shell.store.declare(bufferSpec(data, options));
  }

  /**
   * Declares an output that stays in the cluster, where other tasks read it.
   *
   * @throws {TypeError | RangeError} When an option is wrong.
   */
  temp(options: TempOptions = {}): FileHandle {
    return this.#shell.store.declare(tempSpec(options));
  }

  /**
   * Declares the directory that the worker which needs it makes of an archive.
   *
   * @param archive An archive: a declared file, or the path of one.
   * @throws {TypeError | RangeError} When it is neither, or an option is wrong.
   */
  unpack(archive: FileHandle | string, options: FileOptions = {}): FileHandle {
    return this.#recipe("unpack", archive, options);
  }

  /**
   * Declares unpacked software for the `environment` of tasks and libraries.
   *
   * Each worker unpacks it once and makes it fit for the path there: archives of conda-pack, poncho
   * and `tendril pack`, and virtual environments that `tar` or venv-pack packed. Tasks have its `bin`
   * first in `PATH`, `VIRTUAL_ENV` or `CONDA_PREFIX`, and what its `activate.d` sets.
   *
   * @param archive An archive with a `bin` folder: a declared file, or the path of one.
   * @throws {TypeError | RangeError} When it is neither, or an option is wrong.
   *
   * @example
   * ```ts
   * const environment = manager.environment("python.tar.gz");
   * manager.submit({ command: "python3 --version", environment });
   * ```
   */
  environment(archive: FileHandle | string, options: FileOptions = {}): FileHandle {
    return this.#recipe("environment", archive, options);
  }

  /**
   * Declares what a command makes: each worker that needs the file runs it once, as it runs tasks.
   * With `peerTransfer: true` one worker does, and the others fetch what it made.
   *
   * @param task The command, its files and what it needs.
   * @param mount The file or directory that the command leaves in its sandbox.
   * @throws {TypeError | RangeError} When the definition or an option is wrong.
   *
   * @example
   * ```ts
   * const command = "xrdcp -s root://eospublic.cern.ch//eos/run1.root run1.root";
   * const events = manager.miniTask({ command, timeout: "10m" }, "run1.root", { cache: "worker" });
   * manager.submit({ command: "ls -l run1.root", inputs: { "run1.root": events } });
   * ```
   */
  miniTask(task: MiniTaskOptions, mount: string, options: FileOptions = {}): FileHandle {
    const { store } = this.#shell;
    return store.declare(miniTaskSpec({ options: task, mount }, options, store));
  }

  /**
   * Declares code that is kept running at workers to serve function calls.
   *
   * @returns What calls its functions.
   * @throws {TypeError | RangeError} When an option is wrong or the name is taken.
   *
   * @example
   * ```ts
   * const library = manager.library({ name: "digits", module: "./digits.ts", context: "setup" });
   * const accuracy = await library.call<number>("evaluate", 7).value();
   * ```
   */
  library(options: LibraryOptions): Library {
    this.#checkOpen();
    return this.#libraries.declare(options);
  }

  /**
   * Submits a command task.
   *
   * @param task The command, its files and what it needs.
   * @returns A handle: await it for the `TaskResult`.
   * @throws {TypeError | RangeError} When the definition is wrong.
   * @throws {Error} When the manager is closed.
   *
   * @example
   * ```ts
   * const sorted = manager.file("sorted.txt");
   * const result = await manager.submit({
   *   command: "sort names > sorted",
   *   inputs: { names: manager.buffer("oak\nelm\n") },
   *   outputs: { sorted },
   *   timeout: "1m",
   * });
   * console.log(result.outcome);
   * ```
   */
  submit(task: TaskOptions): TaskHandle {
    this.#checkOpen();
    const { command, ...checked } = readTask(task, this.#shell.store);
    return this.#shell.tasks.submit<TaskResult>({
      call: checked,
      body: { kind: "command", command },
      runsIn: checked,
    });
  }

  /**
   * Ships a function and runs it at a worker: it may use its arguments and globals, nothing else.
   *
   * @param fn Travels as its source. A promise that it returns is awaited at the worker.
   * @param args Plain values, or files, which arrive as absolute paths.
   * @returns A handle: `value()` gives what the function returned.
   * @throws {TypeError} When the function or an argument cannot travel.
   *
   * @example
   * ```ts
   * const area = manager.run((width: number, height: number) => width * height, 6, 7);
   * console.log(await area.value());
   * ```
   */
  run<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): TaskHandle<Awaited<R>>;
  /** The same with files among the arguments, where the function takes their paths. */
  run<A extends unknown[], R>(
    fn: (...args: A) => R,
    ...args: WithFiles<A>
  ): TaskHandle<Awaited<R>>;
  run<R>(fn: (...args: never[]) => R, ...args: unknown[]): TaskHandle<Awaited<R>> {
    this.#checkOpen();
    // The function says what it returns, and values arrive as they were.
    return this.#libraries.run(fn, args) as TaskHandle<Awaited<R>>;
  }

  /**
   * Results as tasks end, until none is pending; each result once.
   *
   * @example
   * ```ts
   * for await (const { id, outcome } of manager.completed()) console.log(id, outcome);
   * ```
   */
  completed(): AsyncGenerator<TaskResult, void> {
    return this.#shell.tasks.results.iterate();
  }

  /**
   * The next result that nobody has taken.
   *
   * @returns Undefined when the time is over or no task is pending.
   * @throws {TypeError | RangeError} When an option is wrong.
   */
  async wait(options: WaitOptions = {}): Promise<TaskResult | undefined> {
    const { filter, timeoutMs } = readWait(options);
    return await this.#shell.tasks.results.take(filter, timeoutMs);
  }

  /**
   * Cancels a task, or all pending tasks that fit, those of clients among them. None of them is
   * started from now on; processes that run are ended with all that they have started.
   *
   * @returns How many; the outcome of each becomes `cancelled`.
   * @throws {TypeError | RangeError} When it is not said which.
   *
   * @example
   * ```ts
   * manager.cancel({ tag: "night run" });
   * ```
   */
  cancel(what: TaskHandle<unknown> | CancelOptions): number {
    const { tasks } = this.#shell;
    if (what instanceof TaskHandle) return tasks.cancelMany([what.id]);
    return tasks.cancelAll(readCancel(what));
  }

  /** True when no task is pending and no result waits to be taken. */
  isEmpty(): boolean {
    const { pendingCount, results } = this.#shell.tasks;
    return pendingCount === 0 && results.isEmpty;
  }

  /**
   * How many more tasks to submit so that the workers do not run dry: what `hungryFactor` times
   * their capacity has room for, or at least `hungryMinimum`, less the tasks that wait already. As
   * large as those that wait, or run, one more is taken to be.
   *
   * @example
   * ```ts
   * for (let left = manager.hungry(); left > 0; left--) manager.submit({ command: "true" });
   * ```
   */
  hungry(): number {
    return this.#shell.hungry();
  }

  /** True when more tasks should be submitted: `hungry()` is above 0. */
  isHungry(): boolean {
    return this.hungry() > 0;
  }

  /**
   * Brings the contents of a file to this machine.
   *
   * @param path Where to put them. Default: a place of the manager's, gone when it closes.
   * @returns Where they are.
   * @throws {Error} When they cannot be had.
   */
  async fetch(file: FileHandle, path?: string): Promise<string> {
    const { store } = this.#shell;
    const source = await store.bring(store.entryOf(file, "file"));
    if (path === undefined) return source;
    const target = resolve(process.cwd(), path);
    if (target !== source) await copyContents(source, target);
    return target;
  }

  /**
   * Gives a file up: copies go when no task needs them.
   *
   * @throws {TypeError} When it is no file of this manager, or was given up before.
   */
  async undeclare(file: FileHandle): Promise<void> {
    const { store } = this.#shell;
    await store.undeclare(store.entryOf(file, "file"));
  }

  /**
   * Has copies of a file brought to that many workers, on different hosts where there are some,
   * and kept at that number; tasks come first. `replicaCount` of the file tells how many there are.
   *
   * @throws {TypeError | RangeError} When it is no file of this manager, or the count is wrong.
   */
  replicate(file: FileHandle, count: number): Promise<void> {
    const { store } = this.#shell;
    return Promise.try(() => {
      store.replicate(store.entryOf(file, "file"), replicaCount(count, "count of replicate"));
    });
  }

  /**
   * Removes the copies of a file from the workers; it is had again when a task needs it.
   *
   * @throws {TypeError} When it is no file of this manager.
   * @throws {Error} When something waits for it, or it could not be had again.
   */
  async prune(file: FileHandle): Promise<void> {
    const { store } = this.#shell;
    await store.prune(store.entryOf(file, "file"));
  }

  /**
   * Changes policies from now on; those of TaskVine are known by its names as well.
   *
   * @returns A line for each parameter of TaskVine that changes nothing here, with the reason.
   * @throws {TypeError | RangeError} When one is unknown or out of range.
   *
   * @example
   * ```ts
   * manager.tune({ replicas: 2, "worker-source-max-transfers": 5 });
   * ```
   */
  tune(policies: PolicyOptions): readonly string[] {
    this.#shell.tune(readPolicies(policies, this.#shell.policies));
    return translateParameters(policies).notes;
  }

  /**
   * Gives a host nothing for a time, or until it is unblocked; what waits there goes elsewhere.
   *
   * @throws {TypeError | RangeError} When the name or an option is wrong.
   */
  blockHost(host: string, options: BlockOptions = {}): void {
    this.#shell.engine.push(hostChange("block", host, options));
  }

  /** Gives a host tasks again that was blocked or drained. */
  unblockHost(host: string): void {
    this.#shell.engine.push(hostChange("unblock", host));
  }

  /** Gives a host nothing more, and lets its workers go when what they run has ended. */
  drainHost(host: string): void {
    this.#shell.engine.push(hostChange("drain", host));
  }

  /** Sends workers away that run nothing, at most so many. */
  releaseWorkers(most: number): void {
    this.#shell.engine.push(workersReleased(most));
  }

  /**
   * Says of a category, that is of tasks alike in resource use, how its tries are sized, between
   * which bounds, and how many may run at a time. May be said again at any time: what is left out
   * stays as it was.
   *
   * @param name As tasks name it in `category`.
   * @throws {TypeError | RangeError} When an option is unknown or has a wrong value.
   *
   * @example
   * ```ts
   * manager.category("blast", {
   *   mode: "max_throughput",
   *   max: { memory: "8GB" },
   *   first: { memory: "1GB" },
   *   maxConcurrent: 40,
   * });
   * manager.submit({ command: "blastn …", category: "blast" });
   * ```
   */
  category(name: string, options: CategoryOptions): void {
    this.#checkOpen();
    this.#shell.declareCategory(readCategory(name, options));
  }

  /** The manager in numbers. */
  status(): ManagerStatus {
    return this.#shell.status();
  }

  /** Calls `listener` with what became true, step by step; returns how to stop. */
  subscribe(listener: (facts: readonly Fact[]) => void): () => void {
    return this.#shell.engine.subscribe(listener);
  }

  /** Calls `listener` when the manager closes, while it can still be asked. */
  onClosed(listener: () => void): void {
    this.#closedListeners.push(listener);
  }

  /** Cancels what is pending, releases the workers, ends local ones and removes what it made. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #shell(): Shell {
    return this.#parts.shell;
  }

  #recipe(
    recipe: "unpack" | "environment",
    archive: FileHandle | string,
    options: FileOptions,
  ): FileHandle {
    const { store } = this.#shell;
    const file = typeof archive === "string" ? this.file(archive, options) : archive;
    const entry = store.entryOf(file, "archive");
    return store.declare(recipeSpec(recipe, entry, options));
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw this.#failure ?? new Error("Cannot use a manager that was closed");
  }

  async #startWorkers(config: ManagerConfig): Promise<void> {
    const { shell, folder, access } = this.#parts;
    const accessPath = join(folder, "access.json");
    const { worker = "" } = access.secrets;
    const urls = loopbackFirst(access.urls);
    await writeAccessCopy(accessPath, { ...access, urls, secrets: { worker } });
    let leftCount = config.workers.count;
    let haveJoined = false;
    this.#workers = await LocalWorkers.start({
      config: config.workers,
      accessPath,
      workspaces: config.workers.workspace ?? join(folder, "workers"),
      logs: join(config.runDirectory ?? folder, "logs"),
      hasJoined: (pid) => shell.hasJoined(pid),
      onExit: (pid, message) => {
        leftCount -= 1;
        haveJoined = shell.noteExit(pid) || haveJoined;
        if (this.#closing !== undefined) return;
        const isAlone = shell.status().workers.connected === 0;
        if (leftCount === 0 && !haveJoined && isAlone) return this.#fail(message);
        process.stderr.write(`tendril: ${message}\n`);
      },
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Local workers that cannot run are a broken environment: tasks would wait for ever. */
  #fail(message: string): void {
    const error = new Error(`Cannot run local workers: none of them came; ${message}`);
    this.#failure = error;
    // While it starts, `start` throws.
    if (this.#workers === undefined) return;
    this.close().then(() => throwLater(error), throwLater);
  }

  async #close(): Promise<void> {
    const { shell, access, folder } = this.#parts;
    for (const listener of this.#closedListeners) listener();
    shell.release("the workflow is over");
    await Promise.all([this.#workers?.close(), shell.close()]);
    await removeAccessFile(access);
    await rm(folder, { recursive: true, force: true });
    noteClosed(this);
  }
}
