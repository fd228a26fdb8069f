/**
 * The system's table of processes, as far as ending a task's processes needs it.
 * Read from `/proc` (`man 5 proc`); where there is none only process groups can
 * be found, and a process that left its group is out of reach.
 *
 * @module
 */

import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";

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
}

/** What of an environment is looked through; the kernel lets it be larger. */
const ENVIRONMENT_BYTES_MAX: number = 4 * 1024 * 1024;

const SLICE_BYTES: number = 64 * 1024;

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
  };
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
