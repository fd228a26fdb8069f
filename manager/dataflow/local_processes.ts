/**
 * An executor of this machine: commands, functions of JavaScript and of Python run in child processes
 * here, without a manager, a worker or a server.
 *
 * @module
 */

import { existsSync, mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { availableParallelism, hostname, tmpdir } from "node:os";
import process from "node:process";

import { join, resolve } from "@std/path";

import { findProgram } from "../../shared/find_program.ts";
import type { LocalEnd, LocalOrder, LocalOutput, LocalTry } from "../../shared/local_try.ts";
import {
  newOrderedQueue,
  type OrderedQueue,
  peekOrdered,
  popOrdered,
  pushOrdered,
} from "../../shared/ordered_queue.ts";
import { VALUE_BYTES_MAX } from "../../shared/protocol.ts";
import { decodeThrown, errorOfThrown } from "../../shared/thrown.ts";
import { parseDuration } from "../../shared/units.ts";
import { encodeValueFile } from "../../shared/value.ts";
import { count, label, type Reader, readOptions, text } from "../option.ts";
import { messageOf } from "./app_error.ts";
import type {
  AppTry,
  Executor,
  RunningTry,
  StreamName,
  TryEnd,
  TryFailure,
  TryOutput,
  TryWork,
  TryWritten,
} from "./executor.ts";
import type { File } from "./file.ts";
import { LocalCode } from "./local_code.ts";
import type { CommandValue } from "./manager_executor.ts";
import { OptionCheck } from "./option_check.ts";
import { PlacedFile } from "./placed_file.ts";
import { ScratchFiles } from "./scratch_files.ts";
import { StoredValue } from "./stored_value.ts";
import { type EncodedTry, encodeTry } from "./try_arguments.ts";
import { TryChild } from "./try_child.ts";

/** How tries run on this machine. */
export interface LocalProcessesOptions {
  /** Of the executor. Default `"local"`. */
  readonly label?: string;
  /** Cores for tries: so many of one core run at a time. Default: those of this machine. */
  readonly count?: number;
  /**
   * Where it has its files, in a new folder: those that calls make and that go nowhere else stay
   * there. Default: the folder for temporary files, and they are removed with the flow.
   */
  readonly folder?: string;
}

/** Processes that a machine is asked for at most. */
const COUNT_MAX = 4_096;

/** What a try counts that asks for less: otherwise any number of them would run at a time. */
const CORES_MIN = 1 / 16;

/** Parts of cores do not add up exactly. */
const CORES_SLACK = 1e-6;

const OPTIONS = new OptionCheck(["cores", "env", "priority", "category", "tag", "timeout"]);

const folderReader: Reader<string> = (value, what) => resolve(text(value, what));

/**
 * An executor that runs calls in child processes of this machine: commands by `/bin/sh -c` in
 * directories of their own, functions in processes that are kept for further calls, at most `count`
 * at a time, those of a higher `priority` first. What a call has started ends with it, when it is
 * cancelled, when its `timeout` is over, and when this process dies. It honours `cores`, `env`,
 * `priority` and `timeout`, and refuses apps that state memory, disk, GPUs, features or environments;
 * functions of Python need `python3` in `PATH`.
 *
 * @throws {TypeError | RangeError} When an option is wrong.
 *
 * @example
 * ```ts
 * await using flow = await load({ executors: [localProcesses({ count: 4 })] });
 * const greet = shellApp((name: string) => `echo hello ${name}`);
 * console.log((await greet("world")).stdout);
 * ```
 */
export function localProcesses(options: LocalProcessesOptions = {}): Executor {
  const read = readOptions<LocalProcessesOptions>(options, "localProcesses", {
    label,
    count: count(1, COUNT_MAX),
    folder: folderReader,
  });
  return new LocalExecutor(read);
}

/** A try from its submission to its end. */
interface Entry {
  readonly tryId: number;
  readonly priority: number;
  readonly cores: number;
  readonly aTry: AppTry;
  /** Of a function. */
  readonly encoded: EncodedTry | undefined;
  readonly onEnd: (end: TryEnd) => void;
  state: "waiting" | "starting" | "running" | "ended";
  isCancelled: boolean;
  /** Gives up what was fetched or written for it. */
  readonly held: (() => void)[];
}

/** Owner of the process that runs them. */
class LocalExecutor implements Executor {
  readonly label: string;
  readonly #count: number;
  readonly #given: string | undefined;
  #folder: string | undefined;
  #freeCores: number;
  #lastId = 0;
  #childCount = 0;
  #isClosed = false;
  readonly #waiting: OrderedQueue<Entry> = newOrderedQueue((one, other) => {
    return one.priority === other.priority
      ? one.tryId < other.tryId
      : one.priority > other.priority;
  });
  /** Those that have cores; `{id: entry}`. */
  readonly #started: Map<number, Entry> = new Map();
  readonly #code: LocalCode = new LocalCode(() => this.#path("code"));
  readonly #scratch: ScratchFiles = new ScratchFiles(() => this.#path("scratch"));
  readonly #child: TryChild;

  constructor({ label = "local", count = availableParallelism(), folder }: LocalProcessesOptions) {
    this.label = label;
    this.#count = count;
    this.#freeCores = count;
    this.#given = folder;
    this.#child = new TryChild({
      folder: () => {
        this.#childCount += 1;
        return this.#path(`tries-${this.#childCount}`);
      },
      onEnd: (end) => this.#heard(end),
      onLost: (tryIds, reason) => this.#lost(tryIds, reason),
    });
  }

  /** See `Executor`. */
  refusal({ target }: TryWork): string | undefined {
    const { cores = 1 } = target.process;
    if (cores > this.#count) return `has ${this.#count} cores, and the app needs ${cores}`;
    if (
      target.body.kind === "python" &&
      findProgram("python3", process.env["PATH"] ?? "") === undefined
    ) {
      return "finds no python3 in PATH, and the app is of Python";
    }
    return OPTIONS.refusal(target);
  }

  /** See `Executor`. */
  places({ scheme }: File): boolean {
    return scheme === "file";
  }

  /** See `Executor`. */
  owns({ content }: StoredValue): boolean {
    return content.kind === "file";
  }

  /** See `Executor`. */
  submit(aTry: AppTry, onEnd: (end: TryEnd) => void): RunningTry {
    if (this.#isClosed) throw new Error(`Cannot run "${aTry.app}": its executor is closed`);
    const { target } = aTry;
    const refusal = this.refusal(aTry);
    if (refusal !== undefined) {
      throw new TypeError(`Cannot run "${aTry.app}" on executor "${this.label}": it ${refusal}`);
    }
    const isCommand = target.body.kind === "command";
    if (!isCommand) void this.#code.libraryOf(target);
    this.#lastId += 1;
    const entry: Entry = {
      tryId: this.#lastId,
      priority: target.call.priority ?? 0,
      cores: Math.max(target.process.cores ?? 1, CORES_MIN),
      aTry,
      encoded: isCommand ? undefined : encodeTry(aTry),
      onEnd,
      state: "waiting",
      isCancelled: false,
      held: [],
    };
    pushOrdered(this.#waiting, entry);
    this.#fill();
    return { cancel: () => this.#cancel(entry) };
  }

  /** See `Executor`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (
      let next = popOrdered(this.#waiting);
      next !== undefined;
      next = popOrdered(this.#waiting)
    ) {
      this.#cancel(next);
    }
    for (const entry of this.#started.values()) this.#cancel(entry);
    await this.#child.close();
    for (const entry of [...this.#started.values()]) this.#end(entry, cancelledEnd());
    await this.#removeFiles();
  }

  /** Starts what there are cores for; the first one in the order is not overtaken. */
  #fill(): void {
    for (let next = peekOrdered(this.#waiting); next; next = peekOrdered(this.#waiting)) {
      if (next.state === "ended") popOrdered(this.#waiting);
      else if (next.cores > this.#freeCores + CORES_SLACK) return;
      else {
        popOrdered(this.#waiting);
        this.#freeCores -= next.cores;
        this.#started.set(next.tryId, next);
        void this.#start(next);
      }
    }
  }

  async #start(entry: Entry): Promise<void> {
    entry.state = "starting";
    try {
      const order = entry.encoded === undefined
        ? await this.#commandOrder(entry)
        : await this.#callOrder(entry, entry.encoded);
      if (entry.state !== "starting") return;
      if (entry.isCancelled) return this.#end(entry, cancelledEnd());
      const library = entry.encoded && await this.#code.libraryOf(entry.aTry.target);
      if (entry.isCancelled) return this.#end(entry, cancelledEnd());
      entry.state = "running";
      this.#child.run(order, library);
    } catch (error) {
      const kind = error instanceof FetchError ? "transfer_failed" : "start_failed";
      this.#end(entry, failedEnd({ kind, message: messageOf(error), cause: error }));
    }
  }

  async #commandOrder(entry: Entry): Promise<Extract<LocalOrder, { kind: "command" }>> {
    const { command = "", target: { process: { env = {}, cores = 1 } }, streams = [] } = entry.aTry;
    const paths = streams.map((stream) => [stream, this.#streamPath(entry, stream)]);
    const told = { ...await this.#tryOf(entry), command, env, cores };
    return { kind: "command", command: { ...told, streams: Object.fromEntries(paths) } };
  }

  async #callOrder(
    entry: Entry,
    encoded: EncodedTry,
  ): Promise<Extract<LocalOrder, { kind: "call" }>> {
    const { aTry: { target } } = entry;
    const files: string[] = [];
    for (const file of encoded.files) {
      files.push(typeof file === "string" ? file : await this.#bring(entry, file));
    }
    let { bytes } = encoded;
    if (bytes.length > VALUE_BYTES_MAX) {
      const path = join(this.#path("scratch"), `arguments-${entry.tryId}`);
      entry.held.push(() => void rm(path, { force: true }).catch(ignoreLeft));
      await writeFile(path, bytes);
      bytes = encodeValueFile(files.length);
      files.push(path);
    }
    const { libraryId } = await this.#code.libraryOf(target);
    const call = {
      ...await this.#tryOf(entry),
      libraryId,
      function: target.body.function,
      arguments: bytes,
      files,
      valuePath: this.#valuePath(entry),
    };
    return { kind: "call", call };
  }

  async #tryOf(entry: Entry): Promise<LocalTry> {
    const { tryId, aTry } = entry;
    const { timeout } = aTry.target.call;
    const inputs: { mount: string; path: string }[] = [];
    for (const [mount, file] of Object.entries(aTry.inputs)) {
      inputs.push({ mount, path: await this.#bring(entry, file) });
    }
    return {
      tryId,
      callId: aTry.callId,
      try: aTry.try,
      timeoutMs: timeout === undefined ? 0 : parseDuration(timeout, "timeout"),
      inputs,
      outputs: Object.values(aTry.outputs).map((output) => this.#outputOf(entry, output)),
    };
  }

  async #bring(entry: Entry, file: PlacedFile): Promise<string> {
    try {
      const path = await this.#scratch.take(file);
      if (entry.state === "ended") this.#scratch.release(file);
      else entry.held.push(() => this.#scratch.release(file));
      return path;
    } catch (error) {
      throw new FetchError(`Cannot bring file "${file.name}": ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #outputOf({ aTry, tryId }: Entry, { mount, to, isAppended = false }: TryOutput): LocalOutput {
    if (to?.scheme === "file") return { mount, to: to.path, isAppended };
    const folder = this.#path("outputs");
    return { mount, to: join(folder, `${aTry.callId}.${aTry.try}.${tryId}`, mount), isAppended };
  }

  #valuePath({ tryId }: Entry): string {
    return join(this.#path("values"), String(tryId));
  }

  #streamPath({ tryId }: Entry, stream: StreamName): string {
    return join(this.#path("streams"), `${tryId}.${stream}`);
  }

  /** All that a command wrote, and what is known of what a function did. */
  #writtenOf(entry: Entry, texts: { readonly [Stream in StreamName]: string }): TryWritten {
    const { streams: wanted = [], target: { body } } = entry.aTry;
    if (wanted.length === 0) return {};
    if (body.kind !== "command") {
      return { streams: Object.fromEntries(wanted.map((stream) => [stream, texts[stream]])) };
    }
    const paths = wanted.map((stream) => [stream, this.#streamPath(entry, stream)] as const)
      .filter(([, path]) => existsSync(path));
    const files = paths.map(([stream, path]) => {
      return [stream, new PlacedFile({ kind: "path", path })] as const;
    });
    return {
      streams: Object.fromEntries(files),
      release: () => {
        for (const [, path] of paths) void rm(path, { force: true }).catch(ignoreLeft);
      },
    };
  }

  #cancel(entry: Entry): void {
    if (entry.isCancelled || entry.state === "ended") return;
    entry.isCancelled = true;
    if (entry.state === "waiting") queueMicrotask(() => this.#end(entry, cancelledEnd()));
    else if (entry.state === "running") this.#child.stop(entry.tryId);
  }

  #heard(end: LocalEnd): void {
    const entry = this.#started.get(end.tryId);
    if (entry !== undefined) this.#end(entry, this.#endOf(entry, end));
  }

  #lost(tryIds: readonly number[], reason: string): void {
    for (const tryId of tryIds) {
      const entry = this.#started.get(tryId);
      if (entry === undefined) continue;
      const message = `The process that runs tries on this machine is lost: ${reason}`;
      const isWanted = !entry.isCancelled && !this.#isClosed;
      this.#end(entry, isWanted ? failedEnd({ kind: "worker_lost", message }) : cancelledEnd());
    }
  }

  #endOf(entry: Entry, end: LocalEnd): TryEnd {
    const decoder = new TextDecoder();
    const [stdout, stderr] = [decoder.decode(end.stdout), decoder.decode(end.stderr)];
    const { outcome, message, exitCode, signal, value, ranMs } = end;
    const written = this.#writtenOf(entry, { stdout, stderr });
    if (outcome === "success") {
      const outputs: { [name: string]: PlacedFile } = {};
      for (const [name, output] of Object.entries(entry.aTry.outputs)) {
        const path = this.#outputOf(entry, output).to;
        outputs[name] = new PlacedFile({ kind: "path", path });
      }
      const done = { kind: "done", value: this.#valueOf(entry, end), outputs } as const;
      return { ...done, ...written, host: hostname(), ranMs };
    }
    const thrown = outcome === "call_error" && value !== undefined
      ? errorOfThrown(decodeThrown(value))
      : undefined;
    const failure = {
      kind: outcome,
      message: thrown === undefined ? message : `${thrown.name}: ${thrown.message}`,
      ...(thrown === undefined ? {} : { cause: thrown }),
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(signal === undefined ? {} : { signal }),
      stdout,
      stderr,
    };
    return { ...failedEnd(failure), ...written };
  }

  #valueOf(entry: Entry, { value, hasValueFile, stdout, stderr }: LocalEnd): StoredValue {
    if (hasValueFile === true) return StoredValue.inFile(this.#valuePath(entry));
    if (value !== undefined) return StoredValue.encoded(value);
    const decoder = new TextDecoder();
    return StoredValue.plain(
      {
        exitCode: 0,
        stdout: decoder.decode(stdout),
        stderr: decoder.decode(stderr),
      } satisfies CommandValue,
    );
  }

  #end(entry: Entry, end: TryEnd): void {
    if (entry.state === "ended") return;
    entry.state = "ended";
    for (const release of entry.held.splice(0)) release();
    if (this.#started.delete(entry.tryId)) this.#freeCores += entry.cores;
    entry.onEnd(end);
    this.#fill();
  }

  /** A folder for a kind of files, made with the folder of all. */
  #path(name: string): string {
    if (this.#folder === undefined) {
      const parent = this.#given ?? tmpdir();
      mkdirSync(parent, { recursive: true });
      this.#folder = mkdtempSync(join(parent, "tendril-local-"));
    }
    const path = join(this.#folder, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  async #removeFiles(): Promise<void> {
    const folder = this.#folder;
    if (folder === undefined) return;
    const removed = this.#given === undefined
      ? [folder]
      : ["code", "scratch", "streams", "values"].map((name) => join(folder, name));
    for (const path of removed) await rm(path, { recursive: true, force: true }).catch(ignoreLeft);
    if (this.#given === undefined) return;
    for (const path of [join(folder, "outputs"), folder]) {
      try {
        rmdirSync(path);
      } catch {
        // Calls have left files there, which are the user's.
      }
    }
  }
}

/** A file could not be had, which is no fault of the machine's. */
class FetchError extends Error {
  override readonly name = "FetchError";
}

function failedEnd(failure: TryFailure): TryEnd {
  return { kind: "failed", failure: { host: hostname(), ...failure } };
}

function cancelledEnd(): TryEnd {
  return failedEnd({ kind: "cancelled", message: "The try was stopped: it was cancelled" });
}

function ignoreLeft(): void {
  // What cannot be removed stays: the next run has another folder.
}
