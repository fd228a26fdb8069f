/**
 * A second name for what lies in the cache, without its bytes: hard links, a directory entry by
 * entry. Where the file system allows none, as across devices, the bytes are copied.
 *
 * @module
 */

import {
  chmodSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { copyFile } from "node:fs/promises";

import { readTree } from "../shared/archive/tree.ts";
import { NO_LINK_CODES, timeSeconds } from "../shared/archive/tree_plan.ts";
import { Pacer } from "./pacer.ts";

/** Makes `target`, which does not exist, of the file at `path`; false when it had to be copied. */
export async function linkFile(path: string, target: string): Promise<boolean> {
  try {
    linkSync(path, target);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (!NO_LINK_CODES.has(code)) throw error;
  }
  await copyTimed(path, target);
  return false;
}

/** Makes `target` a copy of the file at `path`, with its mode and its time. */
export async function copyTimed(path: string, target: string): Promise<void> {
  await copyFile(path, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  const { mode, mtimeMs } = lstatSync(path);
  chmodSync(target, mode & 0o7777);
  const seconds = timeSeconds(mtimeMs);
  utimesSync(target, seconds, seconds);
}

/**
 * Makes the directory `target`, which does not exist, of the one at `root`, so that the stream of
 * both is the same. False when some of it had to be copied.
 */
export async function linkTree(
  root: string,
  target: string,
  signal: AbortSignal,
): Promise<boolean> {
  const entries = await readTree(root);
  const pacer = new Pacer();
  let isLinked = true;
  mkdirSync(target);
  for (const entry of entries) {
    const path = `${target}/${entry.path}`;
    if (entry.kind === "directory") mkdirSync(path);
    else if (entry.kind === "symlink") symlinkSync(entry.target, path);
    else if (!await linkFile(`${root}/${entry.path}`, path)) isLinked = false;
    if (pacer.isDue()) await pacer.pause();
    signal.throwIfAborted();
  }
  // Only now: what is put into a directory moves its time.
  for (const entry of entries) {
    if (entry.kind !== "directory") continue;
    const seconds = timeSeconds(entry.mtimeMs);
    utimesSync(`${target}/${entry.path}`, seconds, seconds);
    if (pacer.isDue()) await pacer.pause();
  }
  return isLinked;
}
