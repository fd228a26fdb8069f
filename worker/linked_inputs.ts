/**
 * The cached files that running tasks see through a hard or symbolic link, and
 * whether a task wrote to one. Nothing keeps root, or the owner after `chmod`,
 * from writing through a link, so a file's stamp is taken at the first link and
 * compared when each of its tasks has ended.
 *
 * Size, mtime, mode and inode decide. The time of the last change of the inode
 * (ctime) cannot be set by anybody, so it shows a write that was covered up; but it
 * also moves when a task removes or renames its input, which is allowed, and with
 * every link the worker makes. The worker's own moves are known here; any other
 * makes the file *suspect*: its digest has to tell.
 *
 * @module
 */

import {
  type BigIntStats,
  linkSync,
  lstatSync,
  readdirSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from "node:fs";

import { join } from "@std/path";

import { Pacer } from "./pacer.ts";

/** What was found of a linked input when its task had ended. */
export type InputState = "same" | "modified" | "suspect";

/** A file's outer facts; a write that changes none of them needs intent. */
interface Stamp {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly mode: bigint;
  readonly ino: bigint;
}

interface LinkedFile {
  readonly stamp: Stamp;
  /** After the last link made or removed by the worker. */
  ctimeNs: bigint;
  isSuspect: boolean;
  userCount: number;
}

/** Hashes over every entry of a tree. */
interface Fingerprint {
  readonly stamps: bigint;
  /** Over the ctimes: they also move when a task makes a hard link of its own. */
  readonly changes: bigint;
}

interface LinkedTree {
  readonly baseline: Promise<Fingerprint>;
  userCount: number;
  /** A look that has not begun; whoever asks before it does shares it. */
  waiting: Promise<Fingerprint> | undefined;
  /** The look under way, or the last one. */
  current: Promise<unknown>;
}

/**
 * Kernels before 6.13 stamp files with the time of the last clock tick, up to 10 ms
 * ago, so that a write soon after another leaves the same mtime.
 */
export const TICK_MS = 20;

/** An mtime further ahead is no clock's that is a little fast, and is moved by any write. */
const FUTURE_MS_MAX: number = 24 * 60 * 60_000;

/** By this much a fresh mtime is set back: any later write then moves it. */
const SET_BACK_SECONDS = 0.00001;

const FINGERPRINT_PRIME = 0x100000001b3n;
const FINGERPRINT_START = 0xcbf29ce484222325n;

/** Owner of the stamps of all linked inputs of a worker. */
export class LinkedInputs {
  readonly #files: Map<string, LinkedFile> = new Map();
  readonly #trees: Map<string, LinkedTree> = new Map();

  /** Makes `target` a link to the cached file `path`; throws what the system answers. */
  linkFile(path: string, target: string, link: typeof linkSync = linkSync): void {
    const known = this.#files.get(path);
    if (known !== undefined && lstatSync(path, { bigint: true }).ctimeNs !== known.ctimeNs) {
      known.isSuspect = true;
    }
    if (known === undefined) setBackFreshTime(path);
    link(path, target);
    const found = lstatSync(path, { bigint: true });
    if (known === undefined) {
      const file = { stamp: stampOf(found), ctimeNs: found.ctimeNs };
      this.#files.set(path, { ...file, isSuspect: false, userCount: 1 });
      return;
    }
    known.ctimeNs = found.ctimeNs;
    known.userCount += 1;
  }

  /** The inode number that the cached file `path` shares with its links; undefined when it has none. */
  inodeOf(path: string): number | undefined {
    const ino = this.#files.get(path)?.stamp.ino;
    return ino === undefined ? undefined : Number(ino);
  }

  /** Looks at the file of an ended task and removes its link. */
  releaseFile(path: string, target: string): InputState {
    const file = this.#files.get(path);
    if (file === undefined) return "same";
    const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    const state = compareFile(file, found);
    removeLink(target);
    file.userCount -= 1;
    if (file.userCount === 0) {
      this.#files.delete(path);
      return state;
    }
    // A suspicion is told once; a modification to everybody.
    file.isSuspect = false;
    const after = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (after !== undefined) file.ctimeNs = after.ctimeNs;
    return state;
  }

  /** Makes `target` a symbolic link to the cached directory `path`. */
  async linkTree(path: string, target: string): Promise<void> {
    let tree = this.#trees.get(path);
    if (tree === undefined) {
      const baseline = fingerprint(path);
      tree = { baseline, userCount: 0, waiting: undefined, current: baseline };
      this.#trees.set(path, tree);
    }
    tree.userCount += 1;
    try {
      await tree.baseline;
      symlinkSync(path, target);
    } catch (error) {
      this.#leaveTree(path, tree);
      throw error;
    }
  }

  /** Looks through the directory of an ended task and removes its link. */
  async releaseTree(path: string, target: string): Promise<InputState> {
    const tree = this.#trees.get(path);
    if (tree === undefined) return "same";
    removeLink(target);
    try {
      const [found, baseline] = [await look(path, tree), await tree.baseline];
      if (found.stamps !== baseline.stamps) return "modified";
      return found.changes === baseline.changes ? "same" : "suspect";
    } catch {
      // It cannot be read through any more.
      return "modified";
    } finally {
      this.#leaveTree(path, tree);
    }
  }

  #leaveTree(path: string, tree: LinkedTree): void {
    tree.userCount -= 1;
    if (tree.userCount === 0) this.#trees.delete(path);
  }
}

