/** New files of a tree being unpacked, and links to them, in calls of the system that block. */

import {
  closeSync,
  constants,
  copyFileSync,
  futimesSync,
  linkSync,
  lstatSync,
  openSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";

import { codeOf } from "./archive_error.ts";
import { fileMode, missingTarget, NO_LINK_CODES, timeSeconds, writeFault } from "./tree_plan.ts";
import type { FileMeta } from "./tree_plan.ts";

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Opens the file that `meta` tells of as a new one at `path`. */
export function openNew(path: string, meta: FileMeta): number {
  return replacing(path, () => openSync(path, NEW_FILE, fileMode(meta)));
}

/** Writes a new file below `root` whose contents are at hand. */
export function writeNew(root: string, meta: FileMeta, contents: Uint8Array): void {
  try {
    const file = openNew(`${root}/${meta.path}`, meta);
    try {
      writeAll(file, contents, null);
      setTime(file, meta);
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw writeFault(meta.path, cause);
  }
}

/** Makes a hard link below `root` to a file there, or a copy of it where there can be no link. */
export function linkNew(root: string, meta: FileMeta, target: string): void {
  const [from, to] = [`${root}/${target}`, `${root}/${meta.path}`];
  // What `tar` writes of a file that it is told to pack twice.
  if (from === to && lstatSync(to, { throwIfNoEntry: false })?.isFile()) return;
  try {
    replacing(to, () => linkOrCopy(from, to, meta.mtimeMs));
  } catch (cause) {
    throw codeOf(cause) === "ENOENT"
      ? missingTarget(meta.path, target)
      : writeFault(meta.path, cause);
  }
}

function linkOrCopy(from: string, to: string, mtimeMs: number): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!NO_LINK_CODES.has(codeOf(error))) throw error;
    copyFileSync(from, to, constants.COPYFILE_EXCL);
    const seconds = timeSeconds(mtimeMs);
    utimesSync(to, seconds, seconds);
  }
}

/** Gives the open `file` the time of `meta`: after its last byte, which changes it. */
export function setTime(file: number, meta: FileMeta): void {
  const seconds = timeSeconds(meta.mtimeMs);
  futimesSync(file, seconds, seconds);
}

/** Writes all of `bytes`, at `atByte` or where the last write ended. */
export function writeAll(file: number, bytes: Uint8Array, atByte: number | null): void {
  for (let at = 0; at < bytes.length;) {
    at += writeSync(file, bytes, at, bytes.length - at, atByte === null ? null : atByte + at);
  }
}

/** Does `make`, which must not find anything at `path`; what it finds is removed if it is no directory. */
export function replacing<Made>(path: string, make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  // Removed, not written over: the old file may have other names, which keep their contents.
  unlinkSync(path);
  return make();
}
