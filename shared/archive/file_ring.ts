/**
 * Small files, and links to them, on their way from the thread that reads an archive to one that writes them.
 *
 * A ring of bytes that both share, with one thread at each end: the contents are copied once, and
 * no call of the system is made while there is something in it. Both ends may block their thread.
 */

import { Buffer } from "node:buffer";

import { ArchiveError, codeOf } from "./archive_error.ts";
import type { FileMeta } from "./tree_plan.ts";

/** Bytes on their way at one time: half a thousand small files, or a few that are not so small. */
const RING_BYTES = 1024 * 1024;
/** Bytes of a message about a failure, its entry included. */
const FAILURE_BYTES = 64 * 1024;
/** A writer that sleeps is woken for this many files: waking costs as much as writing one. */
const WAKE_COUNT = 16;
/** A file of this size is not written in such a time by any disk that still works. */
const STALL_MS_MAX = 600_000;

/** Before the path and the contents of a file: four numbers, then its time. */
const HEADER_BYTES = 24;
const ALIGN_BYTES = 8;
/** In the place of a path's length: nothing follows up to the end of the ring. */
const FILLER = -1;
/** UTF-8 bytes of one unit of a string, at most. */
const UNIT_BYTES_MAX = 3;

/** In the place of a mode: a hard link, whose contents are the path of its target. */
const LINK = -1;

/** Where in the control words what is. */
const STATE = 0;
/** Files that are in the ring or were, or `STOP`. */
const GIVEN_COUNT = 1;
/** Files that are written, or `ENDED`. */
const WRITTEN_COUNT = 2;
/** The count for which the reader waits. */
const WANTED_COUNT = 3;
/** Where the oldest file that is not written begins; counted on, and cut to 32 bits. */
const TAIL_BYTES = 4;
const IS_ASLEEP = 5;
const FAILURE_LENGTH = 6;
const CONTROL_COUNT = 8;

const STARTED = 1;
const FAILED = 2;
const STOP = -1;
const ENDED = 0x7fffffff;

/** What two threads share. */
export interface FileRingMemory {
  readonly control: SharedArrayBuffer;
  readonly files: SharedArrayBuffer;
  readonly failure: SharedArrayBuffer;
}

/** Returns the memory of a ring in which there is nothing. */
export function newFileRingMemory(): FileRingMemory {
  return {
    control: new SharedArrayBuffer(4 * CONTROL_COUNT),
    files: new SharedArrayBuffer(RING_BYTES),
    failure: new SharedArrayBuffer(FAILURE_BYTES),
  };
}

/** The end at which files are put in. */
export class FileRing {
  readonly #control: Int32Array;
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  readonly #failure: SharedArrayBuffer;
  #headBytes = 0;
  #givenCount = 0;

  constructor(memory: FileRingMemory) {
    this.#control = new Int32Array(memory.control);
    this.#bytes = Buffer.from(memory.files);
    this.#words = new Int32Array(memory.files);
    this.#times = new Float64Array(memory.files);
    this.#failure = memory.failure;
  }

