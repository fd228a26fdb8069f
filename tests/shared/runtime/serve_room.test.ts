import { expect, test } from "bun:test";

import {
  boundedBody,
  FAST_SERVES_MAX,
  type RoomServer,
  ServeRoom,
} from "../../../shared/runtime/serve_room.ts";

const isBun = !("Deno" in globalThis);

function serverWith(requestCount: number, isSecure: boolean = false): RoomServer {
  return { requestCount, isSecure };
}

test("isFast() is true of few files, on Bun and in plain alone, whatever else is under way", () => {
  const room = new ServeRoom({ streamsMax: 8, treesMax: 8 });
  expect(room.isFast(serverWith(FAST_SERVES_MAX))).toBe(isBun);
  expect(room.isFast(serverWith(1, true))).toBe(false);
  expect(room.isFast(serverWith(FAST_SERVES_MAX + 2))).toBe(false);
  const leave = room.enter({ isDirectory: false });
  const leaveUpload = room.enterUpload();
  expect(room.isFast(serverWith(FAST_SERVES_MAX + 2))).toBe(isBun);
  leave?.();
  leaveUpload();
  expect(room.isFast(serverWith(FAST_SERVES_MAX + 1))).toBe(false);
});

test("enter() has room for so many streams, and for fewer directories", () => {
  const room = new ServeRoom({ streamsMax: 2, treesMax: 1 });
  const leave = room.enter({ isDirectory: true });
  expect(room.enter({ isDirectory: true })).toBeUndefined();
  expect(room.enter({ isDirectory: false })).toBeDefined();
  expect(room.enter({ isDirectory: false })).toBeUndefined();
  leave?.();
  expect(room.enter({ isDirectory: true })).toBeDefined();
});

test("boundedBody() ends once, with its reader, its bytes or their want", async () => {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < 3; count++) yield await Promise.resolve(new Uint8Array(4));
  }
  let endCount = 0;
  const bodyOf = (sizeBytes: number, signal: AbortSignal = new AbortController().signal) =>
    boundedBody(chunks(), { sizeBytes, request: { signal }, onEnd: () => endCount += 1 });
  expect((await new Response(bodyOf(10)).arrayBuffer()).byteLength).toBe(10);
  expect(endCount).toBe(1);
  await expect(new Response(bodyOf(20)).arrayBuffer()).rejects.toThrow("8 bytes more");
  expect(endCount).toBe(2);
  const gone = new AbortController();
  const body = bodyOf(10, gone.signal);
  gone.abort();
  await body.cancel();
  expect(endCount).toBe(3);
  if (!isBun) return;
  bodyOf(10, gone.signal);
  expect(endCount).toBe(4);
});