function compareFile(file: LinkedFile, found: BigIntStats | undefined): InputState {
  if (found === undefined) return "modified";
  const { stamp } = file;
  const isSame = found.size === stamp.size && found.mtimeNs === stamp.mtimeNs &&
    found.mode === stamp.mode && found.ino === stamp.ino;
  if (!isSame) return "modified";
  return file.isSuspect || found.ctimeNs !== file.ctimeNs ? "suspect" : "same";
}

function stampOf({ size, mtimeNs, mode, ino }: BigIntStats): Stamp {
  return { size, mtimeNs, mode, ino };
}

function setBackFreshTime(path: string): void {
  const { mtimeMs } = lstatSync(path);
  const ageMs = Date.now() - mtimeMs;
  if (ageMs > TICK_MS || ageMs < -FUTURE_MS_MAX) return;
  const seconds = mtimeMs / 1000 - SET_BACK_SECONDS;
  utimesSync(path, seconds, seconds);
}

function removeLink(target: string): void {
  try {
    unlinkSync(target);
  } catch {
    // The task removed, replaced or locked it away; the sandbox goes as a whole.
  }
}

/** A look that began no sooner than this call: looks run one after another. */
function look(path: string, tree: LinkedTree): Promise<Fingerprint> {
  tree.waiting ??= tree.current.catch(() => {
    // Who asked for that look was told.
  }).then(() => {
    const started = fingerprint(path);
    tree.current = started;
    tree.waiting = undefined;
    return started;
  });
  return tree.waiting;
}

async function fingerprint(root: string): Promise<Fingerprint> {
  const pacer = new Pacer();
  const waiting = [root];
  let stamps = FINGERPRINT_START;
  let changes = FINGERPRINT_START;
  while (true) {
    const path = waiting.pop();
    if (path === undefined) return { stamps, changes };
    const found = lstatSync(path, { bigint: true });
    for (const fact of [found.size, found.mtimeNs, found.mode, found.ino]) {
      stamps = mix(stamps, fact);
    }
    changes = mix(changes, found.ctimeNs);
    if (found.isDirectory()) {
      for (const name of readdirSync(path).sort()) waiting.push(join(path, name));
    }
    if (pacer.isDue()) await pacer.pause();
  }
}

/** One step of FNV-1a (Fowler, Noll, Vo), 64 bits at a time. */
function mix(hash: bigint, fact: bigint): bigint {
  return BigInt.asUintN(64, (hash ^ fact) * FINGERPRINT_PRIME);
}
