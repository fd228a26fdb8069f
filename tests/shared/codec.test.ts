/** Frames: what goes in comes out, and nothing that comes in can harm. */

import { deflateRawSync } from "node:zlib";

import { expect, test } from "bun:test";
import { deflateSync } from "fflate";

import { CBOR_DEPTH_MAX, scanCbor } from "../../shared/cbor_scan.ts";
import {
  decodeFrame,
  encodeFrame,
  FRAME_BYTES_MAX,
  FRAME_BYTES_SHARED,
  FRAME_ITEMS_MAX,
} from "../../shared/codec.ts";
import { FrameError, type FrameFault } from "../../shared/frame_error.ts";

const PLAIN = { compress: false };

function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

/** A frame whose payload is an array of the one item in `hex`. */
function frameOf(hex: string): Uint8Array {
  return fromHex(`00 81 ${hex}`);
}

function faultOf(action: () => unknown): FrameFault | "none" {
  try {
    action();
    return "none";
  } catch (error) {
    if (error instanceof FrameError) return error.reason;
    throw error;
  }
}

function roundTrip(value: object, compress = false): unknown {
  const frames = encodeFrame([{ kind: "x", ...value }], { compress });
  return decodeFrame(frames[0]!)[0];
}

test("decodeFrame() returns what encodeFrame() was given", () => {
  const messages = [
    { kind: "a", text: "käse 🧀", list: [1, -1, 0.5, true, false, null], map: { "": { b: [] } } },
    { kind: "b", bytes: new Uint8Array([1, 2, 3]), none: new Uint8Array(0) },
  ];
  expect(decodeFrame(encodeFrame(messages, PLAIN)[0]!)).toEqual(messages);
});

test("encodeFrame() writes whole numbers as integers, beyond 32 bits too", () => {
  const numbers = [
    0,
    23,
    24,
    255,
    256,
    65535,
    65536,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 40 + 1,
    Number.MAX_SAFE_INTEGER,
    -1,
    -24,
    -25,
    -256,
    -257,
    -65537,
    -(2 ** 31),
    -(2 ** 31) - 1,
    -(2 ** 32),
    -(2 ** 32) - 1,
    Number.MIN_SAFE_INTEGER,
  ];
  for (const n of numbers) {
    const frame = encodeFrame([{ kind: "x", n } as { kind: string }], PLAIN)[0]!;
    expect(decodeFrame(frame)).toEqual([{ kind: "x", n }]);
    // {"kind": "x", "n": …} of major type 0 or 1.
    expect(frame[2 + 1 + 5 + 2 + 2]! >> 5).toBe(n < 0 ? 1 : 0);
  }
});

test("decodeFrame() gives byte strings as Uint8Array that do not hold the frame", () => {
  const message = roundTrip({ bytes: Buffer.from("abc") }) as { bytes: Uint8Array };
  expect(message.bytes.constructor).toBe(Uint8Array);
  expect(message.bytes.buffer.byteLength).toBe(3);
});

test("decodeFrame() reads the examples of RFC 8949 that are plain", () => {
  // Appendix A, without bignums, tags, simple values and indefinite lengths.
  const examples: [string, unknown][] = [
    ["00", 0],
    ["01", 1],
    ["0a", 10],
    ["17", 23],
    ["1818", 24],
    ["1819", 25],
    ["1864", 100],
    ["1903e8", 1000],
    ["1a000f4240", 1000000],
    ["1b000000e8d4a51000", 1000000000000],
    ["20", -1],
    ["29", -10],
    ["3863", -100],
    ["3903e7", -1000],
    ["f90000", 0],
    ["f93c00", 1],
    ["fb3ff199999999999a", 1.1],
    ["f93e00", 1.5],
    ["f97bff", 65504],
    ["fa47c35000", 100000],
    ["fa7f7fffff", 3.4028234663852886e+38],
    ["fb7e37e43c8800759c", 1e300],
    ["f90001", 5.960464477539063e-8],
    ["f90400", 0.00006103515625],
    ["f9c400", -4],
    ["fbc010666666666666", -4.1],
    ["f97c00", Infinity],
    ["f97e00", NaN],
    ["f9fc00", -Infinity],
    ["f4", false],
    ["f5", true],
    ["f6", null],
    ["f7", undefined],
    ["40", new Uint8Array(0)],
    ["4401020304", new Uint8Array([1, 2, 3, 4])],
    ["60", ""],
    ["6161", "a"],
    ["6449455446", "IETF"],
    ["62225c", '"\\'],
    ["62c3bc", "ü"],
    ["63e6b0b4", "水"],
    ["64f0908591", "𐅑"],
    ["80", []],
    ["83010203", [1, 2, 3]],
    ["8301820203820405", [1, [2, 3], [4, 5]]],
    ["a0", {}],
    ["a26161016162820203", { a: 1, b: [2, 3] }],
    ["826161a161626163", ["a", { b: "c" }]],
    [
      "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
      Array.from({ length: 25 }, (_, i) => i + 1),
    ],
  ];
  for (const [hex, value] of examples) expect(decodeFrame(frameOf(hex))).toEqual([value]);
});

