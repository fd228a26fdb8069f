/**
 * One writer at a time for each zip file: what calls of this process add meanwhile is added at once,
 * and other processes are kept out by a lock file beside it.
 *
 * @module
 */

import { link, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";

import { basename, dirname, join } from "@std/path";

import { appendToZip, type ZipAddition } from "../../shared/archive/zip_append.ts";
import { abortableDelay } from "../../shared/url/retry.ts";

/** Another process may hold an archive for this long before it is given up. */
const LOCK_MS_MAX = 600_000;

/** Between two looks at a lock. */
const LOOK_MS = 50;

/** Members that are added at once. */
const BATCH_MAX = 1_000;

/** Something to be added, and who waits for it. */
interface Waiting {
  readonly addition: ZipAddition;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** `{archive: what is to be added to it}`; there while somebody writes it. */
const queues: Map<string, Waiting[]> = new Map();

/** Adds a file to an archive; resolves once it is there. */
export async function appendInTurn(
  archive: string,
  addition: ZipAddition,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const waiting: Waiting = { addition, resolve, reject };
  const queue = queues.get(archive);
  if (queue === undefined) {
    const started = [waiting];
    queues.set(archive, started);
    void write(archive, started);
  } else queue.push(waiting);
  await promise;
}

async function write(archive: string, queue: Waiting[]): Promise<void> {
  // What else comes in this turn goes along.
  await Promise.resolve();
  while (queue.length > 0) {
    const batch = queue.splice(0, BATCH_MAX);
    try {
      await using _ = await lock(archive);
      await appendToZip(archive, batch.map(({ addition }) => addition));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
  queues.delete(archive);
}

/** Makes the lock file; waits for whoever has it. */
async function lock(archive: string): Promise<AsyncDisposable> {
  const path = join(dirname(archive), `.${basename(archive)}.lock`);
  await mkdir(dirname(archive), { recursive: true });
  const signal = AbortSignal.timeout(LOCK_MS_MAX);
  while (!await take(path)) {
    if (await isAbandoned(path)) await removeAbandoned(path);
    if (signal.aborted) throw new Error(`another process writes to it, which holds "${path}"`);
    await abortableDelay(LOOK_MS, new AbortController().signal);
  }
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}

async function take(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    try {
      await file.writeFile(`${process.pid} ${hostname()}\n`);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as { readonly code?: string }).code === "EEXIST") return false;
    throw error;
  }
}

/** Another waiter may have removed it meanwhile, and somebody taken the lock: then that is put back. */
async function removeAbandoned(path: string): Promise<void> {
  const aside = `${path}-${process.pid}`;
  try {
    await rename(path, aside);
    if (!await isAbandoned(aside)) await link(aside, path);
    await rm(aside, { force: true });
  } catch (error) {
    const { code } = error as { readonly code?: string };
    if (code !== "ENOENT" && code !== "EEXIST") throw error;
  }
}

/** True of the lock of a process of this machine that is gone. */
async function isAbandoned(path: string): Promise<boolean> {
  const text = await readFile(path, "utf8").catch(() => "");
  const [, id, host] = /^(\d+) (.+)\n$/.exec(text) ?? [];
  if (id === undefined || host !== hostname()) return false;
  try {
    process.kill(Number(id), 0);
    return false;
  } catch (error) {
    return (error as { readonly code?: string }).code === "ESRCH";
  }
}
