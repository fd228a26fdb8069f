import { expect, test } from "bun:test";

import { copyPart } from "../../shared/byte_part.ts";

test("copyPart() gives bytes of their own, of a Buffer too", () => {
  const whole = Buffer.from(Array.from({ length: 200 }, (_, index) => index));
  for (const size of [0, 1, 32, 33, 150]) {
    const part = copyPart(whole, 7, size);
    expect(part).toEqual(new Uint8Array(whole.subarray(7, 7 + size)));
    expect(part.buffer.byteLength).toBe(size);
    expect(part.constructor).toBe(Uint8Array);
  }
});
