/**
 * Takes what a task has made out of its sandbox. All its processes are gone by
 * then, so nothing changes while it is looked at.
 *
 * @module
 */

import { constants } from "node:fs";
import {
  chmodSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  type Stats,
} from "node:fs";
import { copyFile } from "node:fs/promises";

import { dirname, join, relative, resolve } from "@std/path";

import { checkMount } from "./mount.ts";
import { Pacer } from "./pacer.ts";

/** What lies at an output's mount. */
export type Output =
  /** To be moved into the cache by rename: no link leads out of it or into the cache. */
  | {
    readonly kind: "ready";
    readonly mount: string;
    /** Absolute. */
    readonly path: string;
    readonly isDirectory: boolean;
    /** False of a directory. */
    readonly isExecutable: boolean;
    /** Of a directory: the sum over its files. */
    readonly sizeBytes: number;
  }
  | { readonly kind: "missing" | "refused"; readonly mount: string; readonly message: string };

/** Entries of one output directory. */
export const OUTPUT_ENTRIES_MAX = 1_000_000;

const OWNER_DIRECTORY_BITS = 0o700;
const OWNER_READ_BIT = 0o400;
const EXECUTE_BITS = 0o111;

/** Thrown inside this module only, and turned into a refusal. */
class Refusal extends Error {
  override readonly name = "Refusal";
}

/**
 * Looks at one output and makes it fit to be moved. Throws what the disk answers:
 * a full one when a file has to be copied out of the cache's hands.
 */
export async function collectOutput(directory: string, mount: string): Promise<Output> {
  checkMount(mount);
  try {
    return await collect(directory, mount);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { kind: "refused", mount, message: error.message };
  }
}

async function collect(directory: string, mount: string): Promise<Output> {
  const path = join(directory, mount);
  let found = findBelow(directory, mount);
  if (found?.isSymbolicLink()) found = await resolveLink(directory, mount);
  if (found === undefined) {
    return { kind: "missing", mount, message: `Output "${mount}" was not made` };
  }
  if (found.isFile()) {
    await ownFile(path, found);
    const isExecutable = (found.mode & EXECUTE_BITS) !== 0;
    const { size: sizeBytes } = found;
    return { kind: "ready", mount, path, isDirectory: false, isExecutable, sizeBytes };
  }
  if (!found.isDirectory()) {
    throw new Refusal(`Cannot take output "${mount}" as a file or directory: it is special`);
  }
  const sizeBytes = await checkTree(path, mount);
  return { kind: "ready", mount, path, isDirectory: true, isExecutable: false, sizeBytes };
}

/** The mount itself; every directory above it must be one, and no link. */
function findBelow(directory: string, mount: string): Stats | undefined {
  let path = directory;
  let found: Stats | undefined;
  for (const segment of mount.split("/")) {
    if (found !== undefined && !found.isDirectory()) {
      throw new Refusal(
        `Cannot take output "${mount}": "${relative(directory, path)}" above it is no directory`,
      );
    }
    path = join(path, segment);
    found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return undefined;
  }
  return found;
}

/** An output that is a link to a file of the sandbox becomes a copy of it. */
async function resolveLink(directory: string, mount: string): Promise<Stats | undefined> {
  const path = join(directory, mount);
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    throw new Refusal(`Cannot take output "${mount}": it is a link to "${readlinkSync(path)}"`);
  }
  const isInside = real.startsWith(`${realpathSync(directory)}/`);
  if (!isInside || !lstatSync(real).isFile()) {
    throw new Refusal(
      `Cannot take output "${mount}": it is a link to "${readlinkSync(path)}", ` +
        `which is no file of the sandbox`,
    );
  }
  await replaceByCopy(real, path);
  return lstatSync(path);
}

/** Checks every entry and returns the sum of the sizes. */
async function checkTree(root: string, mount: string): Promise<number> {
  const pacer = new Pacer();
  const waiting = [root];
  let entryCount = 0;
  let sizeBytes = 0;
  while (true) {
    const directory = waiting.pop();
    if (directory === undefined) return sizeBytes;
    openDirectory(directory);
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const found = lstatSync(path);
      const entry = `${mount}/${relative(root, path)}`;
      entryCount += 1;
      if (entryCount > OUTPUT_ENTRIES_MAX) {
        throw new Refusal(
          `Cannot take output "${mount}": it has more than ${OUTPUT_ENTRIES_MAX} entries`,
        );
      }
      if (found.isDirectory()) waiting.push(path);
      else if (found.isSymbolicLink()) checkLink(root, path, entry);
      else if (!found.isFile()) throw new Refusal(`Cannot take output "${entry}": it is special`);
      else {
        await ownFile(path, found);
        sizeBytes += found.size;
      }
      if (pacer.isDue()) await pacer.pause();
    }
  }
}

/** Only the output's own tree moves with it, so a link must stay in there. */
function checkLink(root: string, path: string, entry: string): void {
  const target = readlinkSync(path);
  const end = resolve(dirname(path), target);
  if (!target.startsWith("/") && (end === root || end.startsWith(`${root}/`))) return;
  throw new Refusal(`Cannot take output "${entry}": it is a link to "${target}", outside of it`);
}

/** A task may have shut itself out of what it made. */
function openDirectory(path: string): void {
  const { mode } = lstatSync(path);
  if ((mode & OWNER_DIRECTORY_BITS) !== OWNER_DIRECTORY_BITS) {
    chmodSync(path, mode | OWNER_DIRECTORY_BITS);
  }
}

/** An inode that has another name may be an input's: what is moved shares nothing. */
async function ownFile(path: string, found: Stats): Promise<void> {
  if ((found.mode & OWNER_READ_BIT) === 0) chmodSync(path, found.mode | OWNER_READ_BIT);
  if (found.nlink > 1) await replaceByCopy(path, path);
}

async function replaceByCopy(source: string, path: string): Promise<void> {
  const copy = join(dirname(path), `.${crypto.randomUUID()}`);
  await copyFile(source, copy, constants.COPYFILE_EXCL);
  renameSync(copy, path);
}
