/**
 * A child of this program that is told what to do, and answers, over its standard input and output:
 * a thing that waits for a disk does so there. It ends when its input does, which is what happens
 * when this process ends, however that comes.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

import { FRAME_BYTES_MAX, FrameReader, writeFrame } from "../pipe_frame.ts";
import { ownChildEnvironment } from "./self_command.ts";

/** How long it has to end once it was killed: what waits for a dead disk ends when that answers. */
const KILLED_MS_MAX = 1_000;

/**
 * Ignored signals stay ignored across `exec`: there is no moment at its start when one that is sent
 * to everybody ends it. It ends when this process has.
 */
const SCRIPT = `trap "" HUP INT QUIT TERM; exec "$@"`;

/** What a child is started with. */
export interface PipedChildOptions<Reply> {
  /** As `selfCommand` gives it. */
  readonly command: readonly string[];
  readonly onReply: (reply: Reply) => void;
  /** Told once, with why, when nothing more comes from it; after `close` too. */
  readonly onEnd: (reason: string) => void;
}

/** Owner of the child and of the pipes to and from it. */
export class PipedChild<Order extends object, Reply extends object = object> {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #closed: Promise<boolean> | undefined;
  #unreadBytes = 0;

  constructor({ command, onReply, onEnd }: PipedChildOptions<Reply>) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    let isOver = false;
    const end = (reason: string) => {
      if (isOver) return;
      isOver = true;
      onEnd(reason);
      resolve();
    };
    this.#child = spawn("/bin/sh", ["-c", SCRIPT, "sh", ...command], {
      // A session of its own: a signal to this process's group or terminal passes it by.
      detached: true,
      env: ownChildEnvironment(process.env),
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.once("error", (error) => end(error.message));
    this.#child.once("close", (code, signal) => end(`its process ended with ${signal ?? code}`));
    this.#child.stdin?.on("error", () => {
      // It ended with orders unread: its exit is told of.
    });
    const reader = new FrameReader<Reply>();
    this.#child.stdout?.on("data", (bytes: Uint8Array) => {
      try {
        for (const reply of reader.read(bytes)) onReply(reply);
      } catch (error) {
        // Whatever else it writes, its place in it is lost.
        end(`what it said cannot be read: ${error instanceof Error ? error.message : error}`);
        this.kill();
      }
    });
    this.#child.unref();
  }

  /** Process id; undefined where it could not be started. */
  get processId(): number | undefined {
    return this.#child.pid;
  }

  /** What it was sent and has not read. */
  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** Sends an order and gives back its size; undefined when it is too large, and is not sent. */
  send(order: Order): number | undefined {
    const frame = writeFrame(order);
    if (frame.length > FRAME_BYTES_MAX) return undefined;
    // On Bun `writableLength` is 0 whatever waits.
    this.#unreadBytes += frame.length;
    this.#child.stdin?.write(frame, () => this.#unreadBytes -= frame.length);
    return frame.length;
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Waits until it has done what it was told, for `msMax`; false when it had to be killed. */
  close(msMax: number): Promise<boolean> {
    return this.#closed ??= this.#close(msMax);
  }

  async #close(msMax: number): Promise<boolean> {
    const child = this.#child;
    child.ref();
    child.stdin?.end();
    const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<void>();
    let isWhole = true;
    let gone: ReturnType<typeof setTimeout> | undefined;
    const limit = setTimeout(() => {
      isWhole = false;
      this.kill();
      gone = setTimeout(giveUp, KILLED_MS_MAX);
    }, msMax);
    await Promise.race([this.#ended, givenUp]);
    clearTimeout(limit);
    clearTimeout(gone);
    child.stdin?.destroy();
    child.stdout?.destroy();
    child.unref();
    return isWhole;
  }
}
