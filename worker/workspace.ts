/**
 * The folder a worker works in: private to its user, held by one process at a time,
 * and swept of what an earlier process left.
 *
 * The lock is one of SQLite's on an empty file, as no runtime has `flock`. The
 * system drops it however its holder ends, so there is no stale lock to recognise,
 * and it holds between containers that share a folder and cannot see each other's
 * processes, where a file with a process id would lie.
 *
 * @module
 */

import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import type { DatabaseSync } from "node:sqlite";

import { dirname, join } from "@std/path";

import type { WorkerId } from "../shared/ids.ts";
import { sweepProcesses } from "./sweep.ts";
import { Trash } from "./trash.ts";

/** Where to look for room, and under which name. */
export interface WorkspaceOptions {
  /** `--workspace`: goes before every variable. */
  readonly directory?: string;
  /** Name of the worker's place below `tendril-UID`; others follow as `NAME-2` and so on. */
  readonly name: string;
  readonly env: { readonly [name: string]: string | undefined };
}

/** Variables that name a folder on a local disk, best first. */
const DIRECTORY_VARIABLES: readonly string[] = ["TENDRIL_WORKSPACE", "SLURM_TMPDIR", "TMPDIR"];

const FALLBACK_DIRECTORY = "/tmp";

/** The folder of what is kept for ever, beside the workspaces. */
export const STORE_NAME = "store";

/** Workers of one name on one host. */
const SUFFIX_MAX = 1_000;

const PRIVATE_DIRECTORY = 0o700;
const PRIVATE_FILE = 0o600;
const OTHERS_BITS = 0o077;

const NAME_CHARS_MAX = 64;
const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const ID_PATTERN = /^[0-9a-f]{32}$/;

/** What is read of a file that should hold an id. */
const ID_BYTES_MAX = 64;

/** How long processes of an earlier worker are killed again before the start goes on. */
const SWEEP_LIMIT_MS = 2_000;

/** SQLite's answer when another process holds the lock. */
const SQLITE_BUSY = 5;

