/**
 * What ended tasks wrote, on the manager's disk: appended to a file in batches, so that neither
 * memory nor the event loop pays for it. Two files at most: when the newer one is full, the older
 * one goes. What cannot be written is missing here, and nowhere else.
 *
 * @module
 */

import { type FileHandle as OpenFile, mkdir, open, rm } from "node:fs/promises";

import { join } from "@std/path";

/** One of the two files at most. */
export const SEGMENT_BYTES_MAX: number = 512 * 1024 * 1024;

/** What waits for the disk at most; beyond it, what comes is not kept. */
const QUEUE_BYTES_MAX: number = 64 * 1024 * 1024;

/** What is written at once, about. */
const BATCH_BYTES: number = 4 * 1024 * 1024;

const NO_BYTES = new Uint8Array();

/** What one task wrote. */
export interface TaskOutput {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

/** Where that is. */
export interface OutputPlace {
  /** Bytes of each, one after the other from `atByte` of the file of that number. */
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  segment: number;
  atByte: number;
  /** Until it is written. */
  waiting: TaskOutput | undefined;
  isLost: boolean;
}

/** What a log is made of. */
export interface OutputLogOptions {
  /** Made when something is written; removed by its owner. */
  readonly folder: string;
  /** Told once of a disk that takes no more, and again only after it has taken something. */
  readonly onFailure: (message: string) => void;
  /** Default `SEGMENT_BYTES_MAX`. */
  readonly segmentBytesMax?: number | undefined;
}

/** Of a task that wrote nothing. */
export const NO_OUTPUT: OutputPlace = {
  stdoutBytes: 0,
  stderrBytes: 0,
  segment: 0,
  atByte: 0,
  waiting: undefined,
  isLost: false,
};

/** The log of one manager. */
export class OutputLog {
  readonly #options: OutputLogOptions;
  #queue: OutputPlace[] = [];
  #queuedBytes = 0;
  #file: OpenFile | undefined;
  #segment = 0;
  #sizeBytes = 0;
  #writing: Promise<void> | undefined;
  #hasFailed = false;
  #isClosed = false;

  constructor(options: OutputLogOptions) {
    this.#options = options;
  }

  /** Keeps what a task wrote; tells where. */
  append({ stdout, stderr }: TaskOutput): OutputPlace {
    const sizeBytes = stdout.length + stderr.length;
    if (sizeBytes === 0) return NO_OUTPUT;
    const place: OutputPlace = {
      stdoutBytes: stdout.length,
      stderrBytes: stderr.length,
      segment: 0,
      atByte: 0,
      waiting: undefined,
      isLost: false,
    };
    if (this.#isClosed || this.#queuedBytes + sizeBytes > QUEUE_BYTES_MAX) {
      place.isLost = true;
      return place;
    }
    place.waiting = { stdout, stderr };
    this.#queue.push(place);
    this.#queuedBytes += sizeBytes;
    this.#writing ??= this.#write();
    return place;
  }

  /** What is kept there; undefined when it is not any more, or never was. */
  async read(place: OutputPlace): Promise<TaskOutput | undefined> {
    if (place.waiting !== undefined) return place.waiting;
    const { stdoutBytes, stderrBytes, atByte } = place;
    if (stdoutBytes + stderrBytes === 0) return { stdout: NO_BYTES, stderr: NO_BYTES };
    if (place.isLost || place.segment < this.#segment - 1) return undefined;
    let file: OpenFile | undefined;
    try {
      file = await open(this.#pathOf(place.segment), "r");
      const bytes = new Uint8Array(stdoutBytes + stderrBytes);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, atByte);
      if (bytesRead < bytes.length) return undefined;
      return { stdout: bytes.subarray(0, stdoutBytes), stderr: bytes.subarray(stdoutBytes) };
    } catch {
      // Dropped since, or the disk fails: either way it cannot be had.
      return undefined;
    } finally {
      await file?.close();
    }
  }

  /** Writes nothing more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #write(): Promise<void> {
    // What else comes in this turn goes along.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      const sizeBytes = batch.reduce((sum, place) => sum + sizeOf(place), 0);
      try {
        const file = await this.#openFor(sizeBytes);
        await writeAll(file, { parts: partsOf(batch), atByte: this.#sizeBytes });
        this.#note(batch);
        this.#hasFailed = false;
      } catch (error) {
        for (const place of batch) place.isLost = true;
        this.#fail(error);
      }
      for (const place of batch) place.waiting = undefined;
      this.#queuedBytes -= sizeBytes;
    }
    this.#writing = undefined;
  }

  #takeBatch(): OutputPlace[] {
    let sizeBytes = 0;
    let count = 0;
    while (count < this.#queue.length && sizeBytes < BATCH_BYTES) {
      const place = this.#queue[count];
      if (place !== undefined) sizeBytes += sizeOf(place);
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** The file that has room; the one before the last is dropped when a new one begins. */
  async #openFor(sizeBytes: number): Promise<OpenFile> {
    const { folder, segmentBytesMax = SEGMENT_BYTES_MAX } = this.#options;
    const isFull = this.#sizeBytes > 0 && this.#sizeBytes + sizeBytes > segmentBytesMax;
    if (this.#file !== undefined && !isFull) return this.#file;
    if (this.#file !== undefined) {
      await this.#file.close();
      this.#file = undefined;
      this.#segment += 1;
      this.#sizeBytes = 0;
      await rm(this.#pathOf(this.#segment - 2), { force: true });
    }
    await mkdir(folder, { recursive: true, mode: 0o700 });
    this.#file = await open(this.#pathOf(this.#segment), "w", 0o600);
    return this.#file;
  }

  #note(batch: readonly OutputPlace[]): void {
    for (const place of batch) {
      place.segment = this.#segment;
      place.atByte = this.#sizeBytes;
      this.#sizeBytes += sizeOf(place);
    }
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const found = error instanceof Error ? error.message : String(error);
    this.#options.onFailure(`Cannot keep what tasks write: ${found}`);
  }

  #pathOf(segment: number): string {
    return join(this.#options.folder, `output-${segment}`);
  }
}

function sizeOf({ stdoutBytes, stderrBytes }: OutputPlace): number {
  return stdoutBytes + stderrBytes;
}

function partsOf(batch: readonly OutputPlace[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (const { waiting } of batch) {
    if (waiting !== undefined) parts.push(waiting.stdout, waiting.stderr);
  }
  return parts;
}

/** A write may take less than it is given. */
async function writeAll(
  file: OpenFile,
  { parts, atByte }: { readonly parts: readonly Uint8Array[]; readonly atByte: number },
): Promise<void> {
  const bytes = Buffer.concat(parts);
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, atByte + done);
    if (bytesWritten === 0) throw new Error("nothing more was written");
    done += bytesWritten;
  }
}
