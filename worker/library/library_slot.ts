/**
 * One process of a library instance: its pipes, its log and its end. It speaks the call
 * protocol and knows nothing of which call goes where.
 *
 * The process leads a process group of its own. What it started ends with it, wherever it went, as
 * long as it kept its environment: there each process has a mark of its own.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";

import type { EndedLeader } from "../leftovers.ts";
import { killAll, listTree } from "../process_tree.ts";
import {
  CallProtocolError,
  type LibraryMessage,
  type MessageBuffer,
  newMessageBuffer,
  readLibraryMessages,
} from "./call_protocol.ts";

/** How a process is started. */
export interface SlotOptions {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Private directory of the process; it exists. */
  readonly directory: string;
  /** The whole environment, but for the mark. */
  readonly env: { readonly [name: string]: string };
  /** The most that may wait to be read by the process, in bytes: a program that reads on is far below. */
  readonly unreadBytesMax: number;
  /** Ends what the process has left behind; resolves when nothing of it is found any more. */
  endLeftovers(leader: EndedLeader): Promise<void>;
  /** The messages of one read, in order. */
  onMessages(messages: readonly LibraryMessage[]): void;
  /** The process and its group are dead and all it wrote was read. Called once. */
  onEnd(reason: string): void;
}

/** The end of the log that is kept, in bytes. */
export const LOG_KEPT_BYTES: number = 16 * 1024;

/** In the environment of a process and of all it starts: random, of that process alone. */
export const PROCESS_MARK_VARIABLE = "TENDRIL_LIBRARY_MARK";

/** After the death of a process, how long a pipe that others hold open is read on. */
const DRAIN_MS = 500;

/** How long a process may live on that has closed a pipe: one that ends closes them a little before. */
const CLOSED_MS_MAX = 200;

/** A process that serves calls. */
export class LibrarySlot {
  readonly #options: SlotOptions;
  readonly #child: ChildProcess;
  /** Undefined when the program could not be started. */
  readonly #calls: Writable | undefined;
  readonly #buffer: MessageBuffer = newMessageBuffer();
  readonly #ended: Promise<void>;
  readonly #mark: string = crypto.randomUUID();
  #closedTimer: ReturnType<typeof setTimeout> | undefined;
  #log: Uint8Array[] = [];
  #logSize = 0;
  /** Why the process is being killed, when it is. */
  #killedFor = "";
  /** The process is dead; what it wrote may still come. */
  #hasEnded = false;
  #isOver = false;
  /** It was told to end. */
  #isClosing = false;

  constructor(options: SlotOptions) {
    this.#options = options;
    const [program = "", ...args] = options.command;
    this.#child = spawn(program, args, {
      cwd: options.directory,
      env: { ...options.env, [PROCESS_MARK_VARIABLE]: this.#mark },
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
    });
    this.#calls = (this.#child.stdio[3] ?? undefined) as Writable | undefined;
    // They tell of a process that is gone, too; its end is told by `onEnd`.
    for (const event of ["error", "close"]) {
      this.#calls?.on(event, () => this.#pipeClosed("reads no more calls"));
    }
    const results = (this.#child.stdio[4] ?? undefined) as Readable | undefined;
    for (const event of ["error", "end"]) {
      results?.on(event, () => this.#pipeClosed("writes no more results"));
    }
    results?.on("data", (chunk: Uint8Array) => this.#read(chunk));
    this.#child.stdout?.on("data", (chunk: Uint8Array) => this.#keep(chunk));
    this.#child.stderr?.on("data", (chunk: Uint8Array) => this.#keep(chunk));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    this.#child.once("error", (error) => void this.#finish(error.message).then(resolve));
    this.#child.once("exit", (code, signal) => {
      const reason = signal === null ? `exit code ${code}` : killedBy(signal);
      void this.#finish(reason).then(resolve);
    });
  }

  /** The process group; undefined when the program could not be started. */
  get processGroup(): number | undefined {
    return this.#child.pid;
  }

