/**
 * The names under which files lie in every cache.
 *
 * They become paths on hosts that did not choose them, so they are checked wherever they arrive.
 */

import type { CacheName } from "./ids.ts";

/** Characters of a cache name. */
export const CACHE_NAME_LENGTH_MAX = 200;
const SHA256_HEX = /^[0-9a-f]{64}$/;

/**
 * Returns `text` as a cache name.
 *
 * Throws `RangeError` unless it has 1 to 200 of the characters A-Z a-z 0-9 . _ - and no dot first,
 * so that as a path it can only be a plain entry of the directory it is joined to.
 */
export function checkCacheName(text: string): CacheName {
  if (text.length <= CACHE_NAME_LENGTH_MAX && /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(text)) {
    return text as CacheName;
  }
  const shown = JSON.stringify(text.slice(0, CACHE_NAME_LENGTH_MAX));
  throw new RangeError(
    `Cannot use name ${shown} as a cache name: it may have ${CACHE_NAME_LENGTH_MAX} characters of ` +
      `A-Z a-z 0-9 . _ - and no dot first`,
  );
}

/** How the names of files that are named by their contents begin. */
export const FILE_CONTENT_PREFIX = "file-sha256-";

/** How those end of files that can be run: the bit is part of what a worker stores under a name. */
export const EXECUTABLE_SUFFIX = "-x";

/** Names a file by its contents: their SHA-256 in hex, and whether it can be run. */
export function fileContentName(
  sha256: string,
  { isExecutable = false }: { readonly isExecutable?: boolean } = {},
): CacheName {
  const suffix = isExecutable ? EXECUTABLE_SUFFIX : "";
  return checkCacheName(`${FILE_CONTENT_PREFIX}${checkSha256(sha256)}${suffix}`);
}

/** Names a directory by its contents: the digest of `hashTree` in hex. */
export function directoryContentName(sha256: string): CacheName {
  return checkCacheName(`dir1-sha256-${checkSha256(sha256)}`);
}

/** The digest in the name of a directory that is named by its contents; undefined of others. */
export function directoryDigestIn(name: string): string | undefined {
  return /^dir1-sha256-([0-9a-f]{64})$/.exec(name)?.[1];
}

/** Names output number `count` of a workflow: the same after the manager was restarted. */
export function tempName(workflowId: string, count: number): CacheName {
  return checkCacheName(`temp-${workflowId}-${count}`);
}

function checkSha256(sha256: string): string {
  if (SHA256_HEX.test(sha256)) return sha256;
  throw new RangeError(`Cannot use "${sha256}" as a SHA-256 digest: not 64 hex digits`);
}
