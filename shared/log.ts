/**
 * JSON-lines logs, one object a line: `{"time","level","event", …}`.
 *
 * Lines are written in batches, off the event loop, to a file that is put aside when it is full:
 * `x.log`, then `x.log.1` as the newest of the old ones, up to a number of files. Nobody waits for a
 * log: what the disk does not take is left out, counted, and said in a line once it takes some again.
 * Nothing secret may be passed to one.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { appendFileSync, mkdirSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";

import { dirname } from "@std/path";

import { plainText } from "./plain_text.ts";

/** How much it matters; a log keeps its own level and what matters more. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Every level, from the least that matters. */
export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** The level that `value` names, or undefined. */
export function logLevelOf(value: unknown): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === value);
}

/** Of a log of which nothing else is said. */
export const LOG_LEVEL_DEFAULT: LogLevel = "info";

/** Details of a line; what is undefined is left out. Names are as in code, with units last. */
export type LogFields = { readonly [name: string]: string | number | boolean | undefined };

/** One file is put aside at this size. */
export const LOG_BYTES_MAX: number = 10_000_000;

/** Files of one log, that which is written among them. */
export const LOG_FILES_MAX = 5;

/** Characters of one field: what tasks, hosts and urls say may be of any length. */
const FIELD_CHARS_MAX = 1000;

/** What waits for the disk at most. */
const QUEUE_CHARS_MAX = 4_000_000;

/** What is written at once, about. */
const BATCH_CHARS = 500_000;

/** Lines wait so long for others that go along; what a process killed at once had said is missing. */
const BATCH_MS = 100;

/** What a log is made of. */
export interface LogOptions {
  /** Its folder is made with the first line. */
  readonly path: string;
  readonly level: LogLevel;
  /** Told of a disk that takes no more, and again only after it has taken something. */
  readonly onTrouble: (message: string) => void;
  /** Default `LOG_BYTES_MAX`. */
  readonly bytesMax?: number | undefined;
  /** Default `LOG_FILES_MAX`. */
  readonly filesMax?: number | undefined;
}

/** The file of one log. */
export class Log implements AsyncDisposable {
  readonly #options: LogOptions;
  readonly #least: number;
  #lines: string[] = [];
  #chars = 0;
  #leftOutCount = 0;
  #file: FileHandle | undefined;
  /** False of a device or a pipe, which can neither be put aside nor cut. */
  #isRegular = false;
  #sizeBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> | undefined;
  #hasFailed = false;
  #isClosed = false;
  /** The last words of a process are worth a wait. */
  readonly #writeNow = (): void => {
    const lines = this.#lines.splice(0).join("");
    if (lines === "") return;
    try {
      mkdirSync(dirname(this.#options.path), { recursive: true, mode: 0o700 });
      appendFileSync(this.#options.path, lines, { mode: 0o600 });
    } catch {
      // The process ends; there is nobody to tell.
    }
  };

  constructor(options: LogOptions) {
    this.#options = options;
    this.#least = LOG_LEVELS.indexOf(options.level);
    process.on("exit", this.#writeNow);
  }

  /** True when lines of that level are kept: what costs something to say is asked before. */
  keeps(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= this.#least && !this.#isClosed;
  }

  /** Takes one line; `event` is in snake_case. */
  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    if (!this.keeps(level)) return;
    const line = lineOf(level, event, fields);
    if (this.#chars + line.length > QUEUE_CHARS_MAX) {
      this.#leftOutCount += 1;
      return;
    }
    this.#lines.push(line);
    this.#chars += line.length;
    this.#schedule();
  }

  /** Writes what waits. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#writeAll();
    await this.#writing;
  }

  /** Writes what waits and takes nothing more. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.flush();
    process.off("exit", this.#writeNow);
    await this.#file?.close();
    this.#file = undefined;
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#writing !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing ??= this.#writeAll();
    }, BATCH_MS);
    // A log keeps nobody alive: see #writeNow.
    this.#timer.unref();
  }

  async #writeAll(): Promise<void> {
    // What else comes in this turn goes along.
    await Promise.resolve();
    try {
      while (this.#lines.length > 0 || this.#leftOutCount > 0) {
        const { text, lineCount, leftOutCount } = this.#takeBatch();
        if (!await this.#writeBatch(text)) {
          this.#leftOutCount += lineCount;
          return;
        }
        this.#leftOutCount -= leftOutCount;
      }
    } finally {
      this.#writing = undefined;
      // What came meanwhile has its turn.
      if (this.#lines.length > 0 && !this.#isClosed) this.#schedule();
    }
  }

  /** Lines of about one write; before them, how many are missing there. */
  #takeBatch(): { text: string; lineCount: number; leftOutCount: number } {
    const leftOutCount = this.#leftOutCount;
    const note = leftOutCount === 0
      ? ""
      : lineOf("warn", "lines_left_out", { lines: leftOutCount });
    let chars = 0;
    let lineCount = 0;
    while (lineCount < this.#lines.length && chars < BATCH_CHARS) {
      chars += this.#lines[lineCount]?.length ?? 0;
      lineCount += 1;
    }
    const lines = this.#lines.splice(0, lineCount);
    this.#chars -= chars;
    return { text: note + lines.join(""), lineCount, leftOutCount };
  }

  /** False when the disk has not taken it, of which nothing stays then. */
  async #writeBatch(text: string): Promise<boolean> {
    const sizeBytes = Buffer.byteLength(text);
    try {
      const file = await this.#openFor(sizeBytes);
      await file.appendFile(text);
      this.#sizeBytes += sizeBytes;
      this.#hasFailed = false;
      return true;
    } catch (error) {
      await this.#undo();
      this.#tell(error);
      return false;
    }
  }