  /** Files written so far. Throws what kept the writer from writing one. */
  get writtenCount(): number {
    const count = Atomics.load(this.#control, WRITTEN_COUNT);
    if (count === ENDED) this.#throwFailure();
    return count;
  }

  /** Puts a file in; returns its number, counted from one, or undefined when there is no room. */
  give(meta: FileMeta, contents: Uint8Array): number | undefined {
    return this.#put(meta, meta.mode, contents);
  }

  /** Puts in a hard link to a file that was put in before; returns its number as `give` does. */
  giveLink(meta: FileMeta, target: string): number | undefined {
    return this.#put(meta, LINK, Buffer.from(target));
  }

  #put(meta: FileMeta, mode: number, contents: Uint8Array): number | undefined {
    if (Atomics.load(this.#control, STATE) !== STARTED) {
      this.#throwFailure();
      return undefined;
    }
    const at = this.#reserve(
      HEADER_BYTES + meta.path.length * UNIT_BYTES_MAX + contents.length,
    );
    if (at === undefined) {
      this.#wake();
      return undefined;
    }
    const pathBytes = this.#bytes.write(meta.path, at + HEADER_BYTES);
    this.#bytes.set(contents, at + HEADER_BYTES + pathBytes);
    const allBytes = aligned(HEADER_BYTES + pathBytes + contents.length);
    this.#words[at / 4] = allBytes;
    this.#words[at / 4 + 1] = pathBytes;
    this.#words[at / 4 + 2] = contents.length;
    this.#words[at / 4 + 3] = mode;
    this.#times[at / 8 + 2] = meta.mtimeMs;
    this.#headBytes += allBytes;
    Atomics.store(this.#control, GIVEN_COUNT, ++this.#givenCount);
    if (this.#givenCount % WAKE_COUNT === 0) this.#wake();
    return this.#givenCount;
  }

  /** Waits until the file of that number is written, or all are. Throws what kept it from that. */
  settle(count: number = this.#givenCount): void {
    Atomics.store(this.#control, WANTED_COUNT, count);
    Atomics.notify(this.#control, GIVEN_COUNT);
    this.#waitFor(count);
    this.#throwFailure();
  }

  /** Has the writer end, with the file that it is at; nothing is written when this returns. */
  stop(): void {
    Atomics.store(this.#control, GIVEN_COUNT, STOP);
    Atomics.notify(this.#control, GIVEN_COUNT);
    if (this.#givenCount > 0) this.#waitFor(ENDED);
  }

  #wake(): void {
    if (Atomics.load(this.#control, IS_ASLEEP) === 0) return;
    Atomics.notify(this.#control, GIVEN_COUNT);
  }

  #waitFor(count: number): void {
    for (;;) {
      const written = Atomics.load(this.#control, WRITTEN_COUNT);
      if (written >= count) return;
      const how = Atomics.wait(this.#control, WRITTEN_COUNT, written, STALL_MS_MAX);
      if (how !== "timed-out") continue;
      throw new ArchiveError(
        `Cannot write a file of the archive within ${STALL_MS_MAX / 1000} s: its thread is stuck`,
      );
    }
  }

  /** Finds room for a file of up to `lengthBytes`, in one piece; returns where it begins. */
  #reserve(lengthBytes: number): number | undefined {
    const tailBytes = Atomics.load(this.#control, TAIL_BYTES);
    const freeBytes = RING_BYTES - ((this.#headBytes - tailBytes) >>> 0);
    const at = this.#headBytes % RING_BYTES;
    const neededBytes = aligned(lengthBytes);
    if (at + neededBytes <= RING_BYTES) return neededBytes <= freeBytes ? at : undefined;
    const fillerBytes = RING_BYTES - at;
    if (fillerBytes + neededBytes > freeBytes) return undefined;
    this.#words[at / 4] = fillerBytes;
    this.#words[at / 4 + 1] = FILLER;
    this.#headBytes += fillerBytes;
    return 0;
  }

  #throwFailure(): void {
    if (Atomics.load(this.#control, STATE) !== FAILED) return;
    const length = Atomics.load(this.#control, FAILURE_LENGTH);
    // Written by the other end.
    const { message, entry, code } = JSON.parse(
      Buffer.from(this.#failure, 0, length).toString(),
    ) as {
      message: string;
      entry?: string;
      code: string;
    };
    throw new ArchiveError(message, entry === undefined ? { code } : { entry, code });
  }
}

/** What is done with the files of a ring. */
export interface FileRingWriter {
  readonly file: (meta: FileMeta, contents: Uint8Array) => void;
  readonly link: (meta: FileMeta, target: string) => void;
}

/** Takes files out of the ring and writes each with `writer`, until it fails or the ring is stopped. */
export function serveFileRing(memory: FileRingMemory, writer: FileRingWriter): void {
  const control = new Int32Array(memory.control);
  Atomics.store(control, STATE, STARTED);
  try {
    writeFiles(control, memory.files, writer);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const entry = error instanceof ArchiveError ? error.entry : undefined;
    const failure = failureText(message, { entry, code: codeOf(error) });
    Atomics.store(control, FAILURE_LENGTH, Buffer.from(memory.failure).write(failure));
    Atomics.store(control, STATE, FAILED);
  }
  Atomics.store(control, WRITTEN_COUNT, ENDED);
  Atomics.notify(control, WRITTEN_COUNT);
}

function writeFiles(
  control: Int32Array,
  files: SharedArrayBuffer,
  writer: FileRingWriter,
): void {
  const bytes = Buffer.from(files);
  const words = new Int32Array(files);
  const times = new Float64Array(files);
  let tailBytes = 0;
  for (let writtenCount = 0;;) {
    if (!waitForFile(control, writtenCount)) return;
    let at = tailBytes % RING_BYTES;
    if (words[at / 4 + 1] === FILLER) {
      tailBytes += words[at / 4] ?? 0;
      at = 0;
    }
    const contentsAt = at + HEADER_BYTES + (words[at / 4 + 1] ?? 0);
    const path = bytes.toString("utf8", at + HEADER_BYTES, contentsAt);
    const meta = { path, mode: words[at / 4 + 3] ?? 0, mtimeMs: times[at / 8 + 2] ?? 0 };
    const contents = bytes.subarray(contentsAt, contentsAt + (words[at / 4 + 2] ?? 0));
    if (meta.mode === LINK) writer.link(meta, contents.toString());
    else writer.file(meta, contents);
    tailBytes += words[at / 4] ?? 0;
    Atomics.store(control, TAIL_BYTES, tailBytes);
    Atomics.store(control, WRITTEN_COUNT, ++writtenCount);
    if (Atomics.load(control, WANTED_COUNT) === writtenCount) {
      Atomics.notify(control, WRITTEN_COUNT);
    }
  }
}

/** False when there will be none. */
function waitForFile(control: Int32Array, writtenCount: number): boolean {
  let givenCount = Atomics.load(control, GIVEN_COUNT);
  if (givenCount === writtenCount) {
    Atomics.store(control, IS_ASLEEP, 1);
    // As long as the process lives: it is the other end that ends this one.
    while (givenCount === writtenCount) {
      Atomics.wait(control, GIVEN_COUNT, givenCount);
      givenCount = Atomics.load(control, GIVEN_COUNT);
    }
    Atomics.store(control, IS_ASLEEP, 0);
  }
  return givenCount !== STOP;
}

function failureText(
  message: string,
  { entry, code }: { readonly entry: string | undefined; readonly code: string },
): string {
  const text = JSON.stringify({ message, code, ...(entry === undefined ? {} : { entry }) });
  // A path has no more than some thousand bytes, and a message little more than a path.
  return text.length * UNIT_BYTES_MAX <= FAILURE_BYTES
    ? text
    : JSON.stringify({ message: "Cannot write a file", code });
}

function aligned(lengthBytes: number): number {
  return Math.ceil(lengthBytes / ALIGN_BYTES) * ALIGN_BYTES;
}
