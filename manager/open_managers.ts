/**
 * The managers that are open in this process: what they start with by default, and their orderly
 * end when the process is interrupted.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";

/** What has to be closed before the process ends. */
export interface Closable {
  close(): Promise<void>;
}

/** Exit codes of a process that a signal ended, as shells tell them: 128 and its number. */
const SIGNAL_EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

type EndSignal = keyof typeof SIGNAL_EXIT_CODES;

/** Of SIGHUP in the masks of `/proc/self/status`; proc(5). */
const SIGHUP_BIT = 1;

const managers = new Set<Closable>();
const listeners = new Set<(manager: Closable) => void>();
let defaults: object = {};
let isEnding = false;
let hasUnseenFailure = false;
let isOver = false;

/** What `Manager.start` takes where a script states nothing: what `tendril run` was given. */
export function defaultManagerOptions(): object {
  return defaults;
}

/** Sets what `defaultManagerOptions` returns from now on. */
export function setDefaultManagerOptions(options: object): void {
  defaults = options;
}

/** Calls `listener` with each manager that is opened from now on. */
export function onManagerOpened(listener: (manager: Closable) => void): void {
  listeners.add(listener);
}

/** Notes an open manager: an interrupt closes it before the process ends. */
export function noteOpened(manager: Closable): void {
  noteOpenedBeside(manager);
  for (const listener of listeners) listener(manager);
}

/** As `noteOpened` for what is no manager, and of which no listener is told. */
export function noteOpenedBeside(opened: Closable): void {
  if (managers.size === 0) {
    for (const signal of endSignals()) process.on(signal, endOnSignal);
  }
  managers.add(opened);
  // Later, when whoever opens it has it.
  if (isOver) setTimeout(() => void opened.close(), 0);
}

/** Notes that a manager, or what was opened beside it, is closed. */
export function noteClosed(manager: Closable): void {
  managers.delete(manager);
  if (managers.size > 0 || isEnding) return;
  for (const signal of endSignals()) process.off(signal, endOnSignal);
}

/** True once a signal has told this process to end. */
export function isProcessEnding(): boolean {
  return isEnding;
}

/**
 * Closes the managers that are still open at the end of a script, and those that are opened from now
 * on: a script that does not await what opens them is over before.
 */
export async function endManagers(): Promise<void> {
  isOver = true;
  await closeManagers();
}

/** Notes that something failed which the script never asked for: the process is no success. */
export function noteUnseenFailure(): void {
  hasUnseenFailure = true;
}

/** See `noteUnseenFailure`. */
export function hasFailedUnseen(): boolean {
  return hasUnseenFailure;
}

/** Closes the managers that are still open. */
export async function closeManagers(): Promise<void> {
  await Promise.all([...managers].map((manager) => manager.close()));
}

/** A manager that was started with `nohup` stays when its terminal goes: no handler undoes that. */
function endSignals(): readonly EndSignal[] {
  try {
    const [, ignored = ""] = /^SigIgn:\s*[0-9a-f]*([0-9a-f])$/m.exec(
      readFileSync("/proc/self/status", "utf8"),
    ) ?? [];
    if ((Number.parseInt(ignored, 16) & SIGHUP_BIT) !== 0) return ["SIGINT", "SIGTERM"];
  } catch {
    // Elsewhere than on Linux nothing tells; a hangup ends what it would have killed.
  }
  return ["SIGHUP", "SIGINT", "SIGTERM"];
}

/** The first signal ends in good order, the second one at once: the workers' watchers clean up. */
function endOnSignal(signal: NodeJS.Signals): void {
  const exitCode = SIGNAL_EXIT_CODES[signal as EndSignal];
  if (isEnding) process.exit(exitCode);
  isEnding = true;
  process.stderr.write("tendril: ending; interrupt once more to end at once\n");
  closeManagers().then(() => process.exit(exitCode), (error: unknown) => {
    process.stderr.write(`tendril: ${error instanceof Error ? error.message : error}\n`);
    process.exit(exitCode);
  });
}