/** The name of a workspace for a manager of any name. */
export function workspaceName(managerName: string): string {
  if (managerName === STORE_NAME) return `${STORE_NAME}-manager`;
  const safe = managerName.replaceAll(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return safe.slice(0, NAME_CHARS_MAX) || "worker";
}

/** Opens the first free workspace of that name and sweeps it. Throws when there is none. */
export async function openWorkspace(options: WorkspaceOptions): Promise<Workspace> {
  const { name, env } = options;
  if (!NAME_PATTERN.test(name)) {
    throw new RangeError(
      `Cannot use "${name}" as name of a workspace: it must be 1 to 64 letters, digits, ".", "_" ` +
        `and "-", the first a letter or digit`,
    );
  }
  if (name === STORE_NAME) throw new RangeError(`Cannot use "${name}" as name of a workspace`);
  const userPath = userDirectory(options.directory, env);
  ensurePrivate(userPath);
  ensurePrivate(join(userPath, STORE_NAME));
  for (let suffix = 1; suffix <= SUFFIX_MAX; suffix++) {
    const path = join(userPath, suffix === 1 ? name : `${name}-${suffix}`);
    ensurePrivate(path);
    const lock = await lockFile(join(path, "lock"));
    if (lock === undefined) continue;
    try {
      await sweep(path);
      return new Workspace(path, lock);
    } catch (error) {
      lock.close();
      throw error;
    }
  }
  throw new RangeError(`Cannot find a workspace in "${userPath}": all ${SUFFIX_MAX} are in use`);
}

/** Where all workspaces of this user are; it need not exist. */
export function userDirectory(
  directory: string | undefined,
  env: WorkspaceOptions["env"],
): string {
  return join(baseDirectory(directory, env), `tendril-${process.getuid?.() ?? "user"}`);
}

/** Owner of one workspace and its lock. */
export class Workspace {
  /** Absolute, without symbolic links. */
  readonly path: string;
  readonly workerId: WorkerId;
  /** Random per process; carried by all it starts. */
  readonly mark: string = newId();
  readonly cachePath: string;
  /** Of this process alone: an earlier one's watcher may still be removing its own. */
  readonly sandboxesPath: string;
  readonly temporaryPath: string;
  /** Shared by all workers of this user below the same folder. */
  readonly storePath: string;
  readonly trash: Trash;
  readonly #lock: DatabaseSync;

  /** Takes over a locked and swept folder; see `openWorkspace`. */
  constructor(path: string, lock: DatabaseSync) {
    this.path = path;
    this.#lock = lock;
    this.cachePath = join(path, "cache");
    this.sandboxesPath = join(path, "sandboxes", this.mark);
    this.temporaryPath = join(path, "tmp");
    this.storePath = join(dirname(path), STORE_NAME);
    for (const name of ["cache", "sandboxes", "tmp", "trash"]) ensurePrivate(join(path, name));
    ensurePrivate(this.sandboxesPath);
    this.trash = new Trash(join(path, "trash"));
    this.workerId = (readId(join(path, "worker-id")) ?? newId()) as WorkerId;
    writeId(join(path, "worker-id"), this.workerId);
    writeId(join(path, "mark"), this.mark);
  }

  /** Removes what only this process used and gives the workspace free; the cache stays. */
  async close(): Promise<void> {
    this.trash.take(this.sandboxesPath);
    for (const name of readdirSync(this.temporaryPath)) {
      this.trash.take(join(this.temporaryPath, name));
    }
    await this.trash.close();
    this.#lock.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function baseDirectory(directory: string | undefined, env: WorkspaceOptions["env"]): string {
  if (directory !== undefined) {
    return madeDirectory(directory);
  }
  for (const variable of DIRECTORY_VARIABLES) {
    const path = env[variable];
    if (!path) continue;
    // What a user asked for is made; what a batch system promises is there or is not used.
    if (variable === "TENDRIL_WORKSPACE") return madeDirectory(path);
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return realpathSync(path);
  }
  return realpathSync(FALLBACK_DIRECTORY);
}

function madeDirectory(path: string): string {
  try {
    mkdirSync(path, { recursive: true });
    return realpathSync(path);
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot use "${path}" for a workspace: ${found}`, { cause: error });
  }
}

/**
 * Makes a folder that nobody else can look into, or accepts one. What another user
 * has put in its place, a link above all, would let him choose what is overwritten.
 */
export function ensurePrivate(path: string): void {
  try {
    mkdirSync(path, { mode: PRIVATE_DIRECTORY });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const found = lstatSync(path);
  if (!found.isDirectory()) {
    throw new RangeError(`Cannot use "${path}" as a workspace: it is no directory`);
  }
  const userId = process.getuid?.();
  if (userId !== undefined && found.uid !== userId) {
    throw new RangeError(
      `Cannot use "${path}" as a workspace of user ${userId}: it belongs to user ${found.uid}`,
    );
  }
  if ((found.mode & OTHERS_BITS) !== 0) chmodSync(path, PRIVATE_DIRECTORY);
}

/** True while a worker runs in the workspace; others may ask at the same time. */
export async function isWorkspaceUsed(path: string): Promise<boolean> {
  const lock = join(path, "lock");
  if (lstatSync(lock, { throwIfNoEntry: false }) === undefined) return false;
  // A reader is shut out by whoever locks it, and by no other reader.
  const reader = await openLock(lock, "BEGIN; SELECT count(*) FROM sqlite_master");
  reader?.close();
  return reader === undefined;
}

/** Locks a file, which is made if need be, until this process ends; undefined while it is locked. */
export async function lockFile(path: string): Promise<DatabaseSync | undefined> {
  return await openLock(path, "BEGIN EXCLUSIVE");
}

async function openLock(path: string, take: string): Promise<DatabaseSync | undefined> {
  const { DatabaseSync } = await import("node:sqlite");
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    throw new RangeError(`Cannot use "${path}" as a lock: it is no file`);
  }
  // Made here, as SQLite would give it, and the journal beside it, what the umask leaves.
  if (found === undefined) closeSync(openSync(path, "a", PRIVATE_FILE));
  const lock = new DatabaseSync(path);
  try {
    lock.exec(take);
    return lock;
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw new Error(`Cannot lock workspace file "${path}"`, { cause: error });
  }
}

/** Ends what an earlier process left running, and puts away what it left lying. */
async function sweep(path: string): Promise<void> {
  const mark = readId(join(path, "mark"));
  if (mark !== undefined) {
    await sweepProcesses({ mark, groupIds: new Set() }, SWEEP_LIMIT_MS);
  }
  for (const name of ["sandboxes", "tmp"]) {
    const oldPath = join(path, name);
    if (lstatSync(oldPath, { throwIfNoEntry: false }) === undefined) continue;
    ensurePrivate(join(path, "trash"));
    // Into the trash, which `Trash` empties in the background.
    renameSync(oldPath, join(path, "trash", newId()));
  }
}

function newId(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

function readId(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size > ID_BYTES_MAX) return undefined;
  const text = readFileSync(path, "latin1").trim();
  return ID_PATTERN.test(text) ? text : undefined;
}

/** By rename, so that a crash leaves the old or the new one. */
function writeId(path: string, id: string): void {
  const fresh = `${path}.${newId()}`;
  writeFileSync(fresh, `${id}\n`, { mode: PRIVATE_FILE, flag: "wx" });
  renameSync(fresh, path);
}
