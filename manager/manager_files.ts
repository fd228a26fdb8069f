/** The files of a manager, as scripts declare and use them. */

import process from "node:process";

import { resolve } from "@std/path";

import type { Policies } from "./core/policy.ts";
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
import type { FileStore } from "./file_store.ts";
import type { KeepDesk } from "./keep_desk.ts";
import {
  type FindOptions,
  type KeepOptions,
  type KeptFile,
  readFind,
  readKeep,
  readKeptFile,
} from "./kept_file.ts";
import { type MiniTaskOptions, miniTaskSpec, recipeSpec } from "./mini_task.ts";

/** What these methods are for. */
interface FileShell {
  readonly store: FileStore;
  readonly keeps: KeepDesk;
  readonly policies: Policies;
}

/** What a manager has of methods for files. */
export class ManagerFiles {
  readonly #shell: FileShell;

  /** Only managers are made of it. */
  constructor(shell: FileShell) {
    this.#shell = shell;
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
   * Declares what workers fetch from `http://`, `https://`, `ftp://` or, on their own disks,
   * `file://`; as the output of a task, where its worker stores it: by PUT, or beside its path and
   * then renamed.
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
   * Has workers that hold a file keep it beyond this workflow; its bytes stay where they are. From
   * then on it is theirs: `undeclare`, `prune` and the end of this manager leave it alone. What it
   * gives is plain data: stored as JSON, a later manager finds the file by it, with `kept`.
   *
   * @param file What a task has made: a temp or another output, or the `valueFile` of a call.
   * @param options How long it is kept.
   * @returns What to declare it by, once a worker has said that it keeps it.
   * @throws {TypeError | RangeError} When it is no file of this manager, or an option is wrong.
   * @throws {Error} When no task has made it, no worker has it any more, or none could keep it.
   *
   * @example
   * ```ts
   * const model = manager.temp();
   * await manager.submit({ command: "train > model", outputs: { model } }).orThrow();
   * await writeFile("model.json", JSON.stringify(await manager.keep(model, { level: "forever" })));
   * ```
   */
  async keep(file: FileHandle, options: KeepOptions = {}): Promise<KeptFile> {
    const { store, keeps } = this.#shell;
    return await keeps.keep(store.entryOf(file, "file"), readKeep(options));
  }

  /**
   * Declares a file that workers keep since an earlier workflow, or this one: an input like others,
   * as long as a worker that is there has it. A task that needs one which no worker has waits for
   * workers to join, and ends as `input_missing` when those that are there do not have it.
   *
   * @param file What `keep` gave.
   * @throws {TypeError | RangeError} When it cannot be what `keep` gave.
   *
   * @example
   * ```ts
   * const model = manager.kept(JSON.parse(await readFile("model.json", "utf8")));
   * manager.submit({ command: "predict model", inputs: { model } });
   * ```
   */
  kept(file: KeptFile): FileHandle {
    const { store } = this.#shell;
    const bound = readKeptFile(file);
    const source = { kind: "kept", bound } as const;
    const handle = store.declare({ source, level: "worker", peerTransfer: true });
    // At once: whoever asks is told who has it, before a task needs it.
    store.useAsInput(store.entryOf(handle, "file"));
    return handle;
  }

  /**
   * Finds out which kept files some worker has, and has not found damaged. While no worker has
   * joined yet, it waits for the first, and gives others the time of the policy `reconnectGrace`.
   *
   * @param files What `kept` declared.
   * @param options How long it waits.
   * @returns Those that are there, in the order in which they were given.
   * @throws {TypeError | RangeError} When one was not declared by `kept`, or an option is wrong.
   */
  async findKept(
    files: readonly FileHandle[],
    options: FindOptions = {},
  ): Promise<FileHandle[]> {
    const { store, keeps } = this.#shell;
    const timeoutMs = readFind(options);
    for (const file of files) {
      const { id, source } = store.entryOf(file, "file");
      if (source.kind === "kept") continue;
      throw new TypeError(`Cannot find ${source.kind} file ${id} as a kept file: it is none`);
    }
    const found = await keeps.find(files.map(({ id }) => id), timeoutMs);
    return files.filter(({ id }) => found.has(id));
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
}
