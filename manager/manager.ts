/** The manager of a workflow, as scripts use it. */

import { rm } from "node:fs/promises";

import { removeAccessFile } from "./access.ts";
import {
  type ManagerConfig,
  type ManagerOptions,
  type PolicyOptions,
  readManagerOptions,
  readPolicies,
} from "./config.ts";
import { type CategoryOptions, readCategory } from "./category.ts";
import { mergeOptions, withConfigFile } from "./config_file.ts";
import type { NamedFunctions } from "../shared/function_source.ts";
import type { TaskId } from "../shared/ids.ts";
import type { LastingLevel } from "../shared/task.ts";
import type { AppFact, Fact } from "./core/fact.ts";
import { callsOf, pairsOf } from "./fan_out.ts";
import { FileHandle } from "./file_handle.ts";
import type { Library } from "./library.ts";
import type { FunctionLibraryOptions, LibraryOptions } from "./library_option.ts";
import type { MapOptions, ReduceOptions } from "./map_option.ts";
import { LibraryDesk } from "./library_desk.ts";
import type { LocalWorkers } from "./local_worker.ts";
import { ManagerFiles } from "./manager_files.ts";
import { type ManagerParts, startLocalWorkers, startParts, throwLater } from "./manager_parts.ts";
import { tell } from "./notice.ts";
import { defaultManagerOptions, noteClosed, noteOpened } from "./open_managers.ts";
import { type BlockOptions, hostChange, workersReleased } from "./host_change.ts";
import { connectManager, type ConnectOptions, type RemoteManager } from "./remote_manager.ts";
import { type CancelOptions, readCancel, readWait, type WaitOptions } from "./result_filter.ts";
import { runEndOf } from "./run_file.ts";
import type { RunOptions } from "./run_option.ts";
import type { Shell } from "./shell.ts";
import type { ManagerStatus } from "./status.ts";
import { readTask, type TaskOptions } from "./task_definition.ts";
import { TaskHandle } from "./task_handle.ts";
import type { TaskResult } from "./task_result.ts";
import type { PassedArguments } from "./typed_call.ts";
import { translateParameters } from "./tune_parameter.ts";

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
export class Manager extends ManagerFiles implements AsyncDisposable {
  readonly #parts: ManagerParts;
  #starting: Promise<void> | undefined;
  #workers: LocalWorkers | undefined;
  readonly #libraries: LibraryDesk;
  readonly #closedListeners: (() => void)[] = [];
  #closing: Promise<void> | undefined;
  /** Why it ended by itself. */
  #failure: Error | undefined;