  /** The end of what it printed outside of calls. */
  get log(): string {
    const all = Buffer.concat(this.#log);
    return all.subarray(Math.max(0, all.length - LOG_KEPT_BYTES)).toString().trimEnd();
  }

  /** True when all that was written is in the pipe. */
  get isFlushed(): boolean {
    return this.#calls?.writableLength === 0;
  }

  /** True as long as it may be given calls. */
  get isServing(): boolean {
    return !this.#hasEnded && !this.isKilled;
  }

  /** True once somebody had to kill it: what it says then counts no more. */
  get isKilled(): boolean {
    return this.#killedFor !== "";
  }

  /** Writes to the process. */
  write(bytes: Uint8Array): void {
    if (this.#isOver || this.#calls === undefined) return;
    if (this.#calls.writableLength + bytes.length > this.#options.unreadBytesMax) {
      return this.kill(
        `it does not read what it is told: ${this.#calls.writableLength} bytes wait`,
      );
    }
    this.#calls.write(bytes);
  }

  /** Tells the process to end, once it is through with what it was given. */
  end(): void {
    this.#isClosing = true;
    this.#calls?.end();
  }

  /** Kills the process and all of its group; `reason` is what `onEnd` gets. */
  kill(reason: string): void {
    if (this.#isOver || this.#killedFor !== "") return;
    this.#killedFor = reason;
    this.#killGroup();
  }

  /** Resolves when the process has ended, after `onEnd`. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  #read(chunk: Uint8Array): void {
    if (this.#isOver || this.isKilled) return;
    try {
      const messages = readLibraryMessages(this.#buffer, chunk);
      if (messages.length > 0) this.#options.onMessages(messages);
    } catch (error) {
      if (!(error instanceof CallProtocolError)) throw error;
      this.kill(error.message);
    }
  }

  /** Without both pipes it serves nobody. */
  #pipeClosed(found: string): void {
    if (this.#hasEnded || this.#isClosing) return;
    this.#closedTimer ??= setTimeout(() => this.kill(`it ${found}`), CLOSED_MS_MAX);
  }

  #keep(chunk: Uint8Array): void {
    this.#log.push(chunk);
    this.#logSize += chunk.length;
    while (this.#log.length > 1 && this.#logSize - (this.#log[0]?.length ?? 0) >= LOG_KEPT_BYTES) {
      this.#logSize -= this.#log.shift()?.length ?? 0;
    }
  }

  #killGroup(): void {
    const pid = this.#child.pid;
    if (pid === undefined) return;
    // What left the group is found below the process as long as that lives.
    const members = this.#hasEnded ? [] : listTree(pid);
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // No process is left in the group.
    }
    killAll(members);
  }

  /** Results may lie in the pipe still when the process is dead. */
  async #finish(reason: string): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#closedTimer);
    this.#killGroup();
    const { pid } = this.#child;
    const leader = { groupId: pid ?? 0, mark: this.#mark, variable: PROCESS_MARK_VARIABLE };
    const gone = pid === undefined ? undefined : this.#options.endLeftovers(leader);
    const streams = [this.#child.stdio[4], this.#child.stdout, this.#child.stderr];
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, DRAIN_MS);
    await Promise.all([gone, Promise.race([Promise.all(streams.map(endOf)), promise])]);
    clearTimeout(timer);
    this.#isOver = true;
    for (const stream of streams) stream?.destroy();
    this.#calls?.destroy();
    this.#options.onEnd(this.#killedFor === "" ? reason : this.#killedFor);
  }
}

function endOf(stream: Readable | Writable | null | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!stream || stream.destroyed) return resolve();
    if ("readableEnded" in stream && stream.readableEnded) return resolve();
    stream.once("end", resolve).once("close", resolve).once("error", () => resolve());
  });
}

/** How a process ended that a signal has ended. */
export function killedBy(signal: NodeJS.Signals): string {
  return `killed by ${signal}`;
}
