/**
 * The names under which files lie in every cache, and the mounts under which tasks see them.
 *
 * Both become paths on hosts that did not choose them, so both are checked wherever they arrive.
 */

import { createHash } from "node:crypto";

import type { CacheName } from "./ids.ts";
import { findPathFault } from "./relative_path.ts";

/** Characters of a cache name. */
export const CACHE_NAME_LENGTH_MAX = 200;
/** UTF-8 bytes of a mount: leaves room for the path of the sandbox in front of it. */
export const MOUNT_BYTES_MAX = 1_024;
/** Parts of a mount. */
export const MOUNT_DEPTH_MAX = 32;
/** First part of the paths in a sandbox that are the worker's own; no mount begins with it. */
export const RESERVED_PREFIX = ".tendril";

const SHA256_HEX = /^[0-9a-f]{64}$/;

/** What tells one state of a local file from another, without reading it. */
export interface LocalIdentity {
  /** Absolute path on the manager's host. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly inode: number | bigint;
}

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

/**
 * Returns `text` when it may be a mount: a relative path in normal form, not one of the worker's own.
 *
 * Throws `RangeError` saying what is wrong otherwise.
 */
export function checkMountName(text: string): string {
  const limits = { pathBytesMax: MOUNT_BYTES_MAX, pathDepthMax: MOUNT_DEPTH_MAX };
  let fault = findPathFault(text, limits);
  if (fault === undefined && text.startsWith(RESERVED_PREFIX)) {
    fault = `names that begin with "${RESERVED_PREFIX}" are reserved`;
  }
  if (fault === undefined) return text;
  const shown = JSON.stringify(text.slice(0, MOUNT_BYTES_MAX));
  throw new RangeError(`Cannot use name ${shown} as a mount: ${fault}`);
}

/** Names a file by its contents: their SHA-256 in hex. */
export function fileContentName(sha256: string): CacheName {
  return checkCacheName(`file-sha256-${checkSha256(sha256)}`);
}

/** Names a directory by its contents: the digest of `hashTree` in hex. */
export function directoryContentName(sha256: string): CacheName {
  return checkCacheName(`dir1-sha256-${checkSha256(sha256)}`);
}

/** Names output number `count` of a workflow: the same after the manager was restarted. */
export function tempName(workflowId: string, count: number): CacheName {
  return checkCacheName(`temp-${workflowId}-${count}`);
}

/** Names a local file for as long as it is not changed. */
export function localName(identity: LocalIdentity): CacheName {
  const { path, sizeBytes, mtimeMs, inode } = identity;
  return checkCacheName(`local-${hashOf([path, sizeBytes, mtimeMs, String(inode)])}`);
}

/** Names what is at `url` as long as `validator`, its ETag or Last-Modified, is the same. */
export function urlName(url: string, validator: string): CacheName {
  return checkCacheName(`url-${hashOf([url, validator])}`);
}

/** Names what a mini task makes, by its definition as text and the names of its inputs in order. */
export function miniTaskName(definition: string, inputs: readonly CacheName[]): CacheName {
  return checkCacheName(`mini-${hashOf([definition, ...inputs])}`);
}

/** JSON keeps the parts apart: no two lists of parts are the same text. */
function hashOf(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

function checkSha256(sha256: string): string {
  if (SHA256_HEX.test(sha256)) return sha256;
  throw new RangeError(`Cannot use "${sha256}" as a SHA-256 digest: not 64 hex digits`);
}
