/** Directories as canonical tar streams: what the manager needs of shared/archive. */

import type { CacheName } from "../shared/ids.ts";

/** A directory as a file of the cache. */
export interface DirectoryFacts {
  /** By contents. */
  readonly name: CacheName;
  /** Of the canonical tar stream. */
  readonly sizeBytes: number;
  /** Of the canonical tar stream; empty when it was not asked for. */
  readonly digest: string;
}

/** Measures the directory at `path`, and reads all of it when `isHashed`. */
export function describeDirectory(
  path: string,
  _options: { readonly isHashed: boolean },
): Promise<DirectoryFacts> {
  return Promise.reject(new Error(`Cannot declare directory "${path}" yet`));
}

/** Bytes of the canonical tar stream of `path`. */
export function packDirectory(
  path: string,
  _range: { readonly startByte: number; readonly endByte: number },
): ReadableStream<Uint8Array> {
  throw new Error(`Cannot serve directory "${path}" yet`);
}

/** Makes the directory `path`, which must not exist, of a canonical tar stream. */
export function unpackDirectory(
  _chunks: AsyncIterable<Uint8Array>,
  path: string,
): Promise<void> {
  return Promise.reject(new Error(`Cannot receive directory "${path}" yet`));
}

/** `text` as a cache name, if it is one. */
export function parseCacheName(text: string | undefined): CacheName | undefined {
  return text !== undefined && /^[a-z0-9][A-Za-z0-9._-]{0,199}$/.test(text)
    ? text as CacheName
    : undefined;
}
