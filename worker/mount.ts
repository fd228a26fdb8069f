/** Puts cached files where a task expects them, as cheaply as is safe. */

import {
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { copyFile } from "node:fs/promises";

import { join } from "@std/path";

import type { InputState, LinkedInputs } from "./linked_inputs.ts";
import { Pacer } from "./pacer.ts";

/** A committed file of the cache, under the name a task expects. */
export interface Input {
  /** Relative to the sandbox's working directory. */
  readonly mount: string;
  /** Absolute path in the cache; must stay until the sandbox is removed. */
  readonly path: string;
  readonly isDirectory: boolean;
  /** One symbolic link, however it is mounted else. */
  readonly isSymlink?: boolean | undefined;
}

/** A mount that leads to the cache itself. */
export interface Link {
  readonly mount: string;
  readonly path: string;
  /** Absolute. */
  readonly target: string;
  readonly kind: "file" | "tree";
}

/** Where mounts are made, and what is known of the file system below it. */
export interface MountPoint {
  /** Absolute. */
  readonly directory: string;
  readonly links: LinkedInputs;
  /** Set to false by the first refusal, as each further try would cost a file. */
  readonly fileSystem: { canReflink: boolean };
  /** Inode numbers of reflinks: until they are written to they take nothing of the disk. */
  readonly clones: Set<number>;
}

/** Files up to this size are copied; larger ones are reflinked or linked. */
export const COPIED_BYTES_MAX: number = 64 * 1024;

/** A directory with more entries than this is one symbolic link. */
export const LINKED_ENTRIES_MAX = 1_000;

const MOUNT_BYTES_MAX = 1_024;
const SEGMENT_BYTES_MAX = 255;

/** Returns `mount`, or throws a RangeError unless it names something below the sandbox. */
export function checkMount(mount: string): string {
  const segments = mount.split("/");
  const isBelow = segments.every((segment) =>
    segment !== "" && segment !== "." && segment !== ".." && !segment.includes("\0") &&
    Buffer.byteLength(segment) <= SEGMENT_BYTES_MAX
  );
  if (isBelow && Buffer.byteLength(mount) <= MOUNT_BYTES_MAX) return mount;
  throw new RangeError(
    `Cannot use mount "${mount}" as a path in the sandbox: it must be relative, without empty, ` +
      `"." and ".." parts, and at most ${MOUNT_BYTES_MAX} bytes long`,
  );
}

/** Makes the directories above `mount`; refuses one that is a link or no directory. */
export function makeParents(directory: string, mount: string): void {
  let path = directory;
  for (const segment of checkMount(mount).split("/").slice(0, -1)) {
    path = join(path, segment);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) mkdirSync(path);
    else if (!found.isDirectory()) {
      throw new RangeError(`Cannot use mount "${mount}": "${segment}" above it is no directory`);
    }
  }
}

/** Mounts one input and returns the links it consists of; none when all of it was copied. */
export async function mountInput(point: MountPoint, input: Input): Promise<Link[]> {
  makeParents(point.directory, input.mount);
  const target = join(point.directory, input.mount);
  const { mount, path } = input;
  const made: Link[] = [];
  try {
    if (input.isSymlink === true && !input.isDirectory) {
      point.links.linkFile(path, target, symlinkSync);
      return [{ mount, path, target, kind: "file" }];
    }
    if (!input.isDirectory) {
      const isLinked = await mountFile(point, path, target);
      return isLinked ? [{ mount, path, target, kind: "file" }] : [];
    }
    const entries = input.isSymlink === true ? undefined : await listEntries(path);
    if (entries === undefined) {
      await point.links.linkTree(path, target);
      return [{ mount, path, target, kind: "tree" }];
    }
    await linkEntries(point, { mount, path, target, entries }, made);
    return made;
  } catch (error) {
    for (const link of made) await releaseLink(point.links, link);
    throw error;
  }
}

