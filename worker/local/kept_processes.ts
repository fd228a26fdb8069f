/**
 * Processes that serve the functions of local calls: started when a call finds none that is free,
 * kept for further calls, and ended when others have been of use since.
 *
 * @module
 */

import { mkdirSync } from "node:fs";

import { join } from "@std/path";

import type { LocalCall, LocalLibrary } from "../../shared/local_try.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import { withAllocation } from "../allocation_environment.ts";
import { NO_DEVICES } from "../core/device.ts";
import type { CallResult } from "../library/library_call.ts";
import { LibraryProcess } from "../library/library_process.ts";
import { programCommand } from "../library/library_program.ts";
import { writePythonHost } from "../library/python/host_files.ts";
import type { TaskProcesses } from "../process.ts";
import { killAll } from "../process_tree.ts";
import { tendrilVariables } from "../runner.ts";
import { type Environment, FALLBACK_PATH, NO_ACTIVATION } from "../task_environment.ts";
import type { Trash } from "../trash.ts";

/** Processes that are kept while no call is in them. */
const IDLE_MAX = 16;

/** What they are started with. */
export interface KeptProcessesOptions {
  /** Folder of their directories. */
  readonly directory: string;
  readonly trash: Trash;
  /** What they inherit. */
  readonly env: Environment;
  readonly mark: string;
  readonly processes: Pick<TaskProcesses, "walk" | "endLeftovers">;
}

interface Kept {
  readonly libraryId: number;
  readonly directory: string;
  process: LibraryProcess | undefined;
  /** Told how its call ended. */
  ended: ((result: CallResult) => void) | undefined;
  isOver: boolean;
}

/** A call that was begun. */
export interface KeptCall {
  /** Rejects when its process could not be started. */
  readonly result: Promise<CallResult>;
  cancel(): void;
}

/** Owner of the processes. */
export class KeptProcesses {
  readonly #options: KeptProcessesOptions;
  readonly #libraries: Map<number, LocalLibrary> = new Map();
  readonly #all: Set<Kept> = new Set();
  /** Those without a call; the one that was of use last is at the end. */
  #idle: Kept[] = [];
  readonly #closing: Set<Promise<void>> = new Set();
  #count = 0;
  #pythonHostPath = "";

  constructor(options: KeptProcessesOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  }

  /** Tells of code that calls are of. */
  declare(library: LocalLibrary): void {
    this.#libraries.set(library.libraryId, library);
  }

  /** Runs a call, in `directory` where it has one. */
  call(call: LocalCall, directory: string): KeptCall {
    let isCancelled = false;
    let kept: Kept | undefined;
    const run = async (): Promise<CallResult> => {
      kept = await this.#take(call.libraryId);
      const { process } = kept;
      if (process === undefined) throw new Error("Cannot call a function: its process has ended");
      const { promise, resolve } = Promise.withResolvers<CallResult>();
      kept.ended = resolve;
      const { tryId: callId, function: name, arguments: bytes, files, timeoutMs } = call;
      process.call([{ callId, function: name, arguments: bytes, directory, files, timeoutMs }]);
      if (isCancelled) process.cancel(callId);
      const result = await promise;
      this.#giveBack(kept);
      return result;
    };
    return {
      result: run(),
      cancel: () => {
        isCancelled = true;
        kept?.process?.cancel(call.tryId);
      },
    };
  }

  /** Ends them all, with what they run. */
  async close(): Promise<void> {
    for (const kept of this.#all) this.#end(kept);
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  async #take(libraryId: number): Promise<Kept> {
    const index = this.#idle.findLastIndex((one) => one.libraryId === libraryId);
    const [found] = index < 0 ? [] : this.#idle.splice(index, 1);
    return found ?? await this.#start(libraryId);
  }

  async #start(libraryId: number): Promise<Kept> {
    const library = this.#libraries.get(libraryId);
    if (library === undefined) throw new Error(`Cannot find library ${libraryId}`);
    this.#count += 1;
    const directory = join(this.#options.directory, String(this.#count));
    mkdirSync(directory, { mode: 0o700 });
    const kept: Kept = {
      libraryId,
      directory,
      process: undefined,
      ended: undefined,
      isOver: false,
    };
    this.#all.add(kept);
    try {
      await LibraryProcess.start(this.#processOptions(library, kept));
      return kept;
    } catch (error) {
      this.#end(kept);
      throw error;
    }
  }

  #processOptions(
    { program, env, cores }: LocalLibrary,
    kept: Kept,
  ): Parameters<typeof LibraryProcess.start>[0] {
    const { env: inherited, mark, processes } = this.#options;
    const resources = { ...NO_RESOURCES, cores };
    const environment: Environment = {
      ...withAllocation(inherited, { resources, devices: NO_DEVICES, gpuVariable: undefined }),
      ...env,
      ...tendrilVariables(NO_ACTIVATION),
    };
    const command = programCommand({
      library: { name: "local", program, mode: "direct", context: "" },
      module: program.module,
      contextCall: "",
      hostCommand: selfCommand(["internal-library-host"]),
      searchPath: environment["PATH"] ?? FALLBACK_PATH,
      pythonHost: () => this.#pythonHost(),
    });
    return {
      command,
      directory: kept.directory,
      env: environment,
      mark,
      slots: 1,
      mode: "direct",
      endLeftovers: (leader) => processes.endLeftovers(leader),
      onOpened: (process) => kept.process = process,
      onResults: (results) => {
        for (const result of results) kept.ended?.(result);
      },
      onDied: () => this.#end(kept),
    };
  }

  #pythonHost(): string {
    if (this.#pythonHostPath === "") {
      this.#pythonHostPath = writePythonHost(join(this.#options.directory, "python_host"));
    }
    return this.#pythonHostPath;
  }

  #giveBack(kept: Kept): void {
    kept.ended = undefined;
    if (kept.isOver || kept.process?.isOpen !== true) return this.#end(kept);
    this.#idle.push(kept);
    if (this.#idle.length <= IDLE_MAX) return;
    const oldest = this.#idle.shift();
    if (oldest !== undefined) this.#end(oldest);
  }

  #end(kept: Kept): void {
    if (kept.isOver) return;
    kept.isOver = true;
    this.#all.delete(kept);
    this.#idle = this.#idle.filter((one) => one !== kept);
    const closing = this.#close(kept).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async #close({ process, directory }: Kept): Promise<void> {
    // What left the groups of its process is found below it as long as that lives.
    const members = await this.#options.processes.walk(process?.processIds ?? []);
    await process?.close();
    killAll(members);
    this.#options.trash.take(directory);
  }
}
