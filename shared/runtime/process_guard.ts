/**
 * Keeps what a process of ours knows out of core files and from other processes of its user.
 *
 * Linux and Bun only (library_c.ts). Root may still look, and so may a debugger that has
 * CAP_SYS_PTRACE; what the user can read on disk, the access file above all, is not guarded by it.
 *
 * @module
 */

import { openLibraryC } from "./library_c.ts";

const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;

/**
 * Makes the memory, the environment and the open files of this process private (`man 2 prctl`,
 * PR_SET_DUMPABLE): no process of the same user may trace it or read them in `/proc`, and it leaves
 * no core file. The programs that it starts are as they would be. False where it cannot be had.
 */
export async function guardProcess(): Promise<boolean> {
  const library = await openLibraryC();
  return library?.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) === 0;
}

/**
 * Has this process, and what it starts, leave no core files: those of a thousand tasks that fail
 * alike fill a disk. A program may raise the limit again, as it is the soft one.
 */
export async function limitCoreFiles(): Promise<boolean> {
  const library = await openLibraryC();
  const limits = new BigUint64Array(2);
  if (library?.getrlimit(RLIMIT_CORE, limits) !== 0) return false;
  limits[0] = 0n;
  return library.setrlimit(RLIMIT_CORE, limits) === 0;
}
