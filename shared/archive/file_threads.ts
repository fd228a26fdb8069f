/**
 * Threads that write the small files of one tree beside the thread that reads the archive.
 *
 * What a small file costs is the kernel's work of making it, which several threads do at a time.
 * Nothing waits for them but what needs a certain file; where they have no room, or there are none,
 * the reader writes itself.
 */

import { availableParallelism } from "node:os";
import process from "node:process";

import { startThread } from "../runtime/thread.ts";
import { FileRing, newFileRingMemory } from "./file_ring.ts";
import type { FileMeta } from "./tree_plan.ts";

/** Threads beside the reader; a file system makes few files at a time. */
const THREADS_MAX = 3;
/** Files after which threads are started, since starting one takes as long as writing them. */
const START_COUNT = 256;
/** Files that may be noted as not written yet before those that are written are forgotten. */
const NOTED_MAX = 4_096;

interface FileThread {
  readonly ring: FileRing;
  /** {path: number of the file in the ring}, in the order of the numbers; some may be written. */
  readonly pending: Map<string, number>;
}

/** The threads of one tree. */
export class FileThreads {
  readonly #root: string;
  #threads: readonly FileThread[] = [];
  /** The one that was last given a file: files of one directory follow each other. */
  #index = 0;
  #offeredCount = 0;

  /** Has files written below the directory `root`. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Hands over a file to be written; false when the caller must write it. */
  offer(meta: FileMeta, contents: Uint8Array): boolean {
    if (++this.#offeredCount === START_COUNT) this.#start();
    const count = this.#threads.length;
    for (let tried = 0; tried < count; tried++) {
      const thread = this.#threads[this.#index];
      const number = thread?.ring.give(meta, contents);
      if (number !== undefined) {
        if (thread !== undefined) note(thread, meta.path, number);
        return true;
      }
      this.#index = (this.#index + 1) % count;
    }
    return false;
  }

  /**
   * Hands over a hard link to a file that is on its way; false when the caller must make it, to a
   * file that is written.
   */
  offerLink(meta: FileMeta, target: string): boolean {
    const thread = this.#threads.find(({ pending }) => pending.has(target));
    const number = thread?.ring.giveLink(meta, target);
    if (thread === undefined || number === undefined) {
      this.settle(target);
      return false;
    }
    note(thread, meta.path, number);
    // What takes the name of the target must not do so before the link is there.
    note(thread, target, number);
    return true;
  }

  /** Waits until no file at `path` is on its way any more. Throws what kept it from being written. */
  settle(path: string): void {
    for (const { ring, pending } of this.#threads) {
      const number = pending.get(path);
      if (number === undefined) continue;
      ring.settle(number);
      pending.delete(path);
    }
  }

  /** Waits until all files are written. Throws what kept one from that. */
  settleAll(): void {
    for (const { ring } of this.#threads) ring.settle();
  }

  /** As `settleAll`, and ends the threads. */
  finish(): void {
    this.settleAll();
    this.stop();
  }

  /** Ends the threads, whether all files are written or not: none is any more after this. */
  stop(): void {
    for (const { ring } of this.#threads) ring.stop();
    this.#threads = [];
  }

  #start(): void {
    // Elsewhere names that differ may be one file, and then the order of writing counts.
    if (process.platform !== "linux") return;
    const threads: FileThread[] = [];
    for (let count = Math.min(THREADS_MAX, availableParallelism() - 1); count > 0; count--) {
      const memory = newFileRingMemory();
      const data = { root: this.#root, memory };
      if (startThread("shared/archive/file_thread.ts", data) === undefined) return;
      threads.push({ ring: new FileRing(memory), pending: new Map() });
    }
    this.#threads = threads;
  }
}

function note({ ring, pending }: FileThread, path: string, number: number): void {
  // Also what is noted already goes to the end, where the highest numbers are.
  pending.delete(path);
  pending.set(path, number);
  if (pending.size < NOTED_MAX) return;
  const { writtenCount } = ring;
  for (const [old, oldNumber] of pending) {
    if (oldNumber > writtenCount) return;
    pending.delete(old);
  }
}
