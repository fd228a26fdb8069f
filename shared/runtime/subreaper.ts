/**
 * Makes this process the one that adopts its orphaned descendants (`man 2 prctl`,
 * PR_SET_CHILD_SUBREAPER). Then whatever a task leaves behind, in a session of its
 * own or not, is a child of the worker, and one read of
 * `/proc/self/task/PID/children` tells that nothing was left. Neither runtime
 * offers the call, so it goes by way of the C library, on Linux and Bun only.
 *
 * @module
 */

import { readFileSync } from "node:fs";

import { openLibraryC } from "./library_c.ts";
import type { ChildUse } from "./spawn.ts";

/** Ends adopted children for good and lists them. */
export interface Subreaper {
  /** Process ids of all children, running or ended and not waited for. */
  childIds(): number[];
  /**
   * Removes an ended child from the process table and says what it used; undefined while it runs or
   * is no child.
   */
  reap(processId: number): ChildUse | undefined;
}

const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;

/** Longs of a `struct rusage`, and which of them is the largest resident set, in KiB. */
const RUSAGE_LONGS = 18;
const MAXRSS_INDEX = 4;

/** Turns adoption on; undefined where the system or the runtime cannot do it. */
export async function becomeSubreaper(): Promise<Subreaper | undefined> {
  const library = await openLibraryC();
  if (library === undefined) return undefined;
  if (library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) !== 0) return undefined;
  const childrenPath = `/proc/self/task/${process.pid}/children`;
  try {
    readFileSync(childrenPath);
  } catch {
    // A kernel without CONFIG_PROC_CHILDREN: adopted processes could not be seen.
    library.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    return undefined;
  }
  const use = new BigInt64Array(RUSAGE_LONGS);
  return {
    childIds: () => {
      const ids: number[] = [];
      for (const id of readFileSync(childrenPath, "latin1").split(" ")) {
        if (id !== "") ids.push(Number(id));
      }
      return ids;
    },
    reap: (processId) => {
      if (library.wait4(processId, null, WNOHANG, use) !== processId) return undefined;
      const [userSeconds, userMicros, systemSeconds, systemMicros] = Array.from(use, Number);
      const seconds = (userSeconds ?? 0) + (systemSeconds ?? 0);
      const cpuMs = seconds * 1000 + ((userMicros ?? 0) + (systemMicros ?? 0)) / 1000;
      return { cpuMs, memoryBytes: Number(use[MAXRSS_INDEX]) * 1024 };
    },
  };
}
