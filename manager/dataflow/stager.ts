/**
 * Brings the files of one flow: finds the staging of each, has what calls share brought once, and
 * lets go of what one try had for itself.
 *
 * @module
 */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { shownUrl } from "../../shared/url/address.ts";
import type { CallRecord } from "./call.ts";
import type { Executor } from "./executor.ts";
import { DataFile } from "./future.ts";
import type { File } from "./file.ts";
import type { PlacedFile } from "./placed_file.ts";
import {
  type Staging,
  stagingErrorOf,
  type StagingFiles,
  type StagingMode,
  type StagingSite,
} from "./staging.ts";

/** What a stager is made of. */
export interface StagerOptions {
  /** The first one that takes a file has it. */
  readonly stagings: readonly Staging[];
  /** Runs a command of a staging as a call of its own. */
  readonly run: (staging: string, executor: Executor, task: StagingTask) => Promise<PlacedFile>;
}

/** A command of a staging. */
export interface StagingTask extends StagingFiles {
  readonly command: string;
}

/** Files that are remembered as brought; beyond it the oldest ones are brought again. */
const SHARED_MAX = 100_000;

/** What a staging is asked for. */
type Side = "canStageIn" | "canStageOut";

/** The files of one flow. */
export class Stager {
  readonly #options: StagerOptions;
  readonly #shared: Map<string, PlacedFile | Promise<PlacedFile>> = new Map();
  /** What tries under way have for themselves. */
  readonly #own: Map<CallRecord, (() => Promise<void>)[]> = new Map();
  readonly #closing: AbortController = new AbortController();
  #folder: Promise<string> | undefined;
  #pathCount = 0;

  constructor(options: StagerOptions) {
    this.#options = options;
  }

  /**
   * Throws for a file that nothing can bring.
   *
   * @throws {TypeError} The message names what there is.
   */
  check(file: File, side: Side): void {
    // What a call made is where it is.
    if (!(file instanceof DataFile)) this.#stagingOf(file, side);
  }

  /** Brings a file to an executor, at once where nothing has to be read. */
  stageIn(file: File, executor: Executor, call: CallRecord): PlacedFile | Promise<PlacedFile> {
    const staging = this.#stagingOf(file, "canStageIn");
    const mode: StagingMode = file.staging ?? call.recipe.staging ?? "task";
    if (mode === "inside") return this.#bringOwn(staging, file, { executor, call });
    const version = staging.versionOf === undefined ? "" : staging.versionOf(file);
    const site = this.#site(staging, executor, { isShared: true, signal: this.#closing.signal });
    if (version === undefined) return bring(staging, file, site);
    const key = JSON.stringify([executor.label, file.url, version]);
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const placed = bring(staging, file, site);
    if (this.#shared.size >= SHARED_MAX) {
      for (const oldest of this.#shared.keys()) {
        this.#shared.delete(oldest);
        break;
      }
    }
    this.#shared.set(key, placed);
    if (!(placed instanceof Promise)) return placed;
    return placed.then((there) => {
      this.#shared.set(key, there);
      return there;
    }, (error: unknown) => {
      // Another try has it brought again.
      this.#shared.delete(key);
      throw error;
    });
  }

  /** Whether an output comes to its place by its executor. */
  isPlaced(file: File, executor: Executor): boolean {
    const { yields = false } = this.#stagingOf(file, "canStageOut");
    return yields && executor.places?.(file) === true;
  }

