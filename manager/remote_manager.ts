/** A manager in another process, as scripts use it: `await Manager.connect({ name: "blast" })`. */

import { hostname } from "node:os";

import { assert } from "../shared/assert.ts";
import type { TaskId } from "../shared/ids.ts";
import { connectClient } from "./find_manager.ts";
import type { ClientConnection } from "./client.ts";
import { ClientError } from "./client_error.ts";
import type {
  FileRow,
  LibraryRow,
  TaskLogs,
  TaskRow,
  TaskSelection,
  WorkerRow,
} from "./client_protocol.ts";
import { type CategoryOptions, readCategory } from "./category.ts";
import type { Duration, PolicyOptions } from "./config.ts";
import type { Explanation } from "./core/explanation.ts";
import {
  bufferSpec,
  type FileOptions,
  localSpec,
  readFileOptions,
  replicaCount,
  type TempOptions,
  tempSpec,
  type UrlOptions,
  urlSpec,
} from "./file_options.ts";
import type { FileSpec } from "./file_store.ts";
import { duration, readOptions, text } from "./option.ts";
import { submitParts } from "./remote_array.ts";
import { type RemoteFile, RemoteFiles, type RemoteFileSpec } from "./remote_file.ts";
import { type BlockOptions, hostChange, workersReleased } from "./host_change.ts";
import { RemoteResults } from "./remote_results.ts";
import {
  readRemoteMember,
  readRemoteMiniTask,
  readRemoteTask,
  type RemoteMember,
  type RemoteMiniTaskOptions,
  type RemoteTaskOptions,
} from "./remote_task_options.ts";
import { type RemoteOwner, type RemoteResult, RemoteTask } from "./remote_task.ts";
import { type CancelOptions, readCancel, readWait, type WaitOptions } from "./result_filter.ts";
import { followRemote } from "./remote_follow.ts";
import { ResultQueue } from "./result_queue.ts";
import { explanationsOf, fileRows, taskRows } from "./rows.ts";
import type { ManagerStatus } from "./status.ts";
import type { TaskFilter } from "./task_desk.ts";
import type { TaskStateName } from "./task_handle.ts";
import { translateParameters } from "./tune_parameter.ts";

/** Which manager to connect to, and how patiently. */
export interface ConnectOptions {
  /** Name of the manager. Default: the only one of this user that runs. */
  readonly name?: string;
  /** Path of its access file, where it is not found by name. */
  readonly access?: string;
  /** Time for a manager that is only starting. Default `"10s"`. */
  readonly timeout?: Duration;
}

/** Options of a file that is declared from afar. */
export type RemoteFileOptions = FileOptions;

/** Options of a url that is declared from afar. */
export type RemoteUrlOptions = Omit<UrlOptions, "peerTransfer">;

const WAIT_MS_DEFAULT = 10_000;

/**
 * A manager in another process. What is submitted goes on when this side closes; the files that it
 * declared are given up some minutes later, when no task needs them.
 *
 * @example
 * ```ts
 * await using manager = await Manager.connect({ name: "blast" });
 * const result = await manager.submit({ command: "hostname" });
 * console.log(result.stdout);
 * ```
 */
export class RemoteManager implements AsyncDisposable {
  readonly #connection: ClientConnection;
  readonly #files: RemoteFiles;
  /** Tasks whose results are not here. */
  readonly #pending: Set<RemoteTask> = new Set();
  readonly #results: ResultQueue<RemoteResult> = new ResultQueue(() => this.#pending.size === 0);
  readonly #owner: RemoteOwner;
  /** True once somebody takes results as they come. */
  #isWatching = false;
  /** Why a task that nobody awaits has no result. */
  #failure: Error | undefined;

