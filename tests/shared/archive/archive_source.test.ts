import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";

import { tarChunks } from "../../../shared/archive/archive_source.ts";
import { rawTar } from "./raw_tar.ts";

/** Gives `bytes` in pieces out of one buffer: each holds only until the next is asked for. */
async function* reused(bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array, void> {
  const buffer = new Uint8Array(pieceBytes);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = bytes.subarray(at, at + pieceBytes);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
  }
}

test("tarChunks() needs a chunk no longer than until it asks for the next", async () => {
  const bytes = rawTar({ name: "a", data: "x".repeat(700) });
  for (const pieceBytes of [100, 511, 512, 600]) {
    const parts: Uint8Array[] = [];
    for await (const chunk of tarChunks(reused(bytes, pieceBytes))) parts.push(chunk.slice());
    expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0);
  }
});
