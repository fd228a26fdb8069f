/**
 * The watcher: one small child of each worker, which outlives it for a moment.
 * It reads the worker's process groups from a pipe; at the end of the file, which
 * the system brings about however the worker ends, it kills those groups and
 * whatever carries the worker's mark, and removes the worker's sandboxes. Neither
 * runtime can ask the system to kill children with their parent.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import type { GroupWatcher } from "./process.ts";
import { sweepProcesses } from "./sweep.ts";
import { helperEnvironment } from "./task_environment.ts";

/** What a watcher is started with. */
export interface WatcherOptions {
  /** Runs `runWatchCommand` with the arguments given after it: `selfCommand(["internal-watch"])`. */
  readonly command: readonly string[];
  /** The worker's mark. */
  readonly mark: string;
  /** Folder of this process's sandboxes, and of no other's. */
  readonly sandboxesPath: string;
  /** Told when the watcher died and when it could not be replaced. */
  readonly onTrouble: (message: string) => void;
}

/**
 * Changes are written this long after the first of them. A write costs as much as a
 * third of a spawn, and most tasks of a busy worker have come and gone by then; one
 * that has not been written yet is found by the mark in its environment.
 */
const WRITE_PAUSE_MS = 10;

/** The watcher ends within this time of its worker's end. */
const SWEEP_LIMIT_MS = 1_500;

/** The rest of the two seconds: what is not removed by then the next worker removes. */
const REMOVE_LIMIT_MS = 400;

/** How long `close` waits for the watcher to go. */
const CLOSE_LIMIT_MS = 2_000;

/** Watchers started in place of dead ones, over the life of a worker. */
const RESTART_COUNT_MAX = 10;

/** Unread records; a watcher that is this far behind is stopped or stuck, and is replaced. */
const BACKLOG_BYTES_MAX: number = 1024 * 1024;

/** Longest line of the pipe: a sign and a process id. */
const LINE_BYTES_MAX = 32;

const FAREWELL = "close";

/**
 * Ignored signals stay ignored across `exec`, so there is no moment at its start when
 * a signal that is sent to everybody ends it. It ends when its worker has.
 */
const WATCH_SCRIPT = `trap "" HUP INT QUIT TERM; exec "$@"`;

/** Owner of the watcher and of the pipe to it. */
export class Watcher implements GroupWatcher {
  readonly #options: WatcherOptions;
  readonly #groupIds: Set<number> = new Set();
  /** {group id: true when it started} since the last write. */
  readonly #changes: Map<number, boolean> = new Map();
  #writeTimer: ReturnType<typeof setTimeout> | undefined;
  #child: ChildProcess;
  /** Of the child that is there: what was written to it and is not in the pipe yet. */
  #unread = { bytes: 0 };
  #restartCount = 0;
  #isClosing = false;

  /** Starts the watcher; it needs no answer, as the pipe keeps what it has not read. */
  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#child = this.#start();
  }

  /** Process id of the watcher. */
  get processId(): number | undefined {
    return this.#child.pid;
  }

  groupStarted(groupId: number): void {
    this.#groupIds.add(groupId);
    this.#change(groupId, true);
  }

  groupEnded(groupId: number): void {
    this.#groupIds.delete(groupId);
    // A group that came and went before anything was written is nobody's business.
    if (this.#changes.get(groupId) === true) this.#changes.delete(groupId);
    else this.#change(groupId, false);
  }

  /** Lets the watcher go without a sweep: the worker has ended its processes itself. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    clearTimeout(this.#writeTimer);
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.stdin?.end(`${FAREWELL}\n`);
    const limit = setTimeout(() => child.kill("SIGKILL"), CLOSE_LIMIT_MS);
    await gone;
    clearTimeout(limit);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #change(groupId: number, hasStarted: boolean): void {
    if (this.#writeTimer === undefined) {
      this.#writeTimer = setTimeout(() => this.#write(), WRITE_PAUSE_MS);
      this.#writeTimer.unref();
    }
    this.#changes.set(groupId, hasStarted);
  }

  #write(): void {
    this.#writeTimer = undefined;
    let text = "";
    for (const [groupId, hasStarted] of this.#changes) {
      text += `${hasStarted ? "+" : "-"}${groupId}\n`;
    }
    this.#changes.clear();
    if (text === "" || this.#isClosing) return;
    // The next one is told of all groups.
    if (this.#unread.bytes > BACKLOG_BYTES_MAX) return void this.#child.kill("SIGKILL");
    const unread = this.#unread;
    // On Bun `writableLength` is 0 whatever waits.
    unread.bytes += text.length;
    this.#child.stdin?.write(text, () => unread.bytes -= text.length);
  }

  #start(): ChildProcess {
    const { command, mark, sandboxesPath } = this.#options;
    const args = ["-c", WATCH_SCRIPT, "sh", ...command, mark, sandboxesPath];
    const child = spawn("/bin/sh", args, {
      // A session of its own: a signal to the worker's group or terminal passes it by.
      detached: true,
      cwd: "/",
      env: helperEnvironment(process.env, mark),
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.once("error", () => this.#replace());
    child.once("exit", () => this.#replace());
    child.stdin?.on("error", () => {
      // The watcher died with records unread: its exit starts the next one.
    });
    child.unref();
    this.#unread = { bytes: 0 };
    for (const groupId of this.#groupIds) this.#change(groupId, true);
    return child;
  }

  #replace(): void {
    if (this.#isClosing) return;
    if (this.#restartCount >= RESTART_COUNT_MAX) {
      this.#options.onTrouble(
        `Cannot keep a watcher: ${this.#restartCount} of them ended; if this worker is killed, ` +
          `its tasks run on`,
      );
      return;
    }
    this.#restartCount += 1;
    this.#options.onTrouble("The watcher ended and is started again");
    this.#child = this.#start();
  }
}

/** Main of the watcher: `args` are the mark and the folder to remove. */
export async function runWatchCommand(args: readonly string[]): Promise<void> {
  const [mark, sandboxesPath] = args;
  if (!mark || !sandboxesPath) throw new TypeError("Cannot watch without a mark and a folder");
  const groupIds = new Set<number>();
  const hasFarewell = await readGroups(groupIds);
  if (hasFarewell) return;
  await sweepProcesses({ mark, groupIds }, SWEEP_LIMIT_MS);
  const removal = rm(sandboxesPath, { recursive: true, force: true }).catch(() => {
    // Something is in the way; the next worker in this workspace tries again.
  });
  await Promise.race([removal, delay(REMOVE_LIMIT_MS)]);
}

/** Reads records until the end of the pipe; true when the worker said farewell. */
async function readGroups(groupIds: Set<number>): Promise<boolean> {
  let rest = "";
  let hasFarewell = false;
  try {
    for await (const chunk of process.stdin) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop()!.slice(-LINE_BYTES_MAX);
      for (const line of lines) {
        const groupId = Number(line.slice(1));
        if (line === FAREWELL) hasFarewell = true;
        else if (!Number.isSafeInteger(groupId) || groupId < 2) continue;
        else if (line.startsWith("+")) groupIds.add(groupId);
        else groupIds.delete(groupId);
      }
    }
  } catch {
    // A broken pipe ends the worker's words as the end of the file does.
  }
  return hasFarewell;
}
