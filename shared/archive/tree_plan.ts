/**
 * What a tree being unpacked holds so far, and whether the next member may be in it.
 *
 * The rules of both writers are here: nothing is written through a link, because links come last,
 * and of what has come before all may be replaced but a directory with something in it.
 */

import { ArchiveError, codeOf, quoteName } from "./archive_error.ts";

/** What is kept of a member besides its contents. */
export interface FileMeta {
  /** Relative and in normal form. */
  readonly path: string;
  /** Of its bits, those of the owner and those to read and execute are kept. */
  readonly mode: number;
  readonly mtimeMs: number;
}

/** A symbolic link to be made when all else is. */
export interface PlannedLink {
  /** Verbatim. */
  readonly target: string;
  readonly mtimeMs: number;
}

/** The directories and links of a tree; all else in it are files. */
export interface TreePlan {
  /** {path: metadata, or undefined while the archive has no entry for it} */
  readonly directories: Map<string, FileMeta | undefined>;
  /** {path: link} */
  readonly links: Map<string, PlannedLink>;
  /** One entry may stand for as many of them as its path has parts. */
  readonly directoryCountMax: number;
}

/** Returns the plan of a tree in which only the root is. */
export function newTreePlan(directoryCountMax: number): TreePlan {
  return { directories: new Map([["", undefined]]), links: new Map(), directoryCountMax };
}

/**
 * Notes the directory `path` and those above it; returns those that were not there, outermost first.
 *
 * Throws `ArchiveError` naming `entry` when a link is in the way.
 */
export function planDirectory(plan: TreePlan, path: string, entry: string): string[] {
  const missing: string[] = [];
  for (let at = path; !plan.directories.has(at); at = parentOf(at)) {
    if (plan.links.has(at)) {
      throw refusal(entry, `${quoteName(at)} is a symbolic link, not a directory`);
    }
    missing.push(at);
  }
  missing.reverse();
  for (const directory of missing) plan.directories.set(directory, undefined);
  if (plan.directories.size > plan.directoryCountMax) {
    throw refusal(entry, `there are more than ${plan.directoryCountMax} directories`);
  }
  return missing;
}

/** As `planDirectory`, for a directory that is an entry: it takes the place of a link before it. */
export function planOwnDirectory(plan: TreePlan, path: string): string[] {
  plan.links.delete(path);
  return planDirectory(plan, path, path);
}

/** Makes room for what is no directory at `path`; returns the directories to be made for it. */
export function planLeaf(plan: TreePlan, path: string): string[] {
  const missing = planDirectory(plan, parentOf(path), path);
  plan.links.delete(path);
  return missing;
}

/**
 * Throws `ArchiveError` when `target` is known to be no file that `path` can be another name of.
 *
 * What is on the disk meanwhile are files and directories only: what is neither link nor directory
 * here is a regular file of this tree, or is missing (CVE-2026-11940: links to links).
 */
export function checkHardLink(plan: TreePlan, path: string, target: string): void {
  const shown = `its target ${quoteName(target)}`;
  if (plan.links.has(target)) throw refusal(path, `${shown} is a symbolic link`);
  if (plan.directories.has(target)) throw refusal(path, `${shown} is a directory`);
}

/** Returns the failure to put an entry in the place of a directory, by what the disk answered. */
export function occupied(path: string, cause: unknown): ArchiveError {
  const isFull = ["ENOTEMPTY", "EEXIST"].includes(codeOf(cause));
  return isFull ? refusal(path, "a directory of that name is not empty") : writeFault(path, cause);
}

/** Throws `ArchiveError` when the directory that a link was planned in has been replaced. */
export function checkLinkPlace(plan: TreePlan, path: string): void {
  if (plan.directories.has(parentOf(path))) return;
  throw refusal(path, "its directory was replaced by a later entry");
}

/** Returns the failure of a hard link whose target is not there. */
export function missingTarget(path: string, target: string): ArchiveError {
  return refusal(path, `its target ${quoteName(target)} does not come before it in the archive`);
}

/** Setuid, setgid, sticky and writing by others are dropped; the owner can always read. */
export function fileMode(meta: FileMeta): number {
  return (meta.mode & 0o755) | 0o400;
}

/** As `fileMode`; the owner can always look into a directory. */
export function directoryMode(meta: FileMeta): number {
  return (meta.mode & 0o755) | 0o500;
}

/** Yields the directories, below the root, into which their owner may not write at the end. */
export function* closedDirectories(plan: TreePlan): Generator<string, void> {
  for (const [path, meta] of plan.directories) {
    if (meta !== undefined && path !== "" && (meta.mode & 0o200) === 0) yield path;
  }
}

/** The last millisecond of the year 9999: later times are not worth keeping. */
const TIME_MS_MAX = 253_402_300_799_999;

/**
 * Returns a time in seconds as exactly as the runtime can set it: Deno keeps milliseconds, Bun a
 * quarter microsecond.
 *
 * Half a microsecond is added because seconds in a double fall a little short of most milliseconds,
 * and a time read back must be the same millisecond. Times before 1970 become 1970: Bun sets now.
 */
export function timeSeconds(mtimeMs: number): number {
  return (Math.min(Math.max(mtimeMs, 0), TIME_MS_MAX) + 0.0005) / 1000;
}

/** Errors of `link()` after which a copy does: across devices, too many links, none at all. */
export const NO_LINK_CODES: ReadonlySet<string> = new Set([
  "EXDEV",
  "EPERM",
  "EMLINK",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
]);

/** Returns the failure of the disk at an entry as one that names the entry. */
export function writeFault(path: string, cause: unknown): ArchiveError {
  if (cause instanceof ArchiveError) return cause;
  const found = cause instanceof Error ? cause.message : String(cause);
  const message = `Cannot write entry ${quoteName(path)}: ${found}`;
  return new ArchiveError(message, { entry: path, cause });
}

/** Returns the refusal of an entry that may not be in the tree. */
export function refusal(path: string, found: string): ArchiveError {
  const message = `Cannot unpack entry ${quoteName(path)} into the tree: ${found}`;
  return new ArchiveError(message, { entry: path });
}

/** Returns the directory that `path` is in, empty for the root. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}
