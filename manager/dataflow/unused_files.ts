/**
 * Files of a cluster that nobody can ask for any more: once what stands for one is gone from the
 * memory of the script, so goes the file. A flow that runs for days would fill the disks otherwise.
 *
 * @module
 */

import type { FileHandle } from "../file_handle.ts";

/** What is being read: as long as it is, it is no garbage, and its file stays. */
const reads = new Set<{ readonly owner: object }>();

/** What `reading` gives, during which `owner` is kept. */
export async function held<T>(owner: object, reading: Promise<T>): Promise<T> {
  const read = { owner };
  reads.add(read);
  try {
    return await reading;
  } finally {
    reads.delete(read);
  }
}

/** Gives files up that stand for what was collected as garbage. */
export class UnusedFiles {
  readonly #registry: FinalizationRegistry<FileHandle> = new FinalizationRegistry((file) => {
    file[Symbol.dispose]();
  });

  /** Gives `file` up once nothing refers to `owner` any more. */
  watch(owner: object, file: FileHandle): void {
    this.#registry.register(owner, file);
  }
}