  /** Made by `Manager.connect`. */
  constructor(connection: ClientConnection, host: string = hostname()) {
    this.#connection = connection;
    // Hosts of one name share their disks, or are one.
    this.#files = new RemoteFiles(connection, connection.host === host);
    const results = new RemoteResults(connection);
    this.#owner = {
      stateOf: (id) => this.#stateOf(id),
      explain: (id) => this.explain(id),
      cancel: async (id) => void await this.#cancel({ kind: "ids", ranges: [[id, id]] }),
      follow: (taskId, source) => followRemote(connection, { taskId, source }),
      deliver: (file) => this.#files.deliver(file),
      resultOf: (id) => results.of(id),
      ended: (task, error) => this.#ended(task, error),
    };
  }

  /** The manager's name. */
  get name(): string {
    return this.#connection.name;
  }

  /** The url by which it is reached. */
  get address(): string {
    return this.#connection.url;
  }

  /**
   * Declares a file or directory of this machine: an input, or an output that comes back to it.
   * Where the manager runs on another host, an input is sent to it; an output is written here when
   * its task is awaited, or its result taken.
   *
   * @param path Relative to the working directory.
   * @throws {TypeError | RangeError} When it is no path, or an option is wrong.
   */
  file(path: string | URL, options: RemoteFileOptions = {}): RemoteFile {
    return this.#declare(localSpec(path, options));
  }

  /**
   * Declares what workers fetch from `http://`, `https://` or, on their own disks, `file://`; as
   * the output of a task, where its worker stores it.
   *
   * @throws {TypeError | RangeError} When it is none of these, or an option is wrong.
   */
  url(url: string | URL, options: RemoteUrlOptions = {}): RemoteFile {
    return this.#declare(urlSpec(url, options));
  }

  /**
   * Declares text or bytes as an input; with no data an output, to be read by `contents()`.
   *
   * @throws {TypeError | RangeError} When it is neither, or an option is wrong.
   */
  buffer(data?: string | Uint8Array, options: RemoteFileOptions = {}): RemoteFile {
    return this.#declare(bufferSpec(data, options));
  }

  /**
   * Declares an output that stays in the cluster, where other tasks read it.
   *
   * @throws {TypeError | RangeError} When an option is wrong.
   */
  temp(options: TempOptions = {}): RemoteFile {
    return this.#declare(tempSpec(options));
  }

  /**
   * Declares the directory that the worker which needs it makes of an archive.
   *
   * @param archive A declared file, or a path of this machine.
   * @throws {TypeError | RangeError} When it is neither, or an option is wrong.
   */
  unpack(archive: RemoteFile | string, options: RemoteFileOptions = {}): RemoteFile {
    return this.#recipe("unpack", archive, options);
  }

  /**
   * Declares unpacked software for the `environment` of tasks.
   *
   * @param archive A declared file, or a path of this machine.
   * @throws {TypeError | RangeError} When it is neither, or an option is wrong.
   */
  environment(archive: RemoteFile | string, options: RemoteFileOptions = {}): RemoteFile {
    return this.#recipe("environment", archive, options);
  }

  /**
   * Declares what a command makes at the worker that needs it; see `Manager.miniTask`.
   *
   * @param mount The file or directory that the command leaves in its sandbox.
   * @throws {TypeError | RangeError} When the definition or an option is wrong.
   */
  miniTask(
    task: RemoteMiniTaskOptions,
    mount: string,
    options: RemoteFileOptions = {},
  ): RemoteFile {
    const { level, mode } = readFileOptions(options, "miniTask");
    const { peerTransfer = false } = options;
    const toClientFile = readRemoteMiniTask(task, { mount, files: this.#files });
    const source = { kind: "mini_task", toClientFile } as const;
    return this.#files.declare({ source, level, mode, peerTransfer });
  }

  /**
   * Submits a command task; its inputs are sent first.
   *
   * @returns A handle: await it for the `RemoteResult`.
   * @throws {TypeError | RangeError} When the definition is wrong.
   */
  submit(task: RemoteTaskOptions): RemoteTask {
    const { toClientTask, outputs, tag } = readRemoteTask(task, this.#files);
    const submit = async (): Promise<TaskId> => {
      const members = [{ env: {}, outputs: [] }];
      const [id] = await submitParts(this.#connection, await toClientTask(), members);
      assert(id, "A part of one member has one id");
      return id;
    };
    const handle = new RemoteTask(this.#owner, { submitted: submit(), tag, outputs });
    this.#pending.add(handle);
    if (this.#isWatching) this.#watch(handle);
    return handle;
  }

  /**
   * Submits many tasks alike: what they have in common is sent once.
   *
   * @returns Their numbers, in the order of `members`, for `cancel` and `logs`.
   * @throws {TypeError | RangeError} When the definition is wrong.
   */
  async submitArray(
    task: RemoteTaskOptions,
    members: readonly RemoteMember[],
  ): Promise<TaskId[]> {
    const { toClientTask } = readRemoteTask(task, this.#files);
    const checked = members.map((member) => readRemoteMember(member, this.#files));
    const clientMembers = await Promise.all(checked.map((toMember) => toMember()));
    return await submitParts(this.#connection, await toClientTask(), clientMembers);
  }

  /** Results of the tasks of this connection as they end, until none is pending; each once. */
  async *completed(): AsyncGenerator<RemoteResult, void> {
    this.#watchAll();
    yield* this.#results.iterate();
    this.#throwFailure();
  }

  /**
   * The next result of a task of this connection that nobody has taken.
   *
   * @returns Undefined when the time is over or no task is pending.
   * @throws {TypeError | RangeError} When an option is wrong.
   */
  async wait(options: WaitOptions = {}): Promise<RemoteResult | undefined> {
    const { filter, timeoutMs } = readWait(options);
    this.#watchAll();
    const result = await this.#results.take(filter, timeoutMs);
    if (result === undefined) this.#throwFailure();
    return result;
  }

  /**
   * Cancels a task, or all of the manager's pending tasks that fit, whoever submitted them.
   *
   * @returns How many; the outcome of each becomes `cancelled`.
   * @throws {TypeError | RangeError} When it is not said which.
   */
  async cancel(what: RemoteTask | CancelOptions): Promise<number> {
    if (what instanceof RemoteTask) {
      const id = await what.submitted();
      return await this.#cancel({ kind: "ids", ranges: [[id, id]] });
    }
    const selection = selectionOf(readCancel(what));
    // What this side has submitted before is to be among them.
    await Promise.all([...this.#pending].map((task) => task.taken()));
    return await this.#cancel(selection);
  }

  /** True when no task of this connection is pending and no result waits to be taken. */
  isEmpty(): boolean {
    return this.#pending.size === 0 && this.#results.isEmpty;
  }

  /**
   * Brings the contents of a file to a path of this machine.
   *
   * @returns Where they are.
   * @throws {Error} When they cannot be had.
   */
  async fetch(file: RemoteFile, path: string): Promise<string> {
    return await this.#files.save(file, path);
  }

  /**
   * Gives a file up: copies go when no task needs them.
   *
   * @throws {TypeError} When it is no file of this manager, or was given up before.
   */
  async undeclare(file: RemoteFile): Promise<void> {
    await this.#files.undeclare(file);
  }

  /**
   * Has copies of a file brought to that many workers and kept at that number; tasks come first.
   *
   * @throws {TypeError | RangeError} When it is no file of this manager, or the count is wrong.
   */
  replicate(file: RemoteFile, count: number): Promise<void> {
    return Promise.try(() => {
      this.#files.check(file, "file");
      return this.#files.replicate(file, replicaCount(count, "count of replicate"));
    });
  }

  /**
   * Removes the copies of a file from the workers; it is had again when a task needs it.
   *
   * @throws {TypeError} When it is no file of this manager.
   * @throws {ClientError} When something waits for it, or it could not be had again.
   */
  async prune(file: RemoteFile): Promise<void> {
    await this.#files.prune(file);
  }

  /**
   * Changes policies from now on; those of TaskVine are known by its names as well.
   *
   * @returns A line for each parameter of TaskVine that changes nothing here, with the reason.
   * @throws {ClientError} When one is unknown or out of range.
   */
  async tune(policies: PolicyOptions): Promise<readonly string[]> {
    await this.#connection.ask({
      kind: "tune",
      // Policies are checked by the manager, whose they are.
      policies: policies as Readonly<Record<string, string | number | boolean>>,
    });
    return translateParameters(policies).notes;
  }

  /** As `Manager.blockHost`. */
  async blockHost(host: string, options: BlockOptions = {}): Promise<void> {
    await this.#changeHost(hostChange("block", host, options));
  }

  /** As `Manager.unblockHost`. */
  async unblockHost(host: string): Promise<void> {
    await this.#changeHost(hostChange("unblock", host));
  }

  /** As `Manager.drainHost`. */
  async drainHost(host: string): Promise<void> {
    await this.#changeHost(hostChange("drain", host));
  }

  /** As `Manager.releaseWorkers`. */
  async releaseWorkers(most: number): Promise<void> {
    const { count } = workersReleased(most);
    await this.#connection.ask({ kind: "dismiss", count });
  }

  /**
   * Says of a category how its tries are sized, between which bounds, and how many may run at a
   * time; see `Manager.category`.
   *
   * @throws {TypeError | RangeError} When an option is unknown or has a wrong value.
   */
  category(name: string, options: CategoryOptions): Promise<void> {
    return Promise.try(async () => {
      readCategory(name, options);
      await this.#connection.ask({ kind: "category", name, options });
    });
  }

  /** The manager in numbers. */
  async status(): Promise<ManagerStatus> {
    return (await this.#connection.ask({ kind: "status" })).status;
  }

  /** Tasks that the manager remembers, by id, whoever submitted them. */
  async tasks(): Promise<TaskRow[]> {
    return await taskRows(this.#connection, { selection: { kind: "all" } });
  }

  /** The libraries that the manager's own script has declared. */
  async libraries(): Promise<readonly LibraryRow[]> {
    return (await this.#connection.ask({ kind: "libraries" })).libraries;
  }

  /** The manager's workers. */
  async workers(): Promise<readonly WorkerRow[]> {
    return (await this.#connection.ask({ kind: "workers" })).workers;
  }

  /** Files that are declared, by whomever. */
  async files(): Promise<FileRow[]> {
    return await fileRows(this.#connection);
  }

  /**
   * Why the task of that number does not run, whoever submitted it.
   *
   * @throws {ClientError} When there is no such task.
   */
  async explain(taskId: number): Promise<Explanation> {
    const selection = { kind: "ids", ranges: [[taskId, taskId]] } as const;
    const { explanations } = await explanationsOf(this.#connection, { selection, most: 1 });
    const [found] = explanations;
    if (found !== undefined) return found;
    throw new ClientError("failed", `Cannot explain task ${taskId}: it ended too long ago`);
  }

  /** What the task of that number wrote, as far as the manager has it. */
  async logs(taskId: number): Promise<TaskLogs> {
    // Any number may be asked for; the manager says when it is no task's.
    return (await this.#connection.ask({ kind: "logs", taskId: taskId as TaskId })).logs;
  }

  /**
   * Closes the connection, once the manager has all that was submitted; tasks go on.
   *
   * @throws {Error} When a task that nobody awaits could not be submitted.
   */
  async close(): Promise<void> {
    try {
      await Promise.allSettled([...this.#pending].map((task) => task.taken()));
    } finally {
      await this.#connection.close();
      this.#results.stop();
    }
    this.#throwFailure();
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #declare(spec: FileSpec): RemoteFile {
    const { level, mode, peerTransfer, replicas, isReleasedByUse = false } = spec;
    const source = spec.source.kind === "temp"
      ? { kind: "temp" as const, replicas, isReleasedByUse }
      // Local, url, and a buffer whose bytes are at hand: all that the methods above make.
      : spec.source as RemoteFileSpec["source"];
    return this.#files.declare({ source, level, mode, peerTransfer });
  }

  #recipe(
    recipe: "unpack" | "environment",
    archive: RemoteFile | string,
    options: RemoteFileOptions,
  ): RemoteFile {
    const { level, mode, peerTransfer } = readFileOptions(options, recipe);
    const file = typeof archive === "string" ? this.file(archive, options) : archive;
    const checked = this.#files.check(file, "archive");
    const toClientFile = async () => {
      return { kind: recipe, archive: await this.#files.input(checked) } as const;
    };
    const source = { kind: "mini_task", toClientFile } as const;
    return this.#files.declare({ source, level, mode, peerTransfer });
  }

  async #changeHost({ host, change, forMs }: ReturnType<typeof hostChange>): Promise<void> {
    const time = forMs < Infinity ? { forMs } : {};
    await this.#connection.ask({ kind: "host", host, change, ...time });
  }

  async #stateOf(id: TaskId): Promise<TaskStateName> {
    const [row] = await taskRows(this.#connection, {
      selection: { kind: "ids", ranges: [[id, id]] },
    });
    return row?.state ?? "done";
  }

  async #cancel(selection: TaskSelection): Promise<number> {
    return (await this.#connection.ask({ kind: "cancel", selection })).count;
  }

  #watchAll(): void {
    if (!this.#isWatching) { for (const task of this.#pending) this.#watch(task); }
    this.#isWatching = true;
  }

  #watch(task: RemoteTask): void {
    task.ending().catch(() => {
      // `ended` has it.
    });
  }

  #ended(task: RemoteTask, error: Error | undefined): void {
    if (!this.#pending.delete(task)) return;
    if (error === undefined) return this.#results.offer(task, task.isAwaited);
    if (!task.isHeard) this.#failure ??= error;
    if (this.#pending.size === 0) this.#results.stop();
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

/** What a manager is asked for those that fit. */
function selectionOf({ tag, category, taskId }: TaskFilter): TaskSelection {
  const [first = { kind: "all" }, ...others]: readonly TaskSelection[] = [
    ...(taskId === undefined ? [] : [{ kind: "ids", ranges: [[taskId, taskId]] } as const]),
    ...(tag === undefined ? [] : [{ kind: "tag", label: tag } as const]),
    ...(category === undefined ? [] : [{ kind: "category", label: category } as const]),
  ];
  if (others.length === 0) return first;
  throw new TypeError("Cannot cancel tasks of a manager elsewhere by more than one property");
}

/** Connects to the manager that is meant. */
export async function connectManager(options: ConnectOptions): Promise<RemoteManager> {
  const read = readOptions<ConnectOptions>(options, "Manager.connect", {
    name: text,
    access: text,
    timeout: duration,
  });
  const { timeout = WAIT_MS_DEFAULT, ...target } = read;
  return new RemoteManager(await connectClient(target, { waitMs: Number(timeout) }));
}