test("decodeFrame() refuses what the wire does not use", () => {
  const refused: [string, FrameFault][] = [
    ["1bffffffffffffffff", "forbidden"], // 2^64 - 1
    ["1b0020000000000000", "forbidden"], // 2^53
    ["3b001fffffffffffff", "forbidden"], // -2^53
    ["c249010000000000000000", "forbidden"], // bignum
    ["c074323031332d30332d32315432303a30343a30305a", "forbidden"], // date
    ["d81c8100", "forbidden"],
    ["d81d00", "forbidden"], // shared value and reference: cycles
    ["d81c81d81d00", "forbidden"],
    ["d9dfff8301810102", "forbidden"], // a record of cbor-x
    ["f0", "forbidden"],
    ["f8ff", "forbidden"],
    ["e0", "forbidden"], // simple values
    ["5f42010243030405ff", "forbidden"],
    ["9fff", "forbidden"],
    ["bf61610161629f0203ffff", "forbidden"],
    ["1c", "forbidden"],
    ["fc", "forbidden"], // reserved
    ["a10102", "forbidden"], // a key that is a number
    ["a1695f5f70726f746f5f5fa0", "forbidden"], // __proto__
    ["a178095f5f70726f746f5f5fa0", "forbidden"],
    ["ff", "forbidden"],
    ["", "malformed"],
    ["18", "malformed"],
    ["19 00", "malformed"],
    ["fb0000", "malformed"],
    ["0000", "malformed"], // something behind the end
    ["82 01", "malformed"],
    ["a1 6161", "malformed"],
    ["6261", "malformed"],
    ["5b00000000ffffffff", "malformed"],
    ["7bffffffffffffffff", "forbidden"],
    ["9affffffff", "malformed"],
    ["baffffffff", "malformed"],
    ["9b0010000000000000", "malformed"],
  ];
  for (const [hex, fault] of refused) {
    expect(`${hex} ${faultOf(() => decodeFrame(frameOf(hex)))}`).toBe(`${hex} ${fault}`);
  }
});

test("decodeFrame() refuses a frame that is empty, of unknown flags, or no array", () => {
  for (const hex of ["", "02 80", "ff", "00", "01", "00 a0", "00 01"]) {
    expect(faultOf(() => decodeFrame(fromHex(hex)))).toBe("malformed");
  }
});

test("decodeFrame() takes the last of two equal keys, and leaves prototypes alone", () => {
  const [message] = decodeFrame(frameOf("a3 6161 01 6161 02 6b636f6e7374727563746f72 01"));
  expect(message).toEqual({ a: 2, constructor: 1 });
  // A longer form of the length than needed: the decoder renames what the scan lets through.
  const [renamed] = decodeFrame(frameOf("a1 790009 5f5f70726f746f5f5f a1 6161 01"));
  expect(Object.getPrototypeOf(renamed)).toBe(Object.prototype);
  expect(({} as { a?: unknown }).a).toBeUndefined();
});

test("decodeFrame() takes 16 levels and refuses 17, and 5 MB of them", () => {
  const nested = (levels: number): Uint8Array => {
    const frame = new Uint8Array(levels + 1).fill(0x81);
    frame[0] = 0;
    frame[levels] = 0x80;
    return frame;
  };
  expect(faultOf(() => decodeFrame(nested(CBOR_DEPTH_MAX)))).toBe("none");
  expect(faultOf(() => decodeFrame(nested(CBOR_DEPTH_MAX + 1)))).toBe("forbidden");
  expect(faultOf(() => decodeFrame(nested(5_000_000)))).toBe("forbidden");
});

test("decodeFrame() refuses a frame above its limits of bytes and items", () => {
  const limits = { bytesMax: 100, itemsMax: 10 };
  expect(faultOf(() => decodeFrame(new Uint8Array(101), limits))).toBe("too_large");
  expect(faultOf(() => decodeFrame(frameOf("8b0000000000000000000000"), limits))).toBe("too_large");
  expect(faultOf(() => decodeFrame(frameOf("8800000000000000 00"), limits))).toBe("none");
});

