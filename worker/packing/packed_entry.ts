/** What is in a directory to be packed: its modes, its times, and which names are the same file. */

import type { BigIntStats } from "node:fs";

import { dirname, normalize, relative } from "@std/path";

import { entryOf, type TreeEntry, walkTree, wholeMtimeMs } from "../../shared/archive/tree.ts";

/** One entry of a directory to be packed. */
export interface PackedEntry extends TreeEntry {
  /** The twelve permission bits. */
  readonly mode: number;
  /** The path before it that is the same file; undefined for the first. */
  readonly sameAs: string | undefined;
}

/** What to look at. */
export interface ReadEntriesOptions {
  /** Absolute paths by which the directory is known: links to what is in it become relative. */
  readonly prefixes: readonly string[];
  readonly isLeftOut: (path: string) => boolean;
}

type LookedAt = TreeEntry & { readonly mode: number; readonly inode: string | undefined };

/**
 * Returns the entries below `root`, each directory before what is in it, by the bytes of their names.
 *
 * Throws `ArchiveError` naming a device, a pipe, a socket, or a name that is not UTF-8.
 */
export async function readEntries(
  root: string,
  { prefixes, isLeftOut }: ReadEntriesOptions,
): Promise<PackedEntry[]> {
  const look = async (path: string, status: BigIntStats): Promise<LookedAt | undefined> => {
    if (isLeftOut(path)) return undefined;
    const entry = await entryOf(root, path, status);
    return {
      ...entry,
      target: relativeTarget(path, entry.target, prefixes),
      mtimeMs: wholeMtimeMs(status),
      mode: Number(status.mode & 0o7777n),
      inode: status.isFile() && status.nlink > 1n ? `${status.dev} ${status.ino}` : undefined,
    };
  };
  const firstNames = new Map<string, string>();
  return (await walkTree(root, look)).map(({ inode, ...entry }) => {
    const sameAs = inode === undefined ? undefined : firstNames.get(inode);
    if (inode !== undefined && sameAs === undefined) firstNames.set(inode, entry.path);
    return { ...entry, sameAs };
  });
}

/** An absolute target in the directory as one that moves with it; any other as it is. */
function relativeTarget(path: string, target: string, prefixes: readonly string[]): string {
  if (!target.startsWith("/")) return target;
  const inside = insideOf(target, prefixes);
  if (inside === undefined) return target;
  return relative(`/${dirname(path)}`, `/${inside}`) || ".";
}

/** Returns where in the directory known by `prefixes` an absolute path is; undefined when outside. */
export function insideOf(path: string, prefixes: readonly string[]): string | undefined {
  const plain = normalize(path);
  for (const prefix of prefixes) {
    if (plain === prefix || plain === `${prefix}/`) return "";
    if (plain.startsWith(`${prefix}/`)) return plain.slice(prefix.length + 1);
  }
  return undefined;
}
