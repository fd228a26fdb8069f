/**
 * Starts processes that may run on some processors alone. A child inherits the mask of the thread
 * that starts it (`man 2 sched_setaffinity`), so that this thread takes the child's mask for as long
 * as the start lasts: the child has it before it runs its first instruction, and all that it starts
 * has it after that. Three calls, 4 to 6 µs together, and no program between worker and task.
 *
 * @module
 */

import { openLibraryC } from "./library_c.ts";

/** Starts processes on processors that it is told. */
export interface CpuPinner {
  /**
   * What `start` starts, before it returns, runs on these processors alone; wherever this process may,
   * if none of them is there any more.
   */
  run<T>(cpus: readonly number[], start: () => T): T;
}

/** Processors that a mask has room for: CONFIG_NR_CPUS is 8,192 at most. */
const CPUS_MAX = 8_192;

/** Undefined where the system or the runtime has no such call. */
export async function openCpuPinner(): Promise<CpuPinner | undefined> {
  const library = await openLibraryC();
  if (library === undefined) return undefined;
  const before = new Uint8Array(CPUS_MAX / 8);
  if (library.sched_getaffinity(0, before.length, before) < 0) return undefined;
  const set = (mask: Uint8Array) => library.sched_setaffinity(0, mask.length, mask) === 0;
  // Some sandboxes let it be read and not be set.
  if (!set(before)) return undefined;
  return {
    run: (cpus, start) => {
      // Whoever runs this process may have given it others meanwhile.
      const own = new Uint8Array(CPUS_MAX / 8);
      library.sched_getaffinity(0, own.length, own);
      // One that was taken offline is refused: better to run elsewhere than not at all.
      if (!set(maskOf(cpus))) return start();
      try {
        return start();
      } finally {
        set(own);
      }
    },
  };
}

function maskOf(cpus: readonly number[]): Uint8Array {
  const mask = new Uint8Array(CPUS_MAX / 8);
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | 1 << (cpu & 7);
  return mask;
}
