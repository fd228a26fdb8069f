/**
 * What runs in a thread that writes small files: it takes them out of its ring until it is stopped.
 *
 * Started by `file_threads.ts`; it is a program of its own in the compiled binary.
 */

import { workerData } from "node:worker_threads";

import { serveFileRing } from "./file_ring.ts";
import type { FileRingMemory } from "./file_ring.ts";
import { linkNew, writeNew } from "./new_file.ts";

/** What the thread is given. */
export interface FileThreadData {
  /** The directory that the paths of files are relative to. */
  readonly root: string;
  readonly memory: FileRingMemory;
}

// Given by this program itself.
const { root, memory } = workerData as FileThreadData;

serveFileRing(memory, {
  file: (meta, contents) => writeNew(root, meta, contents),
  link: (meta, target) => linkNew(root, meta, target),
});
