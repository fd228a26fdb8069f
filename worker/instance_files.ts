/**
 * The files of an instance: its module, what its processes find in their directories, and the call
 * of its context function. They stay in the cache while the instance lives.
 *
 * @module
 */

import { mkdirSync, writeFileSync } from "node:fs";

import { join } from "@std/path";

import type { CacheName } from "../shared/ids.ts";
import { moduleFiles, NO_ARGUMENTS } from "../shared/library.ts";
import { filesOfLibrary, type LibraryDefinition } from "../shared/protocol.ts";
import type { CacheStore, Hold, StoredFile } from "./cache_store.ts";
import type { WorkerEvent } from "./core/event.ts";
import { type DiskUsage, diskUsage } from "./disk_usage.ts";
import { encodeCall } from "./library/call_protocol.ts";
import { moduleMount } from "./library/library_program.ts";
import type { Input } from "./mount.ts";
import { hasSameContents, MountedInputs, type Mounts } from "./mounted_inputs.ts";
import { MissingError } from "./verdict.ts";

/** A file of the cache, mounted. */
interface HeldInput extends Input {
  readonly name: CacheName;
  readonly generation: number;
}

/** What is needed to place them. */
export interface InstanceFilesOptions {
  readonly cache: CacheStore;
  readonly mounts: Mounts;
  readonly library: LibraryDefinition;
  /** The instance's own, made by `place`. */
  readonly directory: string;
}

/** Owner of what an instance has of the cache. */
export class InstanceFiles {
  readonly #options: InstanceFilesOptions;
  readonly #holds: readonly Hold[];
  readonly #mounted: MountedInputs<HeldInput>;
  #module = "";
  #contextCall = "";

  /** Keeps the files in place from now on. */
  constructor(options: InstanceFilesOptions) {
    this.#options = options;
    const { cache, library, mounts } = options;
    this.#holds = filesOfLibrary(library).flatMap((name) => {
      const stored = cache.get(name);
      const hold = stored && cache.hold(name, stored.facts.generation);
      return hold === undefined ? [] : [hold];
    });
    this.#mounted = new MountedInputs(mounts);
  }

  /** Path of the module; empty before `place`, and of a program without one. */
  get module(): string {
    return this.#module;
  }

  /** Path of the call of the context function; empty when that has no arguments. */
  get contextCall(): string {
    return this.#contextCall;
  }

  /** Makes the directory of the instance, with its module and the call of its context function. */
  async place(): Promise<void> {
    const { library, directory } = this.#options;
    mkdirSync(directory, { mode: 0o700 });
    for (const name of moduleFiles(library.program)) {
      // Python puts the directory of a module first among those that it imports from.
      const home = join(directory, "module");
      mkdirSync(home);
      const stored = this.#stored(name);
      const mount = moduleMount(library, stored.facts);
      await this.#mounted.mount(home, this.#inputOf(name, mount));
      this.#module = join(home, mount);
    }
    this.#contextCall = this.#writeContextCall();
  }

  /** Puts the inputs of the library into the directory of a process. */
  async fill(directory: string): Promise<void> {
    for (const { mount, name, isSymlink } of this.#options.library.inputs) {
      if (mount === "") continue;
      await this.#mounted.mount(directory, { ...this.#inputOf(name, mount), isSymlink });
    }
  }

  /** What the instance has on the disk, but for what the cache has in any case: `mounted` too. */
  measure(mounted: readonly (ReadonlySet<number> | undefined)[]): Promise<DiskUsage> {
    const shared = this.#mounted.sharedInodes;
    for (const inodes of mounted) for (const inode of inodes ?? []) shared.add(inode);
    return diskUsage(this.#options.directory, shared);
  }

  /**
   * Lets go of all files, once no process of the instance is left; tells which of them it may have
   * changed.
   */
  async release(): Promise<readonly Extract<WorkerEvent, { kind: "file_verified" }>[]> {
    const { cache } = this.#options;
    const { modified, suspect } = await this.#mounted.release();
    const changed = new Set(modified);
    for (const input of suspect) {
      if (!await hasSameContents(cache, input)) changed.add(input);
    }
    for (const hold of this.#holds) hold.release();
    return Array.from(changed, ({ name, generation }) => {
      return { kind: "file_verified", name, generation, isIntact: false };
    });
  }

  #writeContextCall(): string {
    const { library, directory } = this.#options;
    const { context, contextArguments, inputs } = library;
    if (context === "" || contextArguments.length <= NO_ARGUMENTS.length) return "";
    const files = inputs.flatMap(({ mount, name }) => mount === "" ? this.#stored(name).path : []);
    const call = { function: context, arguments: contextArguments, directory: "", files } as const;
    const path = join(directory, "context-call");
    writeFileSync(path, Buffer.concat(encodeCall({ ...call, callId: 0 })));
    return path;
  }

  #inputOf(name: CacheName, mount: string): HeldInput {
    const { path, facts: { isDirectory, generation } } = this.#stored(name);
    return { mount, path, isDirectory, name, generation };
  }

  #stored(name: CacheName): StoredFile {
    const stored = this.#options.cache.get(name);
    if (stored === undefined) throw new MissingError(`File "${name}" is not in the cache`);
    return stored;
  }
}
