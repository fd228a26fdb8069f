/**
 * The system's table of processes, as far as ending a task's processes needs it.
 * Read from `/proc` (`man 5 proc`); where there is none only process groups can
 * be found, and a process that left its group is out of reach.
 *
 * @module
 */

import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** One process, as `/proc/PID/stat` tells of it. */
export interface ProcessEntry {
  readonly processId: number;
  readonly parentId: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** True when it has ended and nobody has waited for it. */
  readonly isZombie: boolean;
  /** Clock ticks between the start of the system and that of the process. */
  readonly startTicks: number;
  readonly threadCount: number;
  /** Of itself and of the children that it has waited for. */
  readonly cpuMs: number;
  /**
   * In memory, pages that it shares with others among them, and of one that has little pages of files
   * too.
   */
  readonly memoryBytes: number;
  /** Pages of files in its memory, which the kernel can take back; 0 of one that has little. */
  readonly fileBytes: number;
}

/** What of an environment is looked through; the kernel lets it be larger. */
const ENVIRONMENT_BYTES_MAX: number = 4 * 1024 * 1024;

const SLICE_BYTES: number = 64 * 1024;

/** Of the times in `/proc`: USER_HZ, which is 100 on every Linux that the binary runs on. */
const TICK_MS = 10;

/** What of a process's memory is pages of files is looked up when it has more than this in all. */
const LITTLE_BYTES: number = 32 * 1024 * 1024;

/** Threads whose children are looked for; the kernel lists children by the thread that made them. */
const THREADS_MAX = 512;

const pageBytes: number = readPageBytes();

/** Kernels before 4.14 do not add up what a process has. */
const hasRollup: boolean = existsSync("/proc/self/smaps_rollup");

/** Every process of the system; empty where there is no `/proc`. */
export function listProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  let names: string[];
  try {
    names = readdirSync("/proc");
  } catch {
    // Not Linux: see the module's comment.
    return [];
  }
  for (const name of names) {
    const first = name.charCodeAt(0);
    if (first < 48 || first > 57) continue;
    const entry = readProcess(Number(name));
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** One process; undefined when there is none of that id. */
export function readProcess(processId: number): ProcessEntry | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${processId}/stat`, "latin1");
  } catch {
    // It is gone.
    return undefined;
  }
  // The name in parentheses may hold anything, spaces and parentheses too.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    processId,
    parentId: Number(fields[1]),
    groupId: Number(fields[2]),
    sessionId: Number(fields[3]),
    isZombie: fields[0] === "Z" || fields[0] === "X",
    startTicks: Number(fields[19]),
    threadCount: Number(fields[17]),
    cpuMs: TICK_MS *
      (Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])),
    ...memoryOf(processId, Number(fields[21]) * pageBytes),
  };
}

/**
 * A file that is read through a mapping is in memory as long as nobody else wants that, as what is
 * read or written otherwise is: neither is what a program needs, and control groups count neither.
 */
function memoryOf(
  processId: number,
  allBytes: number,
): Pick<ProcessEntry, "memoryBytes" | "fileBytes"> {
  if (allBytes <= LITTLE_BYTES) return { memoryBytes: allBytes, fileBytes: 0 };
  const fileBytes = Math.min(allBytes, kibOf(readStatus(processId), "RssFile"));
  return { memoryBytes: allBytes - fileBytes, fileBytes };
}

/** Process ids of a process's children; none where the kernel does not tell. */
export function childIdsOf({ processId, threadCount }: ProcessEntry): number[] {
  const folder = `/proc/${processId}/task`;
  try {
    if (threadCount <= 1) return childIdsOfThread(`${folder}/${processId}`);
    return readdirSync(folder).slice(0, THREADS_MAX).flatMap((id) => {
      return childIdsOfThread(`${folder}/${id}`);
    });
  } catch {
    // It is gone, with one of its threads at least.
    return [];
  }
}

/**
 * What a process has in memory but for files, of pages that several share its part alone: 0 of one that is gone,
 * undefined when that is not told. Walks the page tables, 16 ms for 1 GB, and so not in the control
 * loop.
 */
export async function readProportionalBytes(processId: number): Promise<number | undefined> {
  if (!hasRollup) return undefined;
  try {
    const text = await readFile(`/proc/${processId}/smaps_rollup`, "latin1");
    // Kernels before 5.4 do not tell files from the rest.
    return Math.max(0, kibOf(text, "Pss") - kibOf(text, "Pss_File"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Of another user, or shut to debuggers.
    return code === "EACCES" || code === "EPERM" ? undefined : 0;
  }
}

/**
 * What a process has in memory of its own: pages that it has written since it was forked, or made;
 * not what it still shares with its parent. 0 where that is not told. As dear as the above.
 */
export async function readPrivateBytes(processId: number): Promise<number> {
  if (!hasRollup) return 0;
  try {
    return kibOf(await readFile(`/proc/${processId}/smaps_rollup`, "latin1"), "Private_Dirty");
  } catch {
    // Gone, of another user, or shut to debuggers.
    return 0;
  }
}

/** The value of `name` in the environment a process was started with; undefined when unreadable. */
export function readVariable(processId: number, name: string): string | undefined {
  const text = "\0" + readEnvironment(processId);
  const start = text.indexOf(`\0${name}=`);
  if (start < 0) return undefined;
  const valueStart = start + name.length + 2;
  const end = text.indexOf("\0", valueStart);
  return text.slice(valueStart, end < 0 ? undefined : end);
}

/** Sends `signal` to a process, or to a group when negative; false when there is none to get it. */
export function signalProcess(processId: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(processId, signal);
    return true;
  } catch (error) {
    // EPERM: it is there and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function readStatus(processId: number): string {
  try {
    return readFileSync(`/proc/${processId}/status`, "latin1");
  } catch {
    // It is gone.
    return "";
  }
}

/** Bytes of a line `NAME: NUMBER kB`; 0 when there is none. */
function kibOf(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) * 1024;
}

function childIdsOfThread(path: string): number[] {
  const text = readFileSync(`${path}/children`, "latin1");
  return text === "" ? [] : text.trimEnd().split(" ").map(Number);
}

/** From the kernel's auxiliary vector (`man 3 getauxval`): pairs of a kind and a value. */
function readPageBytes(): number {
  const AT_PAGESZ = 6n;
  try {
    const bytes = readFileSync("/proc/self/auxv");
    for (let offset = 0; offset + 16 <= bytes.length; offset += 16) {
      if (bytes.readBigUInt64LE(offset) !== AT_PAGESZ) continue;
      return Number(bytes.readBigUInt64LE(offset + 8));
    }
  } catch {
    // Not Linux, and nothing is measured.
  }
  return 4096;
}

function readEnvironment(processId: number): string {
  let descriptor: number;
  try {
    descriptor = openSync(`/proc/${processId}/environ`, "r");
  } catch {
    // Gone, or of another user: it cannot be one of ours.
    return "";
  }
  const slice = new Uint8Array(SLICE_BYTES);
  let text = "";
  try {
    while (text.length < ENVIRONMENT_BYTES_MAX) {
      const count = readSync(descriptor, slice, 0, SLICE_BYTES, text.length);
      if (count === 0) break;
      text += Buffer.from(slice.buffer, 0, count).toString("latin1");
    }
  } catch {
    // It ended while it was read.
  } finally {
    closeSync(descriptor);
  }
  return text;
}