  private constructor(parts: ManagerParts) {
    super(parts.shell);
    this.#parts = parts;
    const { shell, folder } = parts;
    this.#libraries = new LibraryDesk(shell, { folder, checkOpen: () => this.#checkOpen() });
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
      tell(note);
    }
    const manager = new Manager(await startParts(config));
    noteOpened(manager);
    try {
      manager.#starting = manager.#startWorkers(config);
      await manager.#starting;
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

  /** Unlike that of any other manager, also of one with its name. */
  get id(): string {
    return this.#parts.access.managerId;
  }

  /** The name under which workers and clients find it. */
  get name(): string {
    return this.#parts.access.name;
  }

  /** Where it is reached best, as `http://127.0.0.1:41234`. */
  get address(): string {
    return this.#shell.url;
  }

  /** The folder of this run's records; undefined until there is something to record, or if none is. */
  get runDirectory(): string | undefined {
    return this.#parts.runDirectory.path;
  }

  /** False when `dashboard: false` was stated. */
  get hasDashboard(): boolean {
    return this.#shell.hasDashboard;
  }

  /**
   * A link that opens the dashboard in a browser, once, within ten minutes; with it the browser may
   * drain and block hosts as well. `tendril dashboard` prints another one.
   *
   * @returns A url with a token in its fragment: whoever has it first comes in.
   * @throws {Error} When this manager has no dashboard, or was closed.
   *
   * @example
   * ```ts
   * console.log(manager.dashboardLink());
   * ```
   */
  dashboardLink(): string {
    this.#checkOpen();
    return `${this.address}/${this.#shell.dashboardFragment("act")}`;
  }

  /**
   * Declares functions that travel by value and are kept running at workers to serve calls, which are
   * checked against them.
   *
   * @returns What calls them.
   * @throws {TypeError | RangeError} When an option is wrong, the name is taken, or a function cannot
   * be taken out of its place.
   *
   * @example
   * ```ts
   * const area = (width: number, height: number) => width * height;
   * const shapes = manager.library({ name: "shapes", functions: { area } });
   * console.log(await shapes.call("area", 6, 7).value()); // 42
   * ```
   */
  library<Functions extends NamedFunctions>(
    options: FunctionLibraryOptions<Functions>,
  ): Library<Functions>;
  /**
   * Declares code that is kept running at workers to serve function calls.
   *
   * @typeParam Module The type of the module, or an interface of its functions: calls are then
   * checked against it. Without it functions are named by text and take anything.
   * @returns What calls its functions.
   * @throws {TypeError | RangeError} When an option is wrong or the name is taken.
   * @throws {Error} When there is no such file of Python.
   *
   * @example
   * ```ts
   * const library = manager.library({ name: "digits", module: "./digits.ts", context: "setup" });
   * const accuracy = await library.call<number>("evaluate", 7).value();
   * const python = manager.library<{ area(width: number, height: number): number }>({
   *   name: "area",
   *   python: "def area(width, height):\n    return width * height\n",
   * });
   * console.log(await python.call("area", 6, 7).value()); // 42
   * ```
   */
  library<Module = unknown>(options: LibraryOptions): Library<Module>;
  library<Module>(options: LibraryOptions): Library<Module> {
    this.#checkOpen();
    return this.#libraries.declare<Module>(options);
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
   * Ships a function and runs it at a worker, in a process of its own: it may use its arguments,
   * globals of the worker, and what its `context` gives it.
   *
   * @param fn Travels as its source. A promise that it returns is awaited at the worker.
   * @param args Plain values; files, which arrive as absolute paths; handles of calls, which arrive
   * as what they returned.
   * @returns A handle: `value()` gives what the function returned.
   * @throws {TypeError} When the function or an argument cannot travel; the message says why.
   *
   * @example
   * ```ts
   * const area = manager.run((width: number, height: number) => width * height, 6, 7);
   * console.log(await area.value());
   * ```
   */
  run<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): TaskHandle<Awaited<R>>;
  /** The same with files or handles among the arguments. */
  run<A extends unknown[], R>(
    fn: (...args: A) => R,
    ...args: PassedArguments<A>
  ): TaskHandle<Awaited<R>>;
  /**
   * The same with options: what it uses by name beside its arguments, what its process is started
   * with, and what calls can be given.
   *
   * @throws {TypeError | RangeError} When an option is wrong as well.
   *
   * @example
   * ```ts
   * const rate = 1.2;
   * const fn = (price: number) => price * rate;
   * const total = await manager.run({ fn, context: { rate }, timeout: "1m" }, 10).value();
   * ```
   */
  run<A extends unknown[], R>(
    options: RunOptions<A, R>,
    ...args: PassedArguments<A>
  ): TaskHandle<Awaited<R>>;
  run<R>(
    fn: ((...args: never[]) => R) | RunOptions<never[], R>,
    ...args: unknown[]
  ): TaskHandle<Awaited<R>> {
    this.#checkOpen();
    // The function says what it returns, and values arrive as they were.
    return this.#libraries.run(fn, args) as TaskHandle<Awaited<R>>;
  }

  /**
   * Runs a function, shipped by value as by `run`, over items; it is kept running between them.
   * As many of its tasks are pending at a time as the workers have use for, so that there may be
   * millions of items. Files among them arrive as paths. What it uses by name beside its arguments is
   * in the option `context`.
   *
   * @returns What it returned, in the order of the items.
   * @throws {TypeError | RangeError} When the function, an item or an option cannot be taken.
   * @throws {TaskError} When an item fails, which ends all; the message says which. With
   * `failures: "collect"` such errors are among the results.
   *
   * @example
   * ```ts
   * const squares = await manager.map((n: number) => n * n, [1, 2, 3], { chunkSize: 100 });
   * ```
   */
  async map<T, R>(
    fn: (item: T) => R,
    items: Iterable<T>,
    options: MapOptions = {},
  ): Promise<Awaited<R>[]> {
    const results = this.#libraries.map(fn, callsOf(items), { owner: "map", options });
    return await results as Awaited<R>[];
  }

  /**
   * Runs a function as `map` does, over all pairs of an item of `a` and one of `b`.
   *
   * @returns What it returned: for the first of `a` with each of `b`, then for the next of `a`.
   * @throws {TypeError | RangeError | TaskError} As `map`.
   */
  async pair<A, B, R>(
    fn: (a: A, b: B) => R,
    a: Iterable<A>,
    b: Iterable<B>,
    options: MapOptions = {},
  ): Promise<Awaited<R>[]> {
    const results = this.#libraries.map(fn, pairsOf(a, b), { owner: "pair", options });
    return await results as Awaited<R>[];
  }

  /**
   * Combines items to one: `fn` takes two neighbours, or what became of them, and returns what
   * takes their place. The order is kept; which neighbours come first is not said. They are
   * combined as soon as they are there, `arity` of them by one task.
   *
   * @throws {TypeError | RangeError} When there is no item, or as `map`.
   * @throws {TaskError} When it fails; the message says for which items.
   *
   * @example
   * ```ts
   * const sum = await manager.treeReduce((a: number, b: number) => a + b, [1, 2, 3], { arity: 8 });
   * ```
   */
  async treeReduce<T>(
    fn: (a: T, b: T) => T | Promise<T>,
    items: Iterable<T>,
    options: ReduceOptions = {},
  ): Promise<T> {
    return await this.#libraries.treeReduce(fn, items, options) as T;
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
   */
  hungry(): number {
    return this.#shell.hungry();
  }

  /** True when more tasks should be submitted: `hungry()` is above 0. */
  isHungry(): boolean {
    return this.hungry() > 0;
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

  /** @internal A number of the sequence of tasks, for a call of an app. */
  newCallId(): TaskId {
    this.#checkOpen();
    return this.#shell.tasks.reserveId();
  }

  /** @internal The folder of this run's records, made now; undefined if there is none. */
  makeRunDirectory(): string | undefined {
    return this.#parts.runDirectory.make();
  }

  /** @internal True of the file or the task of this very manager. */
  owns(handle: FileHandle | TaskHandle<unknown>): boolean {
    return handle instanceof FileHandle
      ? handle.isOf(this.#shell.store)
      : handle.isOf(this.#shell.tasks);
  }

  /** @internal Has what `submit` submits be told of as a try of that call of an app. */
  asTryOf<T>(callId: TaskId, submit: () => T): T {
    return this.#shell.tasks.asTryOf(callId, submit);
  }

  /** @internal Tells the readers of facts about a call of an app. */
  noteApp(fact: AppFact): void {
    this.#shell.engine.note(fact);
  }

  /** @internal The name of the app that a task is a try of; undefined where it is none. */
  appOf(id: TaskId): string | undefined {
    return this.#shell.catalog.get(id)?.call?.app;
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

  /**
   * Whether what workers keep now can be there after this manager. Its own local workers end with
   * it; of what they keep forever their hosts keep what is in a `workspace` that was stated.
   *
   * @param level How it is kept.
   */
  canOutlive(level: LastingLevel): boolean {
    const workers = this.#workers;
    if (level === "forever" && workers?.isWorkspaceKept === true) return true;
    return this.#shell.status().workers.connected > (workers?.joinedCount ?? 0);
  }

  get #shell(): Shell {
    return this.#parts.shell;
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw this.#failure ?? new Error("Cannot use a manager that was closed");
  }

  async #startWorkers(config: ManagerConfig): Promise<void> {
    this.#workers = await startLocalWorkers(this.#parts, {
      config,
      isClosing: () => this.#closing !== undefined,
      onNoneCame: (message) => this.#fail(message),
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
    const { shell, access, folder, runDirectory, log, failedOutputs } = this.#parts;
    // Whoever looks at the end sees all that was said before it.
    shell.engine.flush();
    for (const listener of this.#closedListeners) listener();
    shell.release("the workflow is over");
    await this.#starting?.catch(() => {
      // Whoever started it is told.
    });
    await Promise.all([this.#workers?.close(), shell.close(), this.#libraries.close()]);
    const runEnd = runEndOf(shell.status());
    await failedOutputs.close();
    await shell.records?.close();
    log.noteEnd(runEnd);
    await log.close();
    await runDirectory.end(runEnd);
    await removeAccessFile(access);
    await rm(folder, { recursive: true, force: true });
    noteClosed(this);
  }
}