  /** Ends with the flow. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** A path of this machine that is nobody else's, until the flow ends. */
  async newPath(name: string): Promise<string> {
    return join(await this.#newFolder(), name);
  }

  /** Brings what a call made to its place. */
  async stageOut(
    file: File,
    made: PlacedFile,
    { executor, call, signal }: {
      readonly executor: Executor;
      readonly call: CallRecord;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const staging = this.#stagingOf(file, "canStageOut");
    const ended = AbortSignal.any([signal, this.#closing.signal]);
    const site = this.#site(staging, executor, { isShared: false, signal: ended, call });
    try {
      await staging.stageOut(file, made, site);
    } catch (error) {
      ended.throwIfAborted();
      throw stagingErrorOf(error, `Cannot write "${shownUrl(file.url)}"`);
    }
  }

  /** Lets go of what a try of that call had for itself. */
  release(call: CallRecord): void {
    const own = this.#own.get(call);
    if (own === undefined) return;
    this.#own.delete(call);
    for (const letGo of own) {
      letGo().catch(() => {
        // It goes with the folder, or the manager.
      });
    }
  }

  /** Ends what is under way, and removes what was brought to this machine. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the flow was closed"));
    for (const call of [...this.#own.keys()]) this.release(call);
    if (this.#folder !== undefined) {
      await rm(await this.#folder, { recursive: true, force: true });
    }
  }

  async #bringOwn(
    staging: Staging,
    file: File,
    { executor, call }: { readonly executor: Executor; readonly call: CallRecord },
  ): Promise<PlacedFile> {
    const ending = new AbortController();
    this.#letGo(call, () => {
      ending.abort(new Error("the try is over"));
      return Promise.resolve();
    });
    const signal = AbortSignal.any([ending.signal, this.#closing.signal]);
    const site = this.#site(staging, executor, { isShared: false, signal, call });
    const placed = await bring(staging, file, site);
    const { placement } = placed;
    if (placement.kind === "handle") {
      this.#letGo(call, () => placement.manager.undeclare(placement.handle));
    }
    return placed;
  }

  #letGo(call: CallRecord, letGo: () => Promise<void>): void {
    const own = this.#own.get(call);
    if (own === undefined) this.#own.set(call, [letGo]);
    else own.push(letGo);
  }

  #site(
    { name: staging }: Staging,
    executor: Executor,
    { isShared, signal, call }: {
      readonly isShared: boolean;
      readonly signal: AbortSignal;
      /** Whose the paths are, if they are not shared. */
      readonly call?: CallRecord;
    },
  ): StagingSite {
    return {
      executor: executor.label,
      manager: executor.manager,
      isShared,
      signal,
      newPath: async (name) => {
        const folder = await this.#newFolder();
        if (call !== undefined) {
          this.#letGo(call, () => rm(folder, { recursive: true, force: true }));
        }
        return join(folder, name);
      },
      run: (command, files) => this.#options.run(staging, executor, { command, ...files }),
    };
  }

  /** Of one path each, so that two of one name do not meet. */
  async #newFolder(): Promise<string> {
    this.#folder ??= mkdtemp(join(tmpdir(), "tendril-flow-"));
    this.#pathCount += 1;
    // Before others come: they have numbers of their own.
    const name = String(this.#pathCount);
    const folder = join(await this.#folder, name);
    await mkdir(folder);
    return folder;
  }

  #stagingOf(file: File, side: Side): Staging {
    const found = this.#options.stagings.find((one) => one[side](file));
    if (found !== undefined) return found;
    const schemes = new Set(this.#options.stagings.flatMap((one) => one.schemes));
    const verb = side === "canStageIn" ? "read" : "write";
    throw new TypeError(
      `Cannot ${verb} "${shownUrl(file.url)}": no staging of the flow takes scheme ` +
        `"${file.scheme}", only ${[...schemes].sort().join(", ")}`,
    );
  }
}

function bring(staging: Staging, file: File, site: StagingSite): PlacedFile | Promise<PlacedFile> {
  const what = `Cannot read "${shownUrl(file.url)}"`;
  try {
    const placed = staging.stageIn(file, site);
    if (!(placed instanceof Promise)) return placed;
    return placed.catch((error: unknown) => {
      throw stagingErrorOf(error, what);
    });
  } catch (error) {
    throw stagingErrorOf(error, what);
  }
}
