/**
 * What is in a directory tree, in the one order in which it is packed and hashed.
 *
 * Only what can be had again elsewhere passes: files, directories and links that stay in the tree,
 * under names that are UTF-8. A file with several hard links is several files here.
 */

import { lstat, readdir, readlink, stat } from "node:fs/promises";
import type { BigIntStats } from "node:fs";

import { forEachBounded } from "../bounded.ts";
import { compareNames, findPathFault } from "../relative_path.ts";
import { ArchiveError, quoteName } from "./archive_error.ts";
import { findLinkFault } from "./link_target.ts";

/** Entries of one tree; the same as an unpacker takes. */
export const TREE_ENTRY_COUNT_MAX = 2_000_000;
/** Entries of one directory looked at, at one time. */
const LOOKS_MAX = 32;

/** One entry of a tree. */
export interface TreeEntry {
  readonly kind: "file" | "directory" | "symlink";
  /** Relative to the root of the tree, in normal form. */
  readonly path: string;
  /** Whether the owner may execute it; false for what is not a file. */
  readonly isExecutable: boolean;
  /** Zero for what is not a file. */
  readonly sizeBytes: number;
  /** Whole milliseconds, which every runtime reads and sets alike; zero for a link. */
  readonly mtimeMs: number;
  /** Of a symbolic link, verbatim; empty for the others. */
  readonly target: string;
}

/**
 * Returns the entries below the directory `root`, each directory before what is in it, those of one
 * directory in the order of their names' UTF-8 bytes.
 *
 * Throws `ArchiveError` naming the first entry that cannot be in a tree.
 */
export async function readTree(root: string): Promise<TreeEntry[]> {
  const entries = await walkTree(root, async (path, status) => await entryOf(root, path, status));
  const links = new Map<string, TreeEntry>();
  for (const entry of entries) if (entry.kind === "symlink") links.set(entry.path, entry);
  for (const path of links.keys()) {
    const fault = findLinkFault(path, links);
    if (fault !== undefined) throw refusal(path, fault);
  }
  return entries;
}

/**
 * Returns what `look` makes of each entry below the directory `root`, in the order of `readTree`.
 *
 * What it makes nothing of is left out, with all that is in it.
 */
export async function walkTree<Entry extends Pick<TreeEntry, "kind" | "path">>(
  root: string,
  look: (path: string, status: BigIntStats) => Promise<Entry | undefined>,
): Promise<Entry[]> {
  if (!(await stat(root)).isDirectory()) {
    throw new ArchiveError(`Cannot read "${root}" as a directory: it is not one`);
  }
  const entries: Entry[] = [];
  const walk = async (path: string): Promise<void> => {
    const names = await readdir(path === "" ? root : `${root}/${path}`);
    names.sort(compareNames);
    const found = new Map<string, Entry | undefined>();
    await forEachBounded(names, LOOKS_MAX, async (name) => {
      const child = path === "" ? name : `${path}/${name}`;
      const fault = findPathFault(child);
      if (fault !== undefined) throw refusal(child, fault);
      found.set(name, await look(child, await lstat(`${root}/${child}`, { bigint: true })));
    });
    for (const name of names) {
      const entry = found.get(name);
      if (entry === undefined) continue;
      if (entries.push(entry) > TREE_ENTRY_COUNT_MAX) {
        throw new ArchiveError(
          `Cannot read the tree "${root}": it has more than ${TREE_ENTRY_COUNT_MAX} entries`,
        );
      }
      if (entry.kind === "directory") await walk(entry.path);
    }
  };
  await walk("");
  return entries;
}

/** Returns the entry at `path` below `root` from its status; throws where it cannot be in a tree. */
export async function entryOf(
  root: string,
  path: string,
  status: BigIntStats,
): Promise<TreeEntry> {
  const base = { path, isExecutable: false, sizeBytes: 0, mtimeMs: 0, target: "" };
  if (status.isSymbolicLink()) {
    const target = await readlink(`${root}/${path}`);
    if (target.includes("\ufffd")) throw refusal(path, "its target is not UTF-8");
    return { ...base, kind: "symlink", target };
  }
  const mtimeMs = wholeMtimeMs(status);
  if (status.isDirectory()) return { ...base, kind: "directory", mtimeMs };
  if (!status.isFile()) throw refusal(path, "it is a device, a pipe or a socket");
  const isExecutable = (status.mode & 0o100n) !== 0n;
  return { ...base, kind: "file", mtimeMs, isExecutable, sizeBytes: Number(status.size) };
}

/**
 * Returns the time of last change as whole milliseconds.
 *
 * From nanoseconds, because the runtimes disagree on `mtimeMs`: Bun rounds it, Deno cuts it.
 */
export function wholeMtimeMs(status: BigIntStats): number {
  return Number(status.mtimeNs / 1_000_000n);
}

function refusal(path: string, found: string): ArchiveError {
  const message = `Cannot take entry ${quoteName(path)} into the tree: ${found}`;
  return new ArchiveError(message, { entry: path });
}
