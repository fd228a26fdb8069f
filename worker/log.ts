/**
 * What a worker tells of itself: JSON lines in a file, and short lines for a person on stderr.
 * Nothing that is secret is ever passed to it.
 *
 * @module
 */

import { Log, type LogFields, type LogLevel, plainFields } from "../shared/log.ts";

/** What a worker's log is made of. */
export interface WorkerLogOptions {
  readonly path: string;
  readonly level: LogLevel;
  /** Takes lines for a person. */
  readonly say?: ((line: string) => void) | undefined;
}

/** The log of one worker. A full disk must not end it; the tasks that need the disk tell of it. */
export class WorkerLog {
  readonly #log: Log;
  readonly #say: ((line: string) => void) | undefined;

  constructor({ path, level, say }: WorkerLogOptions) {
    this.#say = say;
    this.#log = new Log({ path, level, onTrouble: (message) => say?.(`worker: ${message}`) });
  }

  /** True when lines of that level are kept. */
  keeps(level: LogLevel): boolean {
    return this.#log.keeps(level);
  }

  /** Writes one line; the person is spared what is told at `debug` alone. */
  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    this.#log.write(level, event, fields);
    if (level !== "debug") this.#say?.(sentence(event, fields));
  }

  /** Writes what waits and takes nothing more. */
  async close(): Promise<void> {
    await this.#log.close();
  }
}

function sentence(event: string, fields: LogFields): string {
  const details = Object.entries(plainFields(fields));
  const text = details.map(([name, value]) => `${name}=${value}`).join(" ");
  return `worker: ${event.replaceAll("_", " ")}${text === "" ? "" : ` ${text}`}`;
}
