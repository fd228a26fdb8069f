/**
 * One process of a library instance: its pipes, its log and its end. It speaks the call
 * protocol and knows nothing of which call goes where.
 *
 * The process leads a process group of its own. What it started ends with it, but for what left the
 * group and lost its parent before: that ends with the worker.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";

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
  /** The whole environment. */
  readonly env: { readonly [name: string]: string };
  /** The messages of one read, in order. */
  onMessages(messages: readonly LibraryMessage[]): void;
  /** The process and its group are dead and all it wrote was read. Called once. */
  onEnd(reason: string): void;
}

/** The end of the log that is kept, in bytes. */
export const LOG_KEPT_BYTES: number = 16 * 1024;

/** After the death of a process, how long a pipe that others hold open is read on. */
const DRAIN_MS = 500;

/** A process that serves calls. */
export class LibrarySlot {
  readonly #options: SlotOptions;
  readonly #child: ChildProcess;
  /** Undefined when the program could not be started. */
  readonly #calls: Writable | undefined;
  readonly #buffer: MessageBuffer = newMessageBuffer();
  readonly #ended: Promise<void>;
  #log: Uint8Array[] = [];
  #logSize = 0;
  /** Why the process is being killed, when it is. */
  #killedFor = "";
  /** The process is dead; what it wrote may still come. */
  #hasEnded = false;
  #isOver = false;

  constructor(options: SlotOptions) {
    this.#options = options;
    const [program = "", ...args] = options.command;
    this.#child = spawn(program, args, {
      cwd: options.directory,
      env: options.env,
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
    });
    this.#calls = (this.#child.stdio[3] ?? undefined) as Writable | undefined;
    // A process that is gone makes writes fail; its end is told by `onEnd`.
    this.#calls?.on("error", () => {});
    const results = (this.#child.stdio[4] ?? undefined) as Readable | undefined;
    results?.on("error", () => {});
    results?.on("data", (chunk: Uint8Array) => this.#read(chunk));
    this.#child.stdout?.on("data", (chunk: Uint8Array) => this.#keep(chunk));
    this.#child.stderr?.on("data", (chunk: Uint8Array) => this.#keep(chunk));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    this.#child.once("error", (error) => void this.#finish(error.message).then(resolve));
    this.#child.once("exit", (code, signal) => {
      const reason = signal === null ? `exit code ${code}` : `killed by ${signal}`;
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

  /** Writes to the process; the caller limits how much is under way. */
  write(bytes: Uint8Array): void {
    if (!this.#isOver) this.#calls?.write(bytes);
  }

  /** Tells the process to end, once it is through with what it was given. */
  end(): void {
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
    if (this.#isOver) return;
    try {
      const messages = readLibraryMessages(this.#buffer, chunk);
      if (messages.length > 0) this.#options.onMessages(messages);
    } catch (error) {
      if (!(error instanceof CallProtocolError)) throw error;
      this.kill(error.message);
    }
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
    this.#killGroup();
    const streams = [this.#child.stdio[4], this.#child.stdout, this.#child.stderr];
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, DRAIN_MS);
    await Promise.race([Promise.all(streams.map(endOf)), promise]);
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
