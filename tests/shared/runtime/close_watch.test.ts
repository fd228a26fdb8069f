import { expect, test } from "bun:test";

import { CloseWatch } from "../../../shared/runtime/close_watch.ts";

const HEAD = new TextEncoder().encode("HTTP/1.1 101 Switching Protocols\r\nX: \r\r\n\r\n");
const CLOSE: readonly number[] = [0x88, 2, 0x0f, 0xa1];

/** A binary frame of `length` bytes, each of which looks like the beginning of a close. */
function frame(length: number): number[] {
  const size = length < 126
    ? [length]
    : length < 65_536
    ? [126, length >> 8, length & 255]
    : [127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255];
  return [0x82, ...size, ...new Array<number>(length).fill(0x88)];
}

test("take() finds the close behind frames of every length, however they are cut", () => {
  const frames = [0, 1, 125, 126, 300, 65_536].flatMap(frame);
  const bytes = Uint8Array.from([...HEAD, ...frames, ...CLOSE]);
  const endAt = bytes.length - CLOSE.length + 2;
  for (const step of [1, 2, 3, 7, 1000, 4096, bytes.length]) {
    const watch = new CloseWatch();
    let at = 0;
    while (at < bytes.length && !watch.take(bytes.subarray(at, at + step))) at += step;
    expect([step, at < endAt && endAt <= at + step]).toEqual([step, true]);
  }
});
