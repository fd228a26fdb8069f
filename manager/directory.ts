/** Directories as canonical tar streams: what the manager's files need of shared/archive. */

import { copyFile, lstat, mkdir, readdir, readlink, rm, symlink, utimes } from "node:fs/promises";

import { dirname, join } from "@std/path";

import { hashTree } from "../shared/archive/digest.ts";
import { hashPack, openPackStream, planPack } from "../shared/archive/pack.ts";
import { unpackTree } from "../shared/archive/unpack.ts";
import type { CacheName } from "../shared/ids.ts";

/** A directory as a file of the cache. */
export interface DirectoryFacts {
  /** SHA-256 over its contents, without times; empty when it was not asked for. */
  readonly treeDigest: string;
  /** Of the canonical tar stream. */
  readonly sizeBytes: number;
  /** Of the canonical tar stream; empty when it was not asked for. */
  readonly digest: string;
}

/** Measures the directory at `path`, and reads all of it when `isHashed`. */
export async function describeDirectory(
  path: string,
  { isHashed }: { readonly isHashed: boolean },
): Promise<DirectoryFacts> {
  const plan = await planPack(path);
  const { sizeBytes } = plan;
  if (!isHashed) return { treeDigest: "", sizeBytes, digest: "" };
  const { sha256 } = await hashTree(path);
  return { treeDigest: sha256, sizeBytes, digest: await hashPack(plan) };
}

/** Bytes of the canonical tar stream of `path`; fails when its length is another than `sizeBytes`. */
export async function packDirectory(
  path: string,
  part: { readonly startByte: number; readonly endByte: number; readonly sizeBytes: number },
): Promise<ReadableStream<Uint8Array>> {
  const { startByte, endByte, sizeBytes } = part;
  const plan = await planPack(path);
  if (plan.sizeBytes === sizeBytes) return openPackStream(plan, { startByte, endByte });
  throw new Error(`Cannot serve directory "${path}": it changed since it was declared`);
}

/** Makes the directory `path`, which must not exist, of a canonical tar stream. */
export async function unpackDirectory(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
): Promise<void> {
  await unpackTree(chunks, path);
}

/** Which part of a directory is copied, and until when. */
export interface CopyOptions {
  /** True of names, at any depth, that are not copied. */
  readonly isLeftOut?: (name: string) => boolean;
  /** Ends it between two files; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Copies a file, or a directory with its times and its links as they are, over what is there. */
export async function copyContents(
  source: string,
  target: string,
  { isLeftOut = () => false, signal }: CopyOptions = {},
): Promise<void> {
  const directories: (readonly [string, string])[] = [];
  const waiting: (readonly [string, string])[] = [[source, target]];
  await mkdir(dirname(target), { recursive: true });
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    signal?.throwIfAborted();
    const [from, to] = next;
    const found = await lstat(from);
    if (found.isSymbolicLink()) {
      await rm(to, { force: true });
      await symlink(await readlink(from), to);
    } else if (found.isDirectory()) {
      await mkdir(to, { recursive: true });
      directories.push(next);
      for (const name of await readdir(from)) {
        if (!isLeftOut(name)) waiting.push([join(from, name), join(to, name)]);
      }
    } else {
      // What is there may be read only, as what was copied before is.
      await rm(to, { force: true });
      await copyFile(from, to);
      await utimes(to, found.atime, found.mtime);
    }
  }
  // Only now: what is put into a directory moves its time.
  for (const [from, to] of directories) {
    const { atime, mtime } = await lstat(from);
    await utimes(to, atime, mtime);
  }
}

/** The name of a directory by its contents. */
export function directoryName({ treeDigest }: DirectoryFacts): CacheName {
  return `dir1-sha256-${treeDigest}` as CacheName;
}
