/**
 * Where results of app calls are remembered, from run to run: a plug point. Implementations are in
 * memory (memory_memo_store.ts) and in a file of SQLite (sqlite_memo_store.ts); checkpoint.ts puts
 * a rule in front of one of them. tests/manager/dataflow/memo_store_contract.ts says what each does.
 *
 * Keys are those of memo_key.ts. What a store holds may come from anywhere: an entry that cannot be
 * read is a miss and is counted, so that its call runs again and puts it anew.
 *
 * @module
 */

import type { KeptFile } from "../kept_file.ts";

/** Where an output of a call, or what it printed, was put. */
export type MemoPlace =
  /** With the workers. */
  | KeptPlace
  /** An absolute path of the manager's machine; `digest` as of `FileDigests`. */
  | PlacedContents<"path"> & { readonly path: string }
  | PlacedContents<"url"> & {
    readonly url: string;
    /** What the server said of it when it was put there: `urlVersion`. */
    readonly version: string;
  };

/** A file that workers keep. */
export interface KeptPlace {
  /** In which way it is said where. */
  readonly kind: "kept";
  /** What a manager finds it by. */
  readonly file: KeptFile;
  /** Id of the manager with which it goes; undefined of what others may find. */
  readonly within?: string;
}

/** What was there when the call ended. */
export interface PlacedContents<Kind extends string> {
  /** In which way it is said where. */
  readonly kind: Kind;
  /** SHA-256 in hex; empty when it is not known. */
  readonly digest: string;
  /** Bytes. */
  readonly sizeBytes: number;
}

/** What a call returned. */
export type MemoValue =
  /** As `encodeValue` wrote it. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** A value too large for a store, in a file that workers keep. */
  | KeptPlace;

/** The result of one call. */
export interface MemoEntry {
  /** 64 hexadecimal digits. */
  readonly key: string;
  /** Name of the app. */
  readonly app: string;
  /** When the call ended; epoch milliseconds. */
  readonly madeAtMs: number;
  /** How long it ran, which is what a hit saves. */
  readonly ranMs: number;
  /** What it returned. */
  readonly value: MemoValue;
  /** `{name of an output: where it is}`. */
  readonly outputs: { readonly [name: string]: MemoPlace };
  /** Where what it printed is, if that was asked for. */
  readonly stdout?: MemoPlace;
  /** As `stdout`. */
  readonly stderr?: MemoPlace;
  /** Keys of the calls whose results it used. */
  readonly dependsOn?: readonly string[];
  /** Its arguments as short text, for people; the rest of a long one is cut off. */
  readonly call?: string;
}

/** An entry as lists show it. */
export interface MemoSummary {
  /** As of `MemoEntry`. */
  readonly key: string;
  /** As of `MemoEntry`. */
  readonly app: string;
  /** As of `MemoEntry`. */
  readonly madeAtMs: number;
  /** As of `MemoEntry`. */
  readonly ranMs: number;
  /** Where its value is. */
  readonly valueKind: MemoValue["kind"];
  /** Of its value. */
  readonly sizeBytes: number;
  /** How many files it has. */
  readonly outputCount: number;
  /** As of `MemoEntry`; empty when there is none. */
  readonly call: string;
}

/** Which entries; those that fit all that is stated. */
export interface MemoFilter {
  /** Of one entry. */
  readonly key?: string;
  /** Of all calls of one app. */
  readonly app?: string;
  /** Epoch milliseconds. */
  readonly madeBeforeMs?: number;
}

/** The digest of a file as it was at one time. */
export interface RememberedDigest {
  /** Absolute. */
  readonly path: string;
  /** Everything that tells whether it is still the same file: `stampText`. */
  readonly stamp: string;
  /** SHA-256 in hex. */
  readonly digest: string;
}

/** Results of calls by their keys. All methods reject with an Error that names the store. */
export interface MemoStore extends AsyncDisposable {
  /** Entries that were asked for and could not be read. */
  readonly damagedCount: number;

  /** The entries of `keys` in their order; undefined where there is none. */
  get(keys: readonly string[]): Promise<(MemoEntry | undefined)[]>;

  /**
   * Remembers `entry` in the place of an older one of its key; resolves when it is as safe as the
   * store makes it: in a file, whatever becomes of this process.
   *
   * @throws {RangeError} When it is larger than `checkEntry` allows.
   */
  put(entry: MemoEntry): Promise<void>;

  /** The same for many; when it rejects some may be remembered. */
  putAll(entries: readonly MemoEntry[]): Promise<void>;

  /** Entries in the order in which they were put; those put meanwhile may be among them. */
  list(filter?: MemoFilter): AsyncIterable<MemoSummary>;

  /**
   * Removes entries, and resolves to how many.
   *
   * @throws {RangeError} When the filter states nothing and is not "all".
   */
  forget(filter: MemoFilter | "all"): Promise<number>;

  /** The digests that were remembered for these paths, where the stamps are still the same. */
  recallDigests(
    files: readonly Pick<RememberedDigest, "path" | "stamp">[],
  ): Promise<(string | undefined)[]>;

  /** Remembers what files hold, one digest a path. Losing some costs only reading them again. */
  rememberDigests(digests: readonly RememberedDigest[]): Promise<void>;

  /** Resolves when everything that was put is as safe as the store makes it. */
  flush(): Promise<void>;

  /** Flushes, and lets go of what it holds. */
  close(): Promise<void>;
}

/** Refuses a filter that was not meant to fit everything. */
export function checkForget(filter: MemoFilter | "all"): MemoFilter {
  if (filter === "all") return {};
  const { key, app, madeBeforeMs } = filter;
  if (key === undefined && app === undefined && madeBeforeMs === undefined) {
    throw new RangeError('Cannot forget without knowing what: expected a filter, or "all"');
  }
  return filter;
}
