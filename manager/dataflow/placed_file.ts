/** A file where executors can use it: in the cluster, or on this machine. */

import { readFile } from "node:fs/promises";

import { basename } from "@std/path";

import { copyContents } from "../directory.ts";
import type { FileHandle } from "../file_handle.ts";
import type { Manager } from "../manager.ts";
import { held } from "./unused_files.ts";

/** The rest of a longer name, which has the extension. */
const PATH_NAME_CHARS_MAX = 120;

/** Where a placed file is. */
export type FilePlacement =
  | { readonly kind: "handle"; readonly handle: FileHandle; readonly manager: Manager }
  | { readonly kind: "path"; readonly path: string };

/** What is known of the contents of a file that a call made. */
export interface MadeFacts {
  /** SHA-256 in hexadecimal; of a directory that which names it, unless `isStream`. */
  readonly digest: string;
  /** True of a directory whose digest is that of the stream as which it travels, times and all. */
  readonly isStream?: boolean;
  /** Bytes. */
  readonly sizeBytes: number;
  /** Else it is a file. */
  readonly isDirectory: boolean;
  /** True of a file that may be run. */
  readonly isExecutable: boolean;
}

/** A file that is there, or is made by a task that was submitted. */
export class PlacedFile {
  #placement: FilePlacement;
  /** How it is called where it came from: commands find it under such a name. */
  readonly name: string;
  /** Of what a call made, if its executor told. */
  facts: MadeFacts | undefined;
  /**
   * Says where a file is.
   *
   * @param name Default: the last part of a path, else `file`.
   */
  constructor(placement: FilePlacement, name?: string) {
    this.#placement = placement;
    this.name = name ?? (placement.kind === "path" ? basename(placement.path) : "file");
  }

  /** Where it is. */
  get placement(): FilePlacement {
    return this.#placement;
  }

  /** It was lost: it is where `other` is from now on, which was made in its place. */
  become(other: PlacedFile): void {
    this.#placement = other.#placement;
    this.facts = other.facts;
  }

  /** The contents of a file. */
  async contents(): Promise<Uint8Array> {
    const { placement } = this;
    if (placement.kind === "path") return new Uint8Array(await readFile(placement.path));
    return await held(this, placement.handle.contents());
  }

  /** Brings it to this machine, where it is not there yet; gives a path, which is not to be changed. */
  async local(): Promise<string> {
    const { placement } = this;
    if (placement.kind === "path") return placement.path;
    return await held(this, placement.manager.fetch(placement.handle));
  }

  /** Brings it to a path of this machine; gives the path. */
  async fetch(path: string): Promise<string> {
    const { placement } = this;
    if (placement.kind === "handle") {
      return await held(this, placement.manager.fetch(placement.handle, path));
    }
    if (placement.path !== path) await copyContents(placement.path, path);
    return path;
  }
}

/** Characters of a name that a shell and every tool take as they are. */
const UNSAFE = /[^A-Za-z0-9._+=-]+/g;

/** How a file is declared so that functions find it under a path with the extension of its name. */
export function pathOptionsOf(name: string): { readonly pathName?: string } {
  const safe = name.replace(UNSAFE, "_").slice(-PATH_NAME_CHARS_MAX);
  return /[^.]\.[^.]/.test(safe) ? { pathName: safe } : {};
}
