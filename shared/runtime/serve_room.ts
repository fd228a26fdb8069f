/**
 * What a server sends at the same time: how many bodies, and by which way of the runtime.
 *
 * Bun sends a file of its own by a fast path, in plain alone, for a fifth of the processor time of
 * a stream. But it neither tells when that has ended nor cuts a reader that stands still: so only
 * a few are sent by it. All others are streams, which have a limit, and are cut (serve.ts).
 *
 * @module
 */

import { open } from "node:fs/promises";

/** Files sent by the fast path at the same time. */
export const FAST_SERVES_MAX = 16;

/** Seconds after which whoever finds no room is to come again. */
export const SERVE_AGAIN_S = 1;

/** Bytes of a file that are read at a time. */
const CHUNK_BYTES: number = 256 * 1024;

/** What a room is made of. */
export interface ServeRoomOptions {
  /** Streams at the same time. */
  readonly streamsMax: number;
  /** Of these, directories. */
  readonly treesMax: number;
}

/** The server that a room belongs to. */
export interface RoomServer {
  /** Requests under way, with the one that is asked for. */
  readonly requestCount: number;
  readonly isSecure: boolean;
}

/** Counts the bodies of one server. */
export class ServeRoom {
  readonly #options: ServeRoomOptions;
  #streamCount = 0;
  #treeCount = 0;
  #uploadCount = 0;

  constructor(options: ServeRoomOptions) {
    this.#options = options;
  }

  /** True when there is a fast path, and few use it. */
  isFast({ requestCount, isSecure }: RoomServer): boolean {
    if (isSecure || !("Bun" in globalThis)) return false;
    return requestCount - this.#streamCount - this.#uploadCount <= FAST_SERVES_MAX;
  }

  /** A stream begins; returns what is called once, when it ends. Undefined when there is no room. */
  enter({ isDirectory }: { readonly isDirectory: boolean }): (() => void) | undefined {
    const { streamsMax, treesMax } = this.#options;
    if (this.#streamCount >= streamsMax) return undefined;
    if (isDirectory && this.#treeCount >= treesMax) return undefined;
    const trees = isDirectory ? 1 : 0;
    this.#streamCount += 1;
    this.#treeCount += trees;
    return () => {
      this.#streamCount -= 1;
      this.#treeCount -= trees;
    };
  }

  /** A body that is received begins; returns what is called when it ends. */
  enterUpload(): () => void {
    this.#uploadCount += 1;
    return () => void (this.#uploadCount -= 1);
  }
}

/** The bytes of a file from `startByte` on. */
export async function* readFrom(
  path: string,
  startByte: number,
): AsyncGenerator<Uint8Array, void, void> {
  const file = await open(path);
  try {
    let offset = startByte;
    while (true) {
      // A buffer of its own each time: the last one may not be sent yet.
      const { bytesRead, buffer } = await file.read({
        buffer: new Uint8Array(CHUNK_BYTES),
        position: offset,
      });
      if (bytesRead === 0) return;
      offset += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** The first `sizeBytes` of `chunks`; `onEnd` is called once, however the stream ends. */
export function boundedBody(
  chunks: AsyncIterable<Uint8Array>,
  { sizeBytes, request, onEnd }: {
    readonly sizeBytes: number;
    /** What is answered. */
    readonly request: Pick<Request, "signal">;
    readonly onEnd: () => void;
  },
): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  let leftBytes = sizeBytes;
  let isOver = false;
  const end = async () => {
    if (isOver) return;
    isOver = true;
    onEnd();
    await iterator.return?.();
  };
  // When the reader has gone Bun does not cancel a stream that was never read. Deno does, and warns
  // of whoever looks at its signal, which aborts when all is well, too.
  if ("Bun" in globalThis) {
    const { signal } = request;
    if (signal.aborted) void end();
    signal.addEventListener("abort", end, { once: true });
  }
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        if (leftBytes > 0) {
          const next = await iterator.next();
          // The length is promised: a reader must see that this is not all.
          if (next.done) throw new Error(`Cannot serve ${leftBytes} bytes more: it has no more`);
          const bytes = next.value;
          controller.enqueue(leftBytes < bytes.length ? bytes.subarray(0, leftBytes) : bytes);
          leftBytes -= bytes.length;
        }
        if (leftBytes > 0) return;
        controller.close();
        await end();
      } catch (error) {
        await end();
        throw error;
      }
    },
    cancel: end,
  });
}
