/** What comes in on a file descriptor of this process, read without a thread where that can be. */

import { createReadStream } from "node:fs";
import { Readable } from "node:stream";

/**
 * Streams the descriptor until its end.
 *
 * A read stream of `node:fs` has a thread of a pool wait in each read: to be woken and to wake
 * takes it six times as long as to be told by the event loop, as Bun's own stream is.
 */
export function descriptorStream(fd: number): AsyncIterable<Uint8Array> {
  if ("Bun" in globalThis) return Bun.file(fd).stream();
  return Readable.toWeb(createReadStream("", { fd })) as AsyncIterable<Uint8Array>;
}
