/** What a script remembers of a file that workers keep, to declare it in a later workflow. */

import { directoryContentName, fileContentName } from "../shared/cache_name.ts";
import type { CacheName } from "../shared/ids.ts";
import type { FileFacts, LastingLevel } from "../shared/task.ts";
import type { Duration } from "./config.ts";
import type { BoundFile } from "./core/event.ts";
import { count, duration, flag, oneOf, readOptions, show, text } from "./option.ts";

/** A file that workers keep: plain data, which can be stored as JSON. */
export interface KeptFile {
  /** Its name in every cache; it follows from its contents. */
  readonly name: string;
  /** SHA-256 in hexadecimal: of its bytes, or of all that is in a directory but times. */
  readonly digest: string;
  /** Bytes; of a directory those of the stream as which it travels. */
  readonly size: number;
  /** Else it is a file. */
  readonly isDirectory: boolean;
  /** True of a file that may be run. */
  readonly isExecutable: boolean;
}

/** How a file is kept. */
export interface KeepOptions {
  /**
   * `"worker"`: while the process of its worker lives, which waits for the next manager of its name
   * for `--idle-timeout`. `"forever"`: in the store beside the worker's workspace, until
   * `tendril cache` removes it; for local workers of a manager state a `workspace`, or theirs goes
   * with it. Default `"worker"`.
   */
  readonly level?: LastingLevel;
}

/** How kept files are looked for. */
export interface FindOptions {
  /** Time after which what was not seen until then counts as missing. Default 10 s. */
  readonly timeout?: Duration;
}

const FIND_MS = 10_000;

/** Checks the options of `keep`. */
export function readKeep(options: KeepOptions): LastingLevel {
  const readers = { level: oneOf("worker", "forever") };
  return readOptions<KeepOptions>(options, "keep", readers).level ?? "worker";
}

/** Checks the options of `findKept`; returns the time in milliseconds. */
export function readFind(options: FindOptions): number {
  return Number(
    readOptions<FindOptions>(options, "findKept", { timeout: duration }).timeout ?? FIND_MS,
  );
}

/** What was kept, as a script is told it. */
export function keptFileOf(facts: FileFacts): KeptFile {
  const { name, sizeBytes: size, isDirectory, isExecutable = false } = facts;
  // Of a directory the digest of its facts is that of its stream, in which there are times.
  const digest = isDirectory ? name.slice(name.lastIndexOf("-") + 1) : facts.digest;
  return { name, digest, size, isDirectory, isExecutable };
}

/**
 * The file that a script says was kept.
 *
 * @throws {TypeError | RangeError} When it cannot be what `keep` gave.
 */
export function readKeptFile(value: unknown): BoundFile {
  const owner = "a kept file";
  const read = readOptions<KeptFile>(value, owner, {
    name: text,
    digest: text,
    size: count(0),
    isDirectory: flag,
    isExecutable: flag,
  });
  const { name, digest, size, isDirectory, isExecutable } = read;
  const isWhole = name !== undefined && digest !== undefined && size !== undefined &&
    isDirectory !== undefined && isExecutable !== undefined;
  if (!isWhole) {
    throw new TypeError(
      "Cannot take an object as a kept file: expected name, digest, size, isDirectory and " +
        `isExecutable, found ${Object.keys(read).join(", ") || "none"}`,
    );
  }
  const wanted = contentName(digest, { isDirectory, isExecutable });
  if (name !== wanted) {
    throw new RangeError(
      `Cannot take name "${show(name)}" of a kept file as that of its contents: expected ${wanted}`,
    );
  }
  // Two streams of the same directory may differ in times: each is checked against its own source.
  const known = isDirectory ? "" : digest;
  return { name: wanted, sizeBytes: size, digest: known, isDirectory, isExecutable };
}

function contentName(
  digest: string,
  { isDirectory, isExecutable }: Pick<KeptFile, "isDirectory" | "isExecutable">,
): CacheName {
  if (!isDirectory) return fileContentName(digest, { isExecutable });
  if (!isExecutable) return directoryContentName(digest);
  throw new RangeError("Cannot take a directory as a kept file that may be run: it is no file");
}
