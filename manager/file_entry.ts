/** What the manager's shell knows of one declared file. */

import type { FileStamp } from "../shared/file_stamp.ts";
import type { FileId, TaskId } from "../shared/ids.ts";
import type { CacheLevel } from "../shared/task.ts";
import { hostOfUrl } from "../shared/url/address.ts";
import type { BoundFile, FileOrigin, RecipeSpec } from "./core/event.ts";
import type { FileSpec } from "./file_store.ts";

/** The kinds of declared files. */
export type FileKind = "local" | "url" | "buffer" | "upload" | "temp" | "mini_task" | "kept";

/** All of them. */
export const FILE_KINDS: readonly FileKind[] = [
  "local",
  "url",
  "buffer",
  "upload",
  "temp",
  "mini_task",
  "kept",
];

/** Where a declared file comes from. */
export type FileSource =
  | { readonly kind: "local"; readonly path: string }
  | {
    readonly kind: "url";
    /** With what it says of its user: shown by `shownUrl` only. */
    readonly url: string;
    /** SHA-256 that its contents must have, in hexadecimal; empty when not stated. */
    readonly sha256: string;
    /** See `UrlOptions.fresh`. */
    readonly isFresh?: boolean;
  }
  /** With no bytes it is an output; a promise is of bytes under way, as of a bundle. */
  | { readonly kind: "buffer"; readonly bytes: Uint8Array | Promise<Uint8Array> | undefined }
  /**
   * Contents on their way to a place of the manager's, as what a client sends: the promise is of
   * their name once they are there.
   */
  | { readonly kind: "upload"; readonly arrival: Promise<BoundFile> }
  | { readonly kind: "temp" }
  /** An earlier workflow had workers keep it. */
  | { readonly kind: "kept"; readonly bound: BoundFile }
  | MiniTaskSource;

/** What a worker makes of other files. */
export interface MiniTaskSource {
  readonly kind: "mini_task";
  readonly recipe: RecipeSpec;
  /** Each once. */
  readonly inputs: readonly FileEntry[];
  /** How many files are made in turn until it is there, itself included. */
  readonly depth: number;
}

/** Contents that the manager has on its disk. */
export interface FilePlace {
  readonly path: string;
  readonly sizeBytes: number;
  readonly digest: string;
  readonly isDirectory: boolean;
  readonly generation: number;
  /** A copy on its way to a worker: it may go at any time, unless a user asks for it. */
  readonly isPassing?: boolean;
}

/** One declared file. */
export interface FileEntry {
  readonly id: FileId;
  readonly source: FileSource;
  readonly level: CacheLevel;
  readonly peerTransfer: boolean;
  /** Where its user has it on this machine, whether or not workers read it there by themselves. */
  readonly path: string | undefined;
  /** Permissions of what is written to a path or a file url; undefined is the system's default. */
  readonly mode: number | undefined;
  /** See `FileOptions.pathName`. */
  readonly pathName: string | undefined;
  /** Copies wanted at workers; undefined leaves it to the policy. */
  replicas: number | undefined;
  /** See `TempOptions.release`. */
  readonly isReleasedByUse: boolean;
  /** How tasks used it first; a file is either given or made. */
  role: "unused" | "input" | "output";
  bound: BoundFile | undefined;
  /** Why it cannot be had. */
  failure: string | undefined;
  /** Of a local input: what was at its path when it was named. */
  stamp: FileStamp | undefined;
  /** Of an output or a fetched file: where its contents are. */
  place: FilePlace | undefined;
  /** Of a watched output: where what was seen of it is. */
  seenPath: string | undefined;
  /** The pending task that makes it. */
  producer: TaskId | undefined;
  /** Called once its name is known, or it failed. */
  onSettled: (() => void)[];
  isUndeclared: boolean;
}

/** A file that no task uses yet. */
export function newEntry(id: FileId, spec: FileSpec): FileEntry {
  return {
    id,
    source: spec.source,
    level: spec.level,
    peerTransfer: spec.peerTransfer,
    path: spec.path,
    mode: spec.mode,
    pathName: spec.pathName,
    replicas: spec.replicas,
    isReleasedByUse: spec.isReleasedByUse ?? false,
    role: "unused",
    bound: undefined,
    failure: undefined,
    stamp: undefined,
    place: undefined,
    seenPath: undefined,
    producer: undefined,
    onSettled: [],
    isUndeclared: false,
  };
}

/** Where the core looks for the contents of `entry`. */
export function originOf(entry: FileEntry): FileOrigin {
  const { source } = entry;
  switch (source.kind) {
    case "local":
    case "buffer":
    case "upload":
      return { kind: "manager" };
    case "url":
      return {
        kind: "url",
        url: source.url,
        host: hostOfUrl(source.url),
        isOutput: entry.role === "output",
        ...(entry.mode === undefined ? {} : { mode: entry.mode }),
      };
    case "temp":
    case "kept":
      return { kind: source.kind };
    case "mini_task":
      return {
        kind: "recipe",
        recipe: source.recipe,
        inputs: source.inputs.map(({ id }) => id),
      };
  }
}