  /** A part of a line would spoil the next one. */
  async #undo(): Promise<void> {
    if (!this.#isRegular) return;
    // Where not even that can be had, a reader passes over the line that is none.
    await this.#file?.truncate(this.#sizeBytes).catch(() => {});
  }

  async #openFor(sizeBytes: number): Promise<FileHandle> {
    const { path, bytesMax = LOG_BYTES_MAX } = this.#options;
    this.#file ??= await this.#open();
    const isFull = this.#sizeBytes > 0 && this.#sizeBytes + sizeBytes > bytesMax;
    if (!this.#isRegular || !isFull) return this.#file;
    await this.#file.close();
    this.#file = undefined;
    await putAside(path, this.#options.filesMax ?? LOG_FILES_MAX);
    return this.#file = await this.#open();
  }

  async #open(): Promise<FileHandle> {
    const { path } = this.#options;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path, "a", 0o600);
    const found = await file.stat();
    this.#isRegular = found.isFile();
    this.#sizeBytes = found.size;
    return file;
  }

  #tell(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const found = error instanceof Error ? error.message : String(error);
    this.#options.onTrouble(`Cannot write the log "${this.#options.path}": ${found}`);
  }
}

/** The fields as a log shows them: text on one line, without control characters, and not long. */
export function plainFields(fields: LogFields): LogFields {
  const plain: Record<string, string | number | boolean> = {};
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    plain[name] = typeof value === "string" ? plainText(value, FIELD_CHARS_MAX) : value;
  }
  return plain;
}

function lineOf(level: LogLevel, event: string, fields: LogFields): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ time, level, event, ...plainFields(fields) })}\n`;
}

/** `x.log` becomes `x.log.1`, and so on; the last of `filesMax` goes. */
async function putAside(path: string, filesMax: number): Promise<void> {
  const nameOf = (number: number): string => number === 0 ? path : `${path}.${number}`;
  if (filesMax === 1) return await rm(path, { force: true });
  for (let number = filesMax - 1; number > 0; number--) {
    await rename(nameOf(number - 1), nameOf(number)).catch((error: unknown) => {
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!isMissing) throw error;
    });
  }
}