test("decodeFrame() refuses a deflate bomb of either size without inflating it", () => {
  const zeros = new Uint8Array(64 * 1024 * 1024);
  const small = deflateSync(zeros, { level: 9 });
  expect(small.length).toBeLessThan(256 * 1024);
  expect(faultOf(() => decodeFrame(new Uint8Array([1, ...small])))).toBe("too_large");
  // Noise in front makes the body too large for fflate's branch.
  const noise = crypto.getRandomValues(new Uint8Array(64 * 1024));
  const mixed = new Uint8Array(16 * 1024 * 1024);
  for (let i = 0; i < 8; i++) mixed.set(noise, i * noise.length);
  const body = deflateRawSync(mixed);
  expect(body.length).toBeGreaterThan(256 * 1024);
  expect(faultOf(() => decodeFrame(new Uint8Array([1, ...body])))).toBe("too_large");
});

test("decodeFrame() refuses deflated bytes that are damaged or cut short", () => {
  const [frame] = encodeFrame([{ kind: "x", t: "word ".repeat(1000) } as { kind: string }], {
    compress: true,
  });
  expect(frame![0]).toBe(1);
  expect(faultOf(() => decodeFrame(frame!.subarray(0, frame!.length - 4)))).toBe("malformed");
  expect(faultOf(() => decodeFrame(new Uint8Array([1, 0xff, 0xff, 0xff])))).toBe("malformed");
});

test("encodeFrame() deflates what gets smaller by it, with either library", () => {
  for (const repeats of [10, 1000, 100_000]) {
    const message = { kind: "x", t: "word ".repeat(repeats) };
    const [frame] = encodeFrame([message], { compress: true });
    expect(frame![0]).toBe(repeats === 10 ? 0 : 1);
    expect(decodeFrame(frame!)).toEqual([message]);
  }
  const noise = { kind: "x", b: crypto.getRandomValues(new Uint8Array(5000)) };
  expect(encodeFrame([noise], { compress: true })[0]![0]).toBe(0);
});

test("encodeFrame() splits a long batch into frames in order", () => {
  const messages = Array.from(
    { length: 70_000 },
    (_, i) => ({ kind: "x", i, pad: "p".repeat(40) }),
  );
  const frames = encodeFrame(messages, PLAIN);
  expect(frames.length).toBeGreaterThan(1);
  for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(FRAME_BYTES_SHARED);
  expect(frames.flatMap((frame) => decodeFrame(frame))).toEqual(messages);
  expect(encodeFrame([], PLAIN)).toEqual([]);
  const small = encodeFrame(Array.from({ length: 300_000 }, () => ({ kind: "" })), PLAIN);
  expect(small.flatMap((frame) => decodeFrame(frame)).length).toBe(300_000);
});

test("encodeFrame() gives a large message its own frame, and refuses one no frame can carry", () => {
  const large = { kind: "x", b: new Uint8Array(FRAME_BYTES_MAX - 100) };
  const frames = encodeFrame([{ kind: "a" }, large, { kind: "b" }], PLAIN);
  expect(frames.map((frame) => decodeFrame(frame).length)).toEqual([1, 1, 1]);
  const tooLarge = { kind: "x", b: new Uint8Array(FRAME_BYTES_MAX) };
  expect(faultOf(() => encodeFrame([tooLarge], PLAIN))).toBe("too_large");
  const tooMany = { kind: "x", list: new Array(FRAME_ITEMS_MAX).fill(0) };
  expect(faultOf(() => encodeFrame([tooMany], PLAIN))).toBe("too_large");
});

test("encodeFrame() refuses what is not plain and names the message", () => {
  const cycle: { kind: string; self?: unknown } = { kind: "loop" };
  cycle.self = cycle;
  const wrong: unknown[] = [
    new Date(0),
    new Map([[1, 2]]),
    2n ** 70n,
    () => 1,
    Symbol("s"),
    new Float64Array(2),
  ];
  for (const value of wrong) {
    const message = { kind: "odd", value } as { kind: string };
    expect(faultOf(() => encodeFrame([message], PLAIN))).toBe("forbidden");
  }
  expect(() => encodeFrame([cycle], PLAIN)).toThrow('Cannot write message "loop" as a frame');
  // A failure leaves the encoder in order.
  expect(decodeFrame(encodeFrame([{ kind: "y" }], PLAIN)[0]!)).toEqual([{ kind: "y" }]);
});

test("scanCbor() refuses bytes behind the value, and more items than allowed", () => {
  const options = { depth: 0, itemsMax: 7, rewriteIntegers: false };
  expect(faultOf(() => scanCbor(fromHex("a26161016162820203"), options))).toBe("none");
  expect(faultOf(() => scanCbor(fromHex("a26161016162820203 00"), options))).toBe("malformed");
  expect(faultOf(() => scanCbor(fromHex("a2616101616283020304"), options))).toBe("too_large");
});