/** Says what became of a linked file or tree, and removes the link. */
export function releaseLink(links: LinkedInputs, link: Link): InputState | Promise<InputState> {
  const { kind, path, target } = link;
  return kind === "tree" ? links.releaseTree(path, target) : links.releaseFile(path, target);
}

/** True when `target` is a link. */
async function mountFile(point: MountPoint, path: string, target: string): Promise<boolean> {
  const { size } = lstatSync(path);
  if (size <= COPIED_BYTES_MAX) {
    copyFileSync(path, target, constants.COPYFILE_EXCL);
    return false;
  }
  if (point.fileSystem.canReflink) {
    if (await reflink(path, target)) {
      point.clones.add(lstatSync(target).ino);
      return false;
    }
    point.fileSystem.canReflink = false;
  }
  return await linkOrCopy(point.links, path, target);
}

async function reflink(path: string, target: string): Promise<boolean> {
  try {
    await copyFile(path, target, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EEXIST" || code === "ENOENT") throw error;
    return false;
  }
}

async function linkOrCopy(links: LinkedInputs, path: string, target: string): Promise<boolean> {
  try {
    links.linkFile(path, target);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EMLINK" && code !== "EXDEV" && code !== "EPERM") throw error;
  }
  await copyFile(path, target, constants.COPYFILE_EXCL);
  return false;
}

interface Entry {
  /** Relative to the directory. */
  readonly name: string;
  readonly kind: "directory" | "file" | "symlink";
}

/** Entries of a tree, each after its directory; undefined when there are too many. */
async function listEntries(root: string): Promise<Entry[] | undefined> {
  const entries: Entry[] = [];
  const waiting = [""];
  const pacer = new Pacer();
  while (true) {
    const directory = waiting.pop();
    if (directory === undefined) return entries;
    for (const found of readdirSync(join(root, directory), { withFileTypes: true })) {
      if (entries.length === LINKED_ENTRIES_MAX) return undefined;
      const name = join(directory, found.name);
      if (found.isDirectory()) waiting.push(name);
      const kind = found.isDirectory() ? "directory" : found.isSymbolicLink() ? "symlink" : "file";
      entries.push({ name, kind });
    }
    if (pacer.isDue()) await pacer.pause();
  }
}

interface LinkedDirectory {
  readonly mount: string;
  readonly path: string;
  readonly target: string;
  readonly entries: readonly Entry[];
}

/** Its directories are the task's own; its files, of any size, are links. */
async function linkEntries(
  point: MountPoint,
  directory: LinkedDirectory,
  made: Link[],
): Promise<void> {
  const pacer = new Pacer();
  mkdirSync(directory.target);
  for (const { name, kind } of directory.entries) {
    const path = join(directory.path, name);
    const target = join(directory.target, name);
    if (kind === "directory") mkdirSync(target);
    else if (kind === "symlink") symlinkSync(readlinkSync(path), target);
    else if (await linkEntry(point, path, target)) {
      made.push({ mount: directory.mount, path, target, kind: "file" });
    } else copyTimes(path, target);
    if (pacer.isDue()) await pacer.pause();
  }
  // Only now: what is put into a directory moves its time.
  for (const { name, kind } of directory.entries) {
    if (kind === "directory") copyTimes(join(directory.path, name), join(directory.target, name));
    if (pacer.isDue()) await pacer.pause();
  }
  copyTimes(directory.path, directory.target);
}

/** Programs compare the times of files in a tree with one another, as Python and make do. */
export function copyTimes(from: string, to: string): void {
  const { atimeMs, mtimeMs } = lstatSync(from);
  utimesSync(to, atimeMs / 1000, mtimeMs / 1000);
}

/** A small file is linked too: a directory of them costs a link each, not a file each. */
async function linkEntry(point: MountPoint, path: string, target: string): Promise<boolean> {
  const { canReflink } = point.fileSystem;
  if (canReflink && lstatSync(path).size > COPIED_BYTES_MAX) {
    return await mountFile(point, path, target);
  }
  return await linkOrCopy(point.links, path, target);
}
