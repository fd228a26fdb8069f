/**
 * Cache names that stand for where a file comes from: a local path, a url, a mini task.
 *
 * Apart from `cache_name.ts` because hashing is not for the cores, which only pass such names on.
 */

import { createHash } from "node:crypto";

import { checkCacheName } from "./cache_name.ts";
import type { CacheName } from "./ids.ts";

/** What tells one state of a local file from another, without reading it. */
export interface LocalIdentity {
  /** Absolute path on the manager's host. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly inode: number | bigint;
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
