import { isDeepStrictEqual } from "node:util";

import { Decoder } from "cbor-x";
import { expect, test } from "bun:test";

import { canonicalBytes } from "../../shared/canonical_cbor.ts";
import { NdArray, Pickle } from "../../shared/nd_array.ts";
import { newRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import { decodeValue, encodeValue } from "../../shared/value.ts";

const hexOf = (value: unknown) => canonicalBytes(value).toHex();

/** RFC 8949, appendix A: those of values that there are here, and that are canonical. */
const VECTORS: readonly (readonly [value: unknown, hex: string])[] = [
  [0, "00"],
  [1, "01"],
  [10, "0a"],
  [23, "17"],
  [24, "1818"],
  [25, "1819"],
  [100, "1864"],
  [1000, "1903e8"],
  [1000000, "1a000f4240"],
  [1000000000000, "1b000000e8d4a51000"],
  [18446744073709551616n, "c249010000000000000000"],
  [-18446744073709551617n, "c349010000000000000000"],
  [-1, "20"],
  [-10, "29"],
  [-100, "3863"],
  [-1000, "3903e7"],
  [-0, "f98000"],
  [1.1, "fb3ff199999999999a"],
  [1.5, "f93e00"],
  [3.4028234663852886e+38, "fa7f7fffff"],
  [1.0e+300, "fb7e37e43c8800759c"],
  [5.960464477539063e-8, "f90001"],
  [0.00006103515625, "f90400"],
  [-4.1, "fbc010666666666666"],
  [Infinity, "f97c00"],
  [NaN, "f97e00"],
  [-Infinity, "f9fc00"],
  [false, "f4"],
  [true, "f5"],
  [null, "f6"],
  [undefined, "f7"],
  [new Date(1363896240_000), "c11a514b67b0"],
  [new Date(1363896240_500), "c1fb41d452d9ec200000"],
  [new Uint8Array(0), "40"],
  [new Uint8Array([1, 2, 3, 4]), "4401020304"],
  ["", "60"],
  ["a", "6161"],
  ["IETF", "6449455446"],
  ['"\\', "62225c"],
  ["\u00fc", "62c3bc"],
  ["\u6c34", "63e6b0b4"],
  ["\ud800\udd51", "64f0908591"],
  [[], "80"],
  [[1, 2, 3], "83010203"],
  [[1, [2, 3], [4, 5]], "8301820203820405"],
  [
    Array.from({ length: 25 }, (_, index) => index + 1),
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
  ],
  [{}, "a0"],
  [{ a: 1, b: [2, 3] }, "a26161016162820203"],
  [["a", { b: "c" }], "826161a161626163"],
  [
    { a: "A", b: "B", c: "C", d: "D", e: "E" },
    "a56161614161626142616361436164614461656145",
  ],
];

for (const [value, hex] of VECTORS) {
  test(`canonicalBytes() gives the bytes of RFC 8949, appendix A: ${hex}`, () => {
    expect(hexOf(value)).toBe(hex);
  });
}

test("canonicalBytes() sorts keys by their bytes, as in RFC 8949, section 4.2.1", () => {
  const map = new Map<unknown, unknown>([
    [false, 8],
    ["aa", 6],
    [[-1], 7],
    ["z", 5],
    [-1, 4],
    [100, 3],
    [10, 2],
    [[100], 9],
  ]);
  // The example of the RFC, with tag 259 for a Map.
  expect(hexOf(map)).toBe("d90103a80a0218640320" + "04617a05626161068118640981" + "2007f408");
  expect(hexOf({ bb: 1, c: 2, "é": 3, aaa: 4 })).toBe(
    hexOf({ aaa: 4, "é": 3, c: 2, bb: 1 }),
  );
});

test("canonicalBytes() takes the shortest float that loses nothing", () => {
  const sizes: readonly (readonly [number, number])[] = [
    [0.5, 3],
    [65504.5, 5],
    [2 ** 53, 5],
    [-(2 ** 60), 5],
    [2 ** 53 + 2, 9],
    [2 ** -24, 3],
    [2 ** -25, 5],
    [2 ** -149, 5],
    [2 ** -150, 9],
    [5e-324, 9],
    [0.1, 9],
    [Math.fround(0.1), 5],
    [1e20, 9],
  ];
  for (const [value, size] of sizes) {
    const bytes = canonicalBytes(value);
    expect([value, bytes.length]).toEqual([value, size]);
    expect(new Decoder().decode(bytes)).toBe(value);
  }
});

test("canonicalBytes() gives different values different bytes", () => {
  const values: readonly unknown[] = [
    ...[0, -0, 0n, "0", false, null, undefined, NaN, "NaN", new Date(0), [0], [], {}, ""],
    ...[new Map(), new Set(), new Map([["a", 1]]), { a: 1 }, new Set(["a", 1]), ["a", 1]],
    ...[new Set(["a"]), new Set(["a", ["a"]]), new Set([{}, {}]), new Set([{}])],
    ...[new Uint8Array(2), new Int8Array(2), new Uint16Array(1), new Float16Array(1)],
    ...[new NdArray([2], new Uint8Array(2)), new NdArray([1, 2], new Uint8Array(2))],
    ...[new Pickle(new Uint8Array(2)), [undefined], [undefined, undefined], { a: undefined }],
    ...[new Date(1), new Date(2), new Date(NaN), new Date(8.64e15), new Date(8.64e15 - 1)],
    ...[1n, -1n, 2n ** 64n, 2 ** 64, { ["__proto__"]: 1 }, { a: [] }, { a: {} }],
  ];
  const found = new Map(values.map((value) => [hexOf(value), value]));
  expect(found.size).toBe(values.length);
  expect(hexOf(new Float64Array([1, 2]).subarray(1))).toBe(hexOf(new Float64Array([2])));
  expect(hexOf([, 1])).toBe(hexOf([undefined, 1]));
});

/** A value of any kind, with what its order is made by apart. */
function randomValue(random: RandomState, depth: number): unknown {
  const below = (limit: number) => nextRandomBelow(random, limit);
  const many = <T>(make: () => T) => Array.from({ length: below(4) }, make);
  const inner = () => randomValue(random, depth + 1);
  switch (below(depth > 3 ? 7 : 12)) {
    case 0:
      return below(3) - 1;
    case 1:
      return [0.5, -0, NaN, 0.1, 2 ** 53, 1e300][below(6)];
    case 2:
      return ["", "a", "b", "ab", "é"][below(5)];
    case 3:
      return [true, false, null, undefined][below(4)];
    case 4:
      return BigInt(below(3));
    case 5:
      return new Date(below(3));
    case 6:
      return new Uint8Array(many(() => below(2)));
    case 7:
      return many(inner);
    case 8:
    case 9:
      return Object.fromEntries(many(() => [["a", "b", "cc", "d"][below(4)], inner()]));
    case 10:
      return new Map(many(() => [["a", 1, false][below(3)], inner()] as const));
    default:
      return new Set(many(() => ["a", 1, true, 1n][below(4)]));
  }
}

/** The same value, with everything that has an order filled the other way round. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (value instanceof Map) {
    return new Map([...value].reverse().map(([key, item]) => [key, turned(item)]));
  }
  if (value instanceof Set) return new Set([...value].reverse());
  if (typeof value !== "object" || value === null) return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return structuredClone(value);
  return Object.fromEntries(
    Object.entries(value).reverse().map(([key, item]) => [key, turned(item)]),
  );
}

test("canonicalBytes() are equal where values are equal by structure, and nowhere else", () => {
  const random = newRandom(8);
  const values = Array.from({ length: 400 }, () => randomValue(random, 0));
  const bytes = values.map(hexOf);
  let equalCount = 0;
  for (const [index, value] of values.entries()) {
    expect(hexOf(turned(value))).toBe(bytes[index]!);
    expect(hexOf(decodeValue(encodeValue(value)))).toBe(bytes[index]!);
    for (let other = 0; other < index; other++) {
      const isEqual = isDeepStrictEqual(value, values[other]);
      if (isEqual) equalCount += 1;
      if (isEqual !== (bytes[index] === bytes[other])) {
        expect([value, values[other], isEqual]).toEqual([value, values[other], !isEqual]);
      }
    }
  }
  expect(equalCount).toBeGreaterThan(100);
});

test("canonicalBytes() are read by another library, and by decodeValue()", () => {
  const random = newRandom(9);
  const decoder = new Decoder({ mapsAsObjects: true, useRecords: false });
  for (let round = 0; round < 500; round++) {
    const value = randomValue(random, 0);
    const bytes = canonicalBytes(value);
    expect(isDeepStrictEqual(decodeValue(bytes), value)).toBe(true);
    decoder.decode(bytes);
  }
  const plain = { list: [1, -0.5, "é", null, true, 1e300], inner: { b: 2, a: [] } };
  expect(decoder.decode(canonicalBytes(plain))).toEqual(plain);
});

class Stored {
  readonly sha256: string;
  constructor(sha256: string) {
    this.sha256 = sha256;
  }
}

test("canonicalBytes() puts what a reference says in the place of an object", () => {
  const sha256 = "ab".repeat(32);
  const stored = new Stored(sha256);
  const referenceOf = (object: object) =>
    object === stored ? { kind: "content", content: "file", sha256 } as const : undefined;
  const bytes = canonicalBytes([stored], { referenceOf });
  expect(bytes.toHex()).toBe(`81da54454e4382${"6466696c65"}5820${sha256}`);
  const value = { b: new Set([2, 1]), a: 0.5 };
  for (
    const reference of [
      { kind: "value", value },
      { kind: "encoded", bytes: encodeValue(value) },
    ] as const
  ) {
    const found = canonicalBytes([stored, 1], { referenceOf: () => reference });
    expect(found.toHex()).toBe(hexOf([value, 1]));
  }
});

test("canonicalBytes() names what it cannot take, and where", () => {
  const cycle: unknown[] = [];
  cycle.push([cycle]);
  const refused: readonly (readonly [unknown, string])[] = [
    [() => 1, 'Cannot key "value" as a value: a function'],
    [{ a: [Symbol("x")] }, 'Cannot key "value.a[0]" as a value: a symbol'],
    [{ a: { b: Promise.resolve() } }, 'Cannot key "value.a.b" as a value: an instance of Promise'],
    [new Map([["k", new Stored("")]]), '"value<value 0>" as a value: an instance of Stored'],
    [new Set([1, new WeakMap()]), '"value<item 1>" as a value: an instance of WeakMap'],
    [cycle, '"value[0][0]" as a value: an object that contains itself'],
    [new (class extends Map {})(), '"value" as a value: an instance of an unnamed class'],
    [{ [Symbol("x")]: 1 }, '"value" as a value: an object with a symbol as a key'],
    [
      Object.defineProperty({}, "a", { get: () => 1, enumerable: true }),
      '"value.a" as a value: an',
    ],
    [["\ud800"], '"value[0]" as a value: text with half of a surrogate pair'],
    [new ArrayBuffer(1), "an instance of ArrayBuffer"],
    [/x/, "an instance of RegExp"],
    [new Error("x"), "an instance of Error"],
  ];
  for (const [value, message] of refused) {
    expect(() => canonicalBytes(value)).toThrow(message);
    expect(() => canonicalBytes(value)).toThrow(TypeError);
  }
  const large = new Uint8Array(100);
  expect(() => canonicalBytes(large, { bytesMax: 99, root: "arguments" })).toThrow(
    'Cannot key "arguments" as a value: more than 99 bytes',
  );
});
