/**
 * The files of a call: its arguments, the directory where it works when it has mounts, what it
 * leaves there, and its value when that is a file. A process outlives its calls, so that what it does
 * to a file between two of them is found at the next one that has the file.
 *
 * @module
 */

import { lstatSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";

import { basename, dirname, join } from "@std/path";

import { checkCacheName } from "../shared/cache_name.ts";
import type { CacheName } from "../shared/ids.ts";
import { checkMountName } from "../shared/mount_name.ts";
import type { DispatchedTask } from "../shared/protocol.ts";
import type { FileFacts, InputMount, OutputFacts } from "../shared/task.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import { takeFailureOutputs } from "./failure_output.ts";
import { type Input, makeParents } from "./mount.ts";
import { hasSameContents, MountedInputs, type Mounts } from "./mounted_inputs.ts";
import { collectOutput } from "./output.ts";
import { isDiskFull, type OutputPlaces, takeOutputs } from "./task_output.ts";
import type { Trash } from "./trash.ts";
import type { Trees } from "./trees.ts";
import { MissingError, type Verdict, verdictOf } from "./verdict.ts";

/** Links to arguments, in the directory of their call: a name that no mount can have. */
const ARGUMENT_FOLDER = ".tendril-arguments";

/** What the files of calls have to do with. */
export interface CallPlaces {
  readonly cache: CacheStore;
  readonly trees: Pick<Trees, "read">;
  readonly trash: Trash;
  readonly mounts: Mounts;
}

/** What a call has returned, where that is, or is to be, a file. */
export interface CallValue {
  readonly name: CacheName;
  /** A file of the instance's, or the bytes of one. */
  readonly content: string | Uint8Array;
}

/** How a call ended, once its files were looked at. */
export interface EndedCall extends Verdict {
  readonly valueFile?: FileFacts;
  readonly isAmbiguous?: boolean;
}

/** What is seen of a file from outside; a write that changes nothing of it needs intent. */
interface Stamp {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly mode: bigint;
  readonly ino: bigint;
}

/** A file among the arguments, kept in place until the call has ended. */
interface Argument {
  readonly name: CacheName;
  readonly hold: Hold;
  readonly pathName: string | undefined;
}

/** `{file: what was seen of it when a call first had it}`; a file is an object of its cache's own. */
const stamps: WeakMap<object, Stamp> = new WeakMap();

/** Returns the name of the file that the value of a call becomes. */
export function valueName(prefix: string, { taskId }: DispatchedTask): CacheName {
  return checkCacheName(`${prefix}${taskId}`);
}

/** The files of one call, from before it is given to its process. */
export class CallFiles {
  /** Where the call works; empty when that is the directory of its process. */
  readonly directory: string;
  /** Of the files among its arguments, by their indexes: in the cache, or links there of a name. */
  readonly paths: readonly string[];
  readonly #places: CallPlaces;
  readonly #task: DispatchedTask;
  readonly #inputs: MountedInputs<Input & { readonly name: CacheName }>;
  readonly #arguments: Argument[] = [];
  readonly #holds: Hold[] = [];
  /** Files among its arguments that had changed before it was given to its process. */
  readonly #changedBefore: Set<CacheName> = new Set();

  /** Keeps the files in place; throws a `MissingError` when one is not there. */
  constructor(
    places: CallPlaces,
    task: DispatchedTask,
    { directory, isMetered = false }: { readonly directory: string; readonly isMetered?: boolean },
  ) {
    this.#places = places;
    this.#task = task;
    this.#inputs = new MountedInputs(places.mounts);
    const needsDirectory = isMetered || task.outputs.length > 0 || task.inputs.some(hasPath);
    this.directory = needsDirectory ? directory : "";
    try {
      for (const input of task.inputs) if (!isMounted(input)) this.#holdArgument(input);
      if (needsDirectory) mkdirSync(directory, { mode: 0o700 });
      for (const { mount } of task.outputs) makeParents(directory, mount);
      this.paths = this.#arguments.map(({ hold, pathName }, index) => {
        return pathName === undefined ? hold.path : this.#link(hold.path, { pathName, index });
      });
    } catch (error) {
      this.drop();
      throw error;
    }
  }

  /** True when all is in place as it is; else `mount` has to put it there. */
  get isInPlace(): boolean {
    return !this.#task.inputs.some(isMounted);
  }

  /** Puts inputs into the directory. */
  async mount(): Promise<void> {
    try {
      for (const { mount, name, generation, isSymlink } of this.#task.inputs) {
        if (mount === "") continue;
        const hold = this.#hold(name, generation, `Input "${mount}"`);
        const { path, facts: { isDirectory } } = hold;
        await this.#inputs.mount(this.directory, { mount, name, path, isDirectory, isSymlink });
      }
    } catch (error) {
      await this.#inputs.release();
      throw error;
    }
  }

  /** Inode numbers of what is mounted and the cache has in any case. */
  get sharedInodes(): ReadonlySet<number> {
    return this.#inputs.sharedInodes;
  }

  /** Lets go of a call that has no directory, unless a file among its arguments may have changed. */
  closeIfSame(): boolean {
    if (this.directory !== "") return false;
    for (const { name } of this.#arguments) if (!this.#looksSame(name)) return false;
    this.drop();
    return true;
  }

  /** Looks at the inputs of a call that has ended, takes what it has made, and lets go of the rest. */
  async end(
    verdict: EndedCall,
    value: CallValue | undefined,
  ): Promise<{ readonly verdict: EndedCall; readonly modified: readonly CacheName[] }> {
    const changed = await this.#findChanged();
    const { cache } = this.#places;
    for (const { name, generation } of changed) cache.delete(name, generation);
    const [first] = changed;
    let judged = verdict;
    if (first !== undefined) {
      const isOwn = changed.some(({ name }) => !this.#changedBefore.has(name));
      judged = { ...modifiedVerdict(first), ...(isOwn ? {} : { isAmbiguous: true }) };
    } else if (verdict.outcome === "success") judged = await this.#takeMade(verdict, value);
    else {
      const wanted = this.#task.outputs;
      const outputs = await takeFailureOutputs(this.#outputPlaces(), wanted, verdict.outcome);
      if (outputs.length > 0) judged = { ...verdict, outputs };
    }
    if (typeof value?.content === "string") this.#places.trash.take(value.content);
    this.drop();
    return { verdict: judged, modified: changed.map(({ name }) => name) };
  }

  /** Lets go of all of it. */
  drop(): void {
    for (const { hold } of this.#arguments) hold.release();
    for (const hold of this.#holds) hold.release();
    if (this.directory !== "") this.#places.trash.take(this.directory);
  }

  /** Of a call that never ran. */
  async dropMounted(): Promise<void> {
    await this.#inputs.release();
    this.drop();
  }

  #hold(name: CacheName, generation: number, what: string): Hold {
    const hold = this.#places.cache.hold(name, generation);
    if (hold === undefined) throw new MissingError(`${what} is not in the cache`);
    this.#holds.push(hold);
    return hold;
  }

  /** A path that ends with the name under which the user knows the file. */
  #link(target: string, { pathName, index }: { pathName: string; index: number }): string {
    const folder = join(this.directory, ARGUMENT_FOLDER, String(index));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, checkMountName(pathName));
    symlinkSync(target, path);
    return path;
  }

  #holdArgument({ name, generation, pathName }: InputMount): void {
    const { cache } = this.#places;
    const hold = cache.hold(name, generation);
    if (hold === undefined) throw new MissingError(`File argument "${name}" is not in the cache`);
    this.#arguments.push({ name, hold, pathName });
    const stored = cache.get(name);
    if (stored === undefined || stored.facts.isDirectory) return;
    const stamp = stamps.has(stored) ? undefined : stampOf(hold.path);
    if (stamp !== undefined) stamps.set(stored, stamp);
    else if (!this.#looksSame(name)) this.#changedBefore.add(name);
  }

  #looksSame(name: CacheName): boolean {
    const stored = this.#places.cache.get(name);
    // Of one that went meanwhile nobody reads anything any more.
    if (stored === undefined || stored.facts.isDirectory) return true;
    const [stamp, now] = [stamps.get(stored), stampOf(stored.path)];
    return stamp !== undefined && now !== undefined && isSame(stamp, now);
  }

  async #findChanged(): Promise<readonly InputMount[]> {
    const { cache } = this.#places;
    const names = new Set<CacheName>();
    for (const { name, hold: { path } } of this.#arguments) {
      if (this.#looksSame(name)) continue;
      const stored = cache.get(name);
      if (!await hasSameContents(cache, { name, path })) names.add(name);
      else {
        const stamp = stampOf(path);
        if (stored !== undefined && stamp !== undefined) stamps.set(stored, stamp);
      }
    }
    const { modified, suspect } = await this.#inputs.release();
    for (const { name } of modified) names.add(name);
    for (const input of suspect) {
      if (!await hasSameContents(cache, input)) names.add(input.name);
    }
    return this.#task.inputs.filter(({ name }) => names.has(name));
  }

  /** All of it, or nothing. */
  async #takeMade(verdict: EndedCall, value: CallValue | undefined): Promise<EndedCall> {
    const { cache } = this.#places;
    let outputs: readonly OutputFacts[] = [];
    try {
      const wanted = this.#task.outputs.filter(({ only }) => only !== "failure");
      const taken = await takeOutputs(this.#outputPlaces(), wanted);
      if (taken.kind !== "taken") {
        return { ...verdictOf(taken.outcome, taken.message), mount: taken.mount };
      }
      outputs = taken.outputs;
      if (value === undefined) return { ...verdict, outputs };
      return { ...verdict, outputs, valueFile: await this.#takeValue(value) };
    } catch (error) {
      for (const { name, generation } of outputs) cache.delete(name, generation);
      const found = error instanceof Error ? error.message : String(error);
      const message = `Cannot take what the call made: ${found}`;
      return verdictOf(isDiskFull(error) ? "disk_full" : "call_error", message);
    }
  }

  async #takeValue({ name, content }: CallValue): Promise<FileFacts> {
    const { cache, trees } = this.#places;
    const path = typeof content === "string" ? content : cache.newIncomingPath();
    try {
      if (typeof content !== "string") writeFileSync(path, content);
      const collect = (mount: string) => collectOutput(dirname(path), mount);
      const wanted = {
        mount: basename(path),
        name,
        generation: this.#task.try,
        level: "workflow",
        isReturned: false,
      } as const;
      if (!lstatSync(path).isFile()) throw new Error(`the value at "${path}" is no file`);
      const taken = await takeOutputs({ cache, trees, collect }, [wanted]);
      if (taken.kind !== "taken") throw new Error(taken.message);
      const [facts] = taken.outputs;
      if (facts === undefined) throw new Error(`the value at "${path}" is no file`);
      return facts;
    } catch (error) {
      cache.discard(path);
      throw error;
    }
  }

  #outputPlaces(): OutputPlaces {
    const { cache, trees } = this.#places;
    return { cache, trees, collect: (mount) => collectOutput(this.directory, mount) };
  }
}

/** True of what is in the directory of the call. */
function hasPath({ mount, pathName }: InputMount): boolean {
  return mount !== "" || pathName !== undefined;
}

function isMounted({ mount }: InputMount): boolean {
  return mount !== "";
}

function modifiedVerdict({ mount, name }: InputMount): EndedCall {
  const what = mount === "" ? `file argument "${name}"` : `input "${mount}"`;
  const verdict = verdictOf("input_modified", `The function, or its process, changed its ${what}`);
  return mount === "" ? verdict : { ...verdict, mount };
}

/** Undefined of what is not there: a function is given the path, and may remove it. */
function stampOf(path: string): Stamp | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (found === undefined) return undefined;
  const { size, mtimeNs, mode, ino } = found;
  return { size, mtimeNs, mode, ino };
}

function isSame(before: Stamp, now: Stamp): boolean {
  return before.size === now.size && before.mtimeNs === now.mtimeNs &&
    before.mode === now.mode && before.ino === now.ino;
}
