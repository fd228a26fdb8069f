/** Directories as canonical tar streams: what the manager's files need of shared/archive. */

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

/** The name of a directory by its contents. */
export function directoryName({ treeDigest }: DirectoryFacts): CacheName {
  return `dir1-sha256-${treeDigest}` as CacheName;
}
