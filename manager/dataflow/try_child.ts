/**
 * The process of this program that runs the tries of a local executor. One that dies is started
 * again with the next try; what it ran is told as lost.
 */

import type { LocalEnd, LocalLibrary, LocalOrder } from "../../shared/local_try.ts";
import { PipedChild } from "../../shared/runtime/piped_child.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";

/** How long it has to end all that it runs. */
const CLOSE_MS_MAX = 10_000;

/** A timer that is set for longer would fire at once. */
const TIMER_MS_MAX: number = 2 ** 31 - 1;

/** Whom it tells. */
export interface TryChildOptions {
  /** A new folder for each process. */
  readonly folder: () => string;
  readonly onEnd: (end: LocalEnd) => void;
  /** Nothing comes of these tries any more. */
  readonly onLost: (tryIds: readonly number[], reason: string) => void;
}

/** Owner of the process, once there is something to run. */
export class TryChild {
  readonly #options: TryChildOptions;
  #child: PipedChild<LocalOrder, LocalEnd> | undefined;
  /** Libraries that it was told of. */
  #declared: Set<number> = new Set();
  readonly #running: Set<number> = new Set();
  /** Keeps this process from ending while a try runs. */
  #alive: ReturnType<typeof setInterval> | undefined;

  constructor(options: TryChildOptions) {
    this.#options = options;
  }

  /** Process id; undefined while there is none. */
  get processId(): number | undefined {
    return this.#child?.processId;
  }

  /**
   * Has it run a try; `library` is that of a call.
   *
   * @throws {Error} When there is no program to start, or it was told too much at once.
   */
  run(
    order: Extract<LocalOrder, { readonly kind: "command" | "call" }>,
    library?: LocalLibrary,
  ): void {
    this.#child ??= this.#start();
    if (library !== undefined && !this.#declared.has(library.libraryId)) {
      this.#declared.add(library.libraryId);
      this.#child.send({ kind: "library", library });
    }
    if (this.#child.send(order) === undefined) {
      throw new RangeError("Cannot run a try: its command or arguments are too large");
    }
    this.#running.add(order.kind === "command" ? order.command.tryId : order.call.tryId);
    this.#alive ??= setInterval(() => {}, TIMER_MS_MAX);
  }

  /** Ends a try; it is still told of. */
  stop(tryId: number): void {
    this.#child?.send({ kind: "stop", tryId });
  }

  /** Ends it with all that it runs; resolves when nothing of it is left. */
  async close(): Promise<void> {
    await this.#child?.close(CLOSE_MS_MAX);
    clearInterval(this.#alive);
  }

  #start(): PipedChild<LocalOrder, LocalEnd> {
    this.#declared = new Set();
    const child = new PipedChild<LocalOrder, LocalEnd>({
      command: selfCommand(["internal-tries", this.#options.folder()]),
      onReply: (end) => {
        if (!this.#running.delete(end.tryId)) return;
        this.#rest();
        this.#options.onEnd(end);
      },
      onEnd: (reason) => {
        if (this.#child === child) this.#child = undefined;
        const lost = [...this.#running];
        this.#running.clear();
        this.#rest();
        this.#options.onLost(lost, reason);
      },
    });
    return child;
  }

  #rest(): void {
    if (this.#running.size > 0) return;
    clearInterval(this.#alive);
    this.#alive = undefined;
  }
}
