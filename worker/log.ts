/**
 * What a worker tells of itself: JSON lines in a file of its workspace, and short lines for a
 * person on stderr. Nothing that is secret is ever passed to it.
 *
 * @module
 */

import { appendFileSync, mkdirSync, renameSync, statSync } from "node:fs";

import { join } from "@std/path";

import { plainText } from "../shared/plain_text.ts";

/** Details of a line. */
export type LogFields = { readonly [name: string]: string | number | boolean | undefined };

/** Characters of one field: what managers, tasks and urls say may be of any length. */
const FIELD_CHARS_MAX = 1000;

/** A log file is put aside at this size; one old file is kept. */
const LOG_BYTES_MAX: number = 16 * 1024 * 1024;

/** Owner of the log file. */
export class WorkerLog {
  readonly #path: string;
  readonly #say: ((line: string) => void) | undefined;
  #sizeBytes: number;

  /** Logs to `worker.log` in `directory`; `say` takes lines for a person. */
  constructor(directory: string, say?: (line: string) => void) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#path = join(directory, "worker.log");
    this.#say = say;
    this.#sizeBytes = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Writes one line. */
  write(event: string, fields: LogFields = {}): void {
    const kept = Object.fromEntries(
      Object.entries(fields).map((
        [name, value],
      ) => [name, typeof value === "string" ? plain(value) : value]),
    );
    const line = JSON.stringify({ at: new Date().toISOString(), event, ...kept }) + "\n";
    this.#say?.(sentence(event, kept));
    try {
      if (this.#sizeBytes > LOG_BYTES_MAX) {
        renameSync(this.#path, `${this.#path}.old`);
        this.#sizeBytes = 0;
      }
      appendFileSync(this.#path, line, { mode: 0o600 });
      this.#sizeBytes += line.length;
    } catch {
      // A full disk must not end the worker; the tasks that need the disk tell of it.
    }
  }
}

function plain(value: string): string {
  return plainText(value, FIELD_CHARS_MAX);
}

function sentence(event: string, fields: LogFields): string {
  const details = Object.entries(fields).filter(([, value]) => value !== undefined);
  const text = details.map(([name, value]) => `${name}=${value}`).join(" ");
  return `worker: ${event.replaceAll("_", " ")}${text === "" ? "" : ` ${text}`}`;
}
