/**
 * SHA-256 of files and of directory trees: the content names of a cache.
 *
 * Reading waits for nothing but the disk, yet hashing takes the thread: 2 GB are about a second of
 * it in all, in pieces of half a millisecond. A control loop may call this for files up to some
 * 100 MB; beyond that, and for whole environments, a process of its own is the place.
 */

import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";

import { forEachBounded } from "../bounded.ts";
import { ArchiveError, quoteName } from "./archive_error.ts";
import { readChunks } from "./archive_source.ts";
import { readTree } from "./tree.ts";
import type { TreeEntry } from "./tree.ts";

/** Files hashed at one time; more only wait for the one thread that hashes. */
const HASHES_MAX = 8;

/** Size and digest of a file. */
export interface FileDigest {
  readonly sizeBytes: number;
  /** SHA-256 in hex. */
  readonly sha256: string;
}

/** Size and digest of a directory tree. */
export interface TreeDigest {
  /** Sum of the files' sizes. */
  readonly sizeBytes: number;
  readonly fileCount: number;
  /** The digest of `hashTree` in hex. */
  readonly sha256: string;
}

/** Hashes the file at `path`, throwing when `signal` aborts it between two parts. */
export async function hashFile(
  path: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<FileDigest> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of readChunks(path)) {
    options.signal?.throwIfAborted();
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sizeBytes, sha256: hash.digest("hex") };
}

/**
 * Hashes the directory tree below `root`: what stands behind `dir1-sha256-`.
 *
 * The digest of a directory is SHA-256 over the 13 ASCII bytes "tendril dir1\n" and then, for each
 * child in the order of the UTF-8 bytes of its name, one record:
 *
 * | bytes | what |
 * |---|---|
 * | 1 | type: "f" file, "d" directory, "l" symbolic link |
 * | 1 | "x" when it is a file that its owner may execute, else "-" |
 * | 4 | length of the name in bytes, big end first |
 * | n | the name in UTF-8 |
 * | f: 8 + 32 | size, big end first, then SHA-256 of the contents |
 * | d: 32 | digest of the directory |
 * | l: 4 + n | length of the target in bytes, big end first, then the target in UTF-8 |
 *
 * Times, other mode bits and owners are not in it. An empty directory has a digest too.
 */
export async function hashTree(
  root: string,
  options: {
    readonly signal?: AbortSignal;
    /** Hashes the file at a path; default `hashFile`. */
    readonly hashOne?: (path: string) => Promise<FileDigest>;
  } = {},
): Promise<TreeDigest> {
  const { hashOne = (path: string) => hashFile(path, options) } = options;
  const entries = await readTree(root);
  const files = entries.filter((entry) => entry.kind === "file");
  const digests = new Map<string, string>();
  let sizeBytes = 0;
  await forEachBounded(files, HASHES_MAX, async (entry) => {
    const digest = await hashOne(`${root}/${entry.path}`);
    if (digest.sizeBytes !== entry.sizeBytes) {
      const message = `Cannot hash file ${quoteName(entry.path)}: it changed meanwhile`;
      throw new ArchiveError(message, { entry: entry.path });
    }
    digests.set(entry.path, digest.sha256);
    sizeBytes += digest.sizeBytes;
  });
  return { sizeBytes, fileCount: files.length, sha256: combineDigests(entries, digests) };
}

/** Digests of directories from the deepest up; `entries` has each directory before its children. */
function combineDigests(
  entries: readonly TreeEntry[],
  fileDigests: ReadonlyMap<string, string>,
): string {
  const childrenByDirectory = new Map<string, TreeEntry[]>([["", []]]);
  for (const entry of entries) {
    if (entry.kind === "directory") childrenByDirectory.set(entry.path, []);
    childrenByDirectory.get(parentOf(entry.path))?.push(entry);
  }
  const directoryDigests = new Map<string, string>();
  for (const [path, children] of [...childrenByDirectory].reverse()) {
    const hash = createHash("sha256").update("tendril dir1\n");
    for (const child of children) {
      addRecord(hash, child, fileDigests.get(child.path) ?? directoryDigests.get(child.path) ?? "");
    }
    directoryDigests.set(path, hash.digest("hex"));
  }
  return directoryDigests.get("") ?? "";
}

function addRecord(hash: Hash, entry: TreeEntry, digest: string): void {
  const type = entry.kind === "file" ? "f" : entry.kind === "directory" ? "d" : "l";
  hash.update(`${type}${entry.isExecutable ? "x" : "-"}`);
  addText(hash, entry.path.slice(entry.path.lastIndexOf("/") + 1));
  if (entry.kind === "symlink") {
    addText(hash, entry.target);
    return;
  }
  if (entry.kind === "file") {
    const size = new DataView(new ArrayBuffer(8));
    size.setBigUint64(0, BigInt(entry.sizeBytes));
    hash.update(new Uint8Array(size.buffer));
  }
  hash.update(digest, "hex");
}

function addText(hash: Hash, text: string): void {
  const bytes = new TextEncoder().encode(text);
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, bytes.length);
  hash.update(new Uint8Array(length.buffer)).update(bytes);
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}
