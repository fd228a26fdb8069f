/** Files of this machine in the directories of tries, and what tries make on their way out. */

import {
  type BigIntStats,
  constants,
  createReadStream,
  createWriteStream,
  existsSync,
  lstatSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { copyFile, cp } from "node:fs/promises";
import { pipeline } from "node:stream/promises";

import { dirname, join } from "@std/path";

import type { LocalInput, LocalOutput } from "../../shared/local_try.ts";
import { COPIED_BYTES_MAX, copyTimes, makeParents } from "../mount.ts";
import { MissingError } from "../verdict.ts";

/** A file that is somebody else's, as it was before a try was given it. */
export interface LentFile {
  /** How messages name it: `input "in/reads.fq"`. */
  readonly what: string;
  /** Absolute, of the file itself. */
  readonly path: string;
  readonly stamp: BigIntStats;
}

/**
 * Puts a file where a command finds it: a small one, or one of a file system that shares blocks, as
 * a copy, any other as a link, so that nothing is copied that may be large.
 *
 * @returns What the try could change; undefined of a copy.
 * @throws {MissingError} When it is not there.
 */
export async function placeInput(
  directory: string,
  { mount, path }: LocalInput,
): Promise<LentFile | undefined> {
  makeParents(directory, mount);
  const lent = lend(path, `input "${mount}"`);
  const target = join(directory, mount);
  if (lent.stamp.isFile() && await copyCheaply(lent, target)) return undefined;
  symlinkSync(lent.path, target);
  return lent;
}

/**
 * Takes note of a file that a try is given the path of.
 *
 * @throws {MissingError} When it is not there.
 */
export function lend(path: string, what: string): LentFile {
  try {
    const real = realpathSync(path);
    return { what, path: real, stamp: statSync(real, { bigint: true }) };
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new MissingError(`Cannot find ${what}: ${found}`);
  }
}

/** The first of them that is not any more what it was. */
export function findChanged(files: readonly LentFile[]): LentFile | undefined {
  return files.find(({ path, stamp }) => {
    const now = statSync(path, { bigint: true, throwIfNoEntry: false });
    return now?.ino !== stamp.ino || now.size !== stamp.size || now.mtimeNs !== stamp.mtimeNs;
  });
}

/** Brings what a try has made to where it is to be; what is there is replaced, or added to. */
export async function deliver(path: string, { to, isAppended }: LocalOutput): Promise<void> {
  mkdirSync(dirname(to), { recursive: true });
  if (isAppended && lstatSync(path).isFile()) {
    return await pipeline(createReadStream(path), createWriteStream(to, { flags: "a" }));
  }
  // What else is in a directory of that name is somebody's.
  if (statSync(to, { throwIfNoEntry: false })?.isDirectory() === true) {
    return await cp(path, to, { recursive: true, force: true, verbatimSymlinks: true });
  }
  try {
    renameSync(path, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await copyBeside(path, to);
  }
}

/** Onto another file system: whoever looks at `to` sees all of it or nothing. */
async function copyBeside(path: string, to: string): Promise<void> {
  const beside = `${to}.${crypto.randomUUID()}`;
  try {
    await cp(path, beside, { recursive: true, verbatimSymlinks: true });
    renameSync(beside, to);
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    throw error;
  }
}

async function copyCheaply({ path, stamp }: LentFile, target: string): Promise<boolean> {
  const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = constants;
  const isSmall = stamp.size <= COPIED_BYTES_MAX;
  try {
    await copyFile(path, target, COPYFILE_EXCL | (isSmall ? 0 : COPYFILE_FICLONE_FORCE));
    copyTimes(path, target);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isSmall || code === "ENOSPC" || code === "EEXIST") throw error;
    if (existsSync(target)) rmSync(target);
    return false;
  }
}
