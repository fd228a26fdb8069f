/**
 * Where unwanted trees go: out of sight by one rename, off the disk later and away
 * from the control loop, one at a time.
 *
 * @module
 */

import { chmodSync, lstatSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { chmod, readdir, rm } from "node:fs/promises";

import { join } from "@std/path";

/** Trees that wait; beyond it `room` makes those who produce them wait. */
const QUEUED_COUNT_MAX = 1_000;

/** All permissions of the owner: without them a directory can neither be moved nor emptied. */
const OWNER_BITS = 0o700;

/** Owner of one trash folder; it must lie on the file system of what it takes. */
export class Trash {
  readonly #path: string;
  readonly #queue: string[];
  /** Keeps the names of this process apart from what an earlier one left. */
  readonly #prefix: string = crypto.randomUUID().slice(0, 8);
  #count = 0;
  #emptying: Promise<void> | undefined;

  /** Opens the folder and removes what is in it; nobody else may use it. */
  constructor(path: string) {
    this.#path = path;
    mkdirSync(path, { recursive: true, mode: OWNER_BITS });
    this.#queue = readdirSync(path).map((name) => join(path, name));
    this.#empty();
  }

  /** Takes what lies at `path`; when this returns nothing is there any more. */
  take(path: string): void {
    const target = join(this.#path, `${this.#prefix}-${this.#count++}`);
    try {
      renameSync(path, target);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      // A directory that its owner may not write cannot change its place.
      if (!lstatSync(path).isDirectory()) throw error;
      chmodSync(path, OWNER_BITS);
      renameSync(path, target);
    }
    this.#queue.push(target);
    this.#empty();
  }

  /** Resolves when less than `QUEUED_COUNT_MAX` trees wait; at once in nearly every case. */
  async room(): Promise<void> {
    while (this.#queue.length >= QUEUED_COUNT_MAX) await this.#emptying;
  }

  /** Resolves when what is here now is off the disk. */
  async emptied(): Promise<void> {
    for (let count = this.#queue.length; count >= 0; count--) await this.#emptying;
  }

  /** Resolves once everything is off the disk. */
  async close(): Promise<void> {
    while (this.#emptying !== undefined) await this.#emptying;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #empty(): void {
    if (this.#emptying !== undefined) return;
    const path = this.#queue.shift();
    if (path === undefined) return;
    this.#emptying = removeTree(path).finally(() => {
      this.#emptying = undefined;
      this.#empty();
    });
  }
}

/** Removes a tree whatever its permissions; what cannot be removed is left to the next start. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
    return;
  } catch {
    // A task may have taken its own rights away: give them back, then try again.
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) await openDirectories(path);
  await rm(path, { recursive: true, force: true }).catch(() => {
    // Of another user, or immutable: not ours to fight.
  });
}

async function openDirectories(path: string): Promise<void> {
  const waiting = [path];
  while (true) {
    const directory = waiting.pop();
    if (directory === undefined) return;
    try {
      await chmod(directory, OWNER_BITS);
      for (const entry of await readdir(directory, { withFileTypes: true })) {
        if (entry.isDirectory()) waiting.push(join(directory, entry.name));
      }
    } catch {
      // Of another user, or gone.
    }
  }
}
