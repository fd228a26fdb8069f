/**
 * Monitors: told of everything that becomes of calls. A plug point, given to `load` as `monitors`;
 * the records of a flow's manager are one that is always there.
 *
 * @module
 */

import { createWriteStream, mkdirSync, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";

import { dirname, resolve } from "@std/path";

import type { AppFact } from "../core/fact.ts";
import { messageOf } from "./app_error.ts";

/** Is told of calls: when they are made, and of each state that they enter. */
export interface Monitor {
  /** How messages name it. */
  readonly label: string;
  /**
   * Takes note of a fact; it is called for each while the calls go on, so that it must be quick.
   *
   * @param atMs When it became true, epoch milliseconds.
   */
  note(fact: AppFact, atMs: number): void;
  /** Called once, when the flow has ended. */
  close?(): Promise<void>;
}

/** What was noted and is not on the disk yet; what comes beyond it is left out. */
const BACKLOG_BYTES_MAX: number = 64 * 1024 * 1024;

/** The monitors of one flow; one that throws is told of once, and left out from then on. */
export class Monitors {
  #monitors: readonly Monitor[];
  readonly #tell: (message: string) => void;

  constructor(monitors: readonly Monitor[], tell: (message: string) => void) {
    this.#monitors = monitors;
    this.#tell = tell;
  }

  /** Tells all of them. */
  note(fact: AppFact): void {
    if (this.#monitors.length === 0) return;
    const atMs = Date.now();
    for (const monitor of this.#monitors) {
      try {
        monitor.note(fact, atMs);
      } catch (error) {
        this.#monitors = this.#monitors.filter((one) => one !== monitor);
        this.#tell(`Monitor "${monitor.label}" is left out from now on: ${messageOf(error)}`);
      }
    }
  }

  /** Closes them all. */
  async close(): Promise<void> {
    for (const monitor of this.#monitors) {
      try {
        await monitor.close?.();
      } catch (error) {
        this.#tell(`Cannot close monitor "${monitor.label}": ${messageOf(error)}`);
      }
    }
  }
}

/**
 * A monitor that writes each fact as a line of JSON, with its instant as `atMs`, at the end of a file.
 *
 * @throws {Error} When the folder of the file cannot be made.
 *
 * @example
 * ```ts
 * await using flow = await load({ monitors: [jsonLines("calls.jsonl")] });
 * ```
 */
export function jsonLines(path: string): Monitor {
  return new JsonLines(resolve(path));
}

class JsonLines implements Monitor {
  readonly label: string;
  readonly #path: string;
  #stream: WriteStream | undefined;
  #fault: Error | undefined;
  #unwrittenBytes = 0;

  constructor(path: string) {
    this.label = path;
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
  }

  note(fact: AppFact, atMs: number): void {
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#unwrittenBytes > BACKLOG_BYTES_MAX) {
      throw new RangeError(`more than ${BACKLOG_BYTES_MAX} bytes wait for the disk`);
    }
    const line = new TextEncoder().encode(`${JSON.stringify({ atMs, ...fact })}\n`);
    this.#unwrittenBytes += line.length;
    this.#stream ??= this.#open();
    this.#stream.write(line, () => this.#unwrittenBytes -= line.length);
  }

  async close(): Promise<void> {
    if (this.#stream === undefined) return;
    this.#stream.end();
    await finished(this.#stream);
    if (this.#fault !== undefined) throw this.#fault;
  }

  #open(): WriteStream {
    const stream = createWriteStream(this.#path, { flags: "a" });
    // The next fact is refused with it.
    stream.on("error", (error) => this.#fault ??= error);
    return stream;
  }
}
