/**
 * Outputs that are seen while they grow: what a running try has written of them so far is appended
 * to the local file, or for a buffer to a file of the manager's own, so that `tail -f` shows it.
 *
 * A file is emptied when a try starts, and again when another one does. What a failed try wrote
 * stays to be looked at. It never counts as the output: that comes whole and verified when the try
 * has succeeded, and takes the file's place by a rename; what is written here after that goes into
 * the file that is gone. Nothing is written through a link, or into what is no regular file.
 *
 * @module
 */

import {
  closeSync,
  constants,
  fstatSync,
  ftruncate,
  mkdirSync,
  openSync,
  rmSync,
  write,
} from "node:fs";
import { promisify } from "node:util";

import { dirname, join } from "@std/path";

import type { TaskId } from "../shared/ids.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { FileEntry } from "./file_entry.ts";
import type { CheckedMount } from "./mount_option.ts";
import { tell } from "./notice.ts";
import type { Tail, TailDesk, TailPiece, TailSink } from "./tail_desk.ts";

/** Files that grow here at the same time; the outputs of further tries are not seen before they end. */
const FILES_MAX = 512;

const OPEN_FLAGS: number = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW |
  constants.O_NONBLOCK;

const writeTo = promisify(write);
const truncate = promisify(ftruncate);

/** What watches are made of. */
export interface OutputWatchesOptions {
  readonly tails: Pick<TailDesk, "open">;
  /** Folder for what has no path of its own; made and removed by the manager. */
  readonly spool: string;
}

/** The watched outputs of one manager. */
export class OutputWatches {
  readonly #options: OutputWatchesOptions;
  readonly #sinks: Set<GrowingCopy> = new Set();
  #openCount = 0;

  constructor(options: OutputWatchesOptions) {
    this.#options = options;
  }

  /** Watches those outputs of a submitted task that are to be. */
  add(taskId: TaskId, outputs: readonly CheckedMount[]): void {
    for (const { mount, entry, isWatched } of outputs) {
      if (isWatched !== true) continue;
      entry.seenPath = this.#pathOf(entry);
      const isOwn = entry.source.kind !== "local";
      // What an earlier task made of it will be written over.
      if (!isOwn) entry.place = undefined;
      const sink = new GrowingCopy({
        path: entry.seenPath,
        isOwn,
        mode: entry.mode,
        take: () => {
          const canOpen = this.#openCount < FILES_MAX;
          if (canOpen) this.#openCount += 1;
          return canOpen;
        },
        release: () => void (this.#openCount -= 1),
        onEnd: () => void this.#sinks.delete(sink),
      });
      this.#sinks.add(sink);
      const source = { kind: "mount", mount } as const;
      sink.tail = this.#options.tails.open({ taskId, source, canSkip: false }, sink);
    }
  }

  /** Resolves when all that was told is written; the looks are ended by their desk. */
  async close(): Promise<void> {
    await Promise.all([...this.#sinks].map((sink) => sink.closed()));
  }

  #pathOf({ id, source }: FileEntry): string {
    return source.kind === "local" ? source.path : join(this.#options.spool, `seen-${id}`);
  }
}

interface GrowingCopyOptions {
  readonly path: string;
  /** Of the manager: of no use beside the contents. */
  readonly isOwn: boolean;
  readonly mode: number | undefined;
  /** Takes leave to open one more file; false when there are too many. */
  readonly take: () => boolean;
  readonly release: () => void;
  readonly onEnd: () => void;
}

/** The copy of one growing output, of one try after the other. */
class GrowingCopy implements TailSink {
  readonly #options: GrowingCopyOptions;
  #tail: Tail | undefined;
  /** Of the current try. */
  #file: { readonly descriptor: number; isOver: boolean } | undefined;
  /** What is done with files, in order; never rejects. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: GrowingCopyOptions) {
    this.#options = options;
  }

  set tail(tail: Tail) {
    this.#tail = tail;
  }

  begin(): boolean {
    this.#leave();
    if (!this.#options.take()) return false;
    // At once: a moment later the output itself may have this path.
    const descriptor = this.#open();
    if (descriptor === undefined) {
      this.#options.release();
      return false;
    }
    const file = { descriptor, isOver: false };
    this.#file = file;
    this.#then(file, () => truncate(descriptor, 0));
    return true;
  }

  piece({ atByte, bytes }: TailPiece): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#then(file, () => writeAll(file.descriptor, { atByte, bytes }), () => {
      this.#tail?.consumed(bytes.length);
    });
  }

  stopped(): void {
    this.#leave();
  }

  end(end: TaskEnd | undefined): void {
    this.#leave();
    const { path, isOwn, onEnd } = this.#options;
    this.#work = this.#work.then(() => {
      if (isOwn && end?.outcome === "success") rmSync(path, { force: true });
      onEnd();
    });
  }

  async closed(): Promise<void> {
    await this.#work;
  }

  /** Closes the file once what was told is in it; of another try's, nothing more is written. */
  #leave(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    this.#work = this.#work.then(() => {
      closeSync(file.descriptor);
      this.#options.release();
    });
  }

  #then(
    file: { readonly descriptor: number; isOver: boolean },
    act: () => Promise<void>,
    done: () => void = () => {},
  ): void {
    this.#work = this.#work.then(async () => {
      if (file.isOver) return;
      try {
        await act();
        done();
      } catch (error) {
        file.isOver = true;
        this.#tail?.close();
        this.#say(error);
      }
    });
  }

  #open(): number | undefined {
    const { path, mode = 0o666 } = this.#options;
    try {
      mkdirSync(dirname(path), { recursive: true });
      const descriptor = openSync(path, OPEN_FLAGS, mode);
      if (fstatSync(descriptor).isFile()) return descriptor;
      closeSync(descriptor);
      this.#say(new Error("it is no regular file"));
    } catch (error) {
      this.#say(error);
    }
    return undefined;
  }

  #say(error: unknown): void {
    const found = error instanceof Error ? error.message : String(error);
    tell(`Cannot watch output "${this.#options.path}": ${found}`);
  }
}

async function writeAll(
  descriptor: number,
  { atByte, bytes }: { readonly atByte: number; readonly bytes: Uint8Array },
): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const left = bytes.length - done;
    const { bytesWritten } = await writeTo(descriptor, bytes, done, left, atByte + done);
    if (bytesWritten === 0) throw new Error("nothing more was written");
    done += bytesWritten;
  }
}
