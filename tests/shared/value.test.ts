import { inspect } from "node:util";

import { Decoder, Encoder } from "cbor-x";
import { expect, test } from "bun:test";

import { NdArray, type NdData, Pickle } from "../../shared/nd_array.ts";
import { newRandom, nextRandomBelow } from "../../shared/random.ts";
import {
  closeGaps,
  decodeArguments,
  decodeValue,
  encodeArguments,
  encodeValue,
  encodeValueFile,
} from "../../shared/value.ts";

const NO_REFERENCES = { onFile: () => undefined, onHandle: () => undefined };
const NO_FILES = { fileAt: () => "", readFile: () => new Uint8Array(0) };

class Stored {
  readonly cacheName: string;
  constructor(cacheName: string) {
    this.cacheName = cacheName;
  }
}

class Pending {
  readonly id = 1;
}

const REFERENCES = {
  onFile: (value: object) => value instanceof Stored ? value : undefined,
  onHandle: (value: object) => value instanceof Pending ? value : undefined,
};

const VALUES: readonly unknown[] = [
  null,
  undefined,
  true,
  false,
  [0, 23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER],
  [-1, -24, -25, -256, -257, -(2 ** 32), -(2 ** 32) - 1, Number.MIN_SAFE_INTEGER],
  [2 ** 53, -(2 ** 53), 1e300, 0.1, 5e-324, NaN, Infinity, -Infinity, -0],
  [0n, 1n, -1n, 255n, 256n, 2n ** 64n, -(2n ** 64n), 2n ** 1000n, -(2n ** 53n)],
  ["", "abc", "é", "日本語", "🌱", "x".repeat(47) + "é", "y".repeat(100_000), "\u0000", "\ufeffa"],
  [[], [[]], {}, { a: { b: [{ c: null }] } }, { "": 1, "a b": 2 }],
  [new Date(0), new Date(1_700_000_000_123), new Date(-1), new Date(8.64e15)],
  new Map<unknown, unknown>([["a", 1], [2, "b"], [new Map([[1, 2]]), new Set([3])]]),
  new Set([1, "1", new Uint8Array([1])]),
  [new Uint8Array([1, 2, 3]), new Uint8Array(70_000).fill(7)],
  [new Int8Array([-1]), new Uint8ClampedArray([255]), new Int16Array([-2]), new Uint16Array([9])],
  [
    new Int32Array([-3]),
    new Uint32Array([4]),
    new Float32Array([0.5]),
    new Float64Array([NaN, -0]),
  ],
  [new BigInt64Array([-5n]), new BigUint64Array([5n]), new Float16Array([1.5])],
  [new Float64Array(0), new Float64Array([1, 2, 3]).subarray(1)],
  new NdArray([2, 3], new Float32Array([1, 2, 3, 4, 5, 6])),
  [
    new NdArray([], new BigInt64Array([-7n])),
    new NdArray([4], new Uint8Array([1, 2, 3, 4])),
    { empty: new NdArray([3, 0, 2], new Float64Array(0)) },
    new NdArray([2, 1, 2], [true, false, false, true]),
  ],
  new Map([["model", [new Pickle(new Uint8Array([128, 4, 46])), new Pickle(new Uint8Array(0))]]]),
];

for (const value of VALUES) {
  test(`decodeValue() returns what encodeValue() was given: ${nameOf(value)}`, () => {
    expect(decodeValue(encodeValue(value))).toStrictEqual(value as never);
  });
}

test("encodeValue() keeps an invalid date invalid", () => {
  expect((decodeValue(encodeValue(new Date(NaN))) as Date).getTime()).toBeNaN();
});

test("encodeValue() tells a bigint from a number and -0 from 0", () => {
  expect(decodeValue(encodeValue(5n))).toBe(5n as never);
  expect(Object.is(decodeValue(encodeValue(-0)), -0)).toBe(true);
});

test("encodeValue() writes a Buffer and a part of an array as the bytes they show", () => {
  expect(decodeValue(encodeValue(Buffer.from("abc").subarray(1)))).toEqual(
    new Uint8Array([98, 99]),
  );
});

test("encodeValue() writes CBOR that cbor-x reads", () => {
  const value = {
    a: [1, -1, 0.5, "é", null, true],
    b: new Date(1500),
    c: new Set([1]),
    d: 2 ** 31,
  };
  const options = { mapsAsObjects: true, useRecords: false, int64AsType: "number" } as const;
  expect(new Decoder(options).decode(encodeValue(value))).toEqual(value);
});

test("decodeValue() reads CBOR that cbor-x writes", () => {
  const value = {
    a: [1, -1, 0.5, "é", null, true, undefined],
    big: 2n ** 63n,
    when: new Date(1500),
  };
  const encoder = new Encoder({ useRecords: false, tagUint8Array: false });
  expect(decodeValue(encoder.encode(value))).toEqual(value);
});

test("decodeValue() reads other widths, dates as text, and maps whose keys are not text", () => {
  expect(decodeValue(bytesOf("1bffffffffffffffff"))).toBe((2n ** 64n - 1n) as never);
  expect(decodeValue(bytesOf("3bffffffffffffffff"))).toBe((-(2n ** 64n)) as never);
  expect(decodeValue(bytesOf("fa3fc00000"))).toBe(1.5);
  expect(decodeValue(bytesOf("f93e00"))).toBe(1.5);
  expect(decodeValue(bytesOf("c074323030302d30312d30315430303a30303a30305a"))).toEqual(
    new Date("2000-01-01T00:00:00Z"),
  );
  expect(decodeValue(bytesOf("a2616101020b"))).toEqual(
    new Map<unknown, unknown>([["a", 1], [2, 11]]),
  );
});

test("encodeValue() refuses what is no value, with its path", () => {
  const cycle: unknown[] = [];
  cycle.push([cycle]);
  const refused: [unknown, string][] = [
    [[{ a: [0, 1, () => 1] }], 'Cannot send "arguments[0].a[2]" as a value: a function'],
    [[Symbol("s")], 'Cannot send "arguments[0]" as a value: a symbol'],
    [[new Stored("x")], 'Cannot send "arguments[0]" as a value: an instance of Stored'],
    [[new Error("x")], 'Cannot send "arguments[0]" as a value: an instance of Error'],
    [[new ArrayBuffer(1)], 'Cannot send "arguments[0]" as a value: an instance of ArrayBuffer'],
    [[new DataView(new ArrayBuffer(1))], "an instance of DataView"],
    [[Promise.resolve()], "an instance of Promise"],
    [[new (class extends Map {})()], "an instance of an unnamed class"],
    [[cycle], 'Cannot send "arguments[0][0][0]" as a value: an object that contains itself'],
    [[{
      get x() {
        return 1;
      },
    }], 'Cannot send "arguments[0].x" as a value: an accessor'],
    [
      [{ [Symbol("s")]: 1 }],
      'Cannot send "arguments[0]" as a value: an object with a symbol as a key',
    ],
    [
      [{ "a b": [new Map([[1, () => 1]])] }],
      'Cannot send "arguments[0]["a b"][0]<value 0>" as a value',
    ],
    [[new Set([() => 1])], 'Cannot send "arguments[0]<item 0>" as a value'],
    [["\ud800"], "text with half of a surrogate pair"],
    [["\ud800".repeat(200)], "text with half of a surrogate pair"],
    [[2n ** 200_000n], "a bigint of 25001 bytes"],
  ];
  for (const [value, message] of refused) {
    expect(() => encodeValue(value, { root: "arguments" })).toThrow(message);
    expect(() => encodeValue(value, { root: "arguments" })).toThrow(TypeError);
  }
});

test("encodeValue() takes an object reached twice, and goes on after a refusal", () => {
  const shared = { a: 1 };
  expect(() => encodeValue([() => 1])).toThrow();
  expect(decodeValue(encodeValue([shared, shared]))).toEqual([{ a: 1 }, { a: 1 }]);
});

test("encodeValue() stops at its limits of size and depth", () => {
  expect(() => encodeValue(new Uint8Array(2000), { bytesMax: 1000 })).toThrow(
    'Cannot send "value" as a value: more than 1000 bytes',
  );
  expect(() => encodeValue(Array(1e6).fill("0123456789"), { bytesMax: 1000 })).toThrow(RangeError);
  let deep: unknown = 0;
  for (let depth = 0; depth < 128; depth++) deep = [deep];
  expect(decodeValue(encodeValue(deep))).toEqual(deep as never);
  expect(() => encodeValue([deep])).toThrow("something more than 128 objects deep");
});

test("encodeValue() may be called while it runs", () => {
  let inner: unknown;
  const onFile = () => {
    inner = decodeValue(encodeValue({ inner: true }));
    return undefined;
  };
  const { gaps } = encodeArguments([1, new Pending()], { ...REFERENCES, onFile });
  expect([inner, gaps.length]).toEqual([{ inner: true }, 1]);
});

test("decodeValue() copies what it takes out of a Buffer", () => {
  const value = { bytes: Uint8Array.of(1, 2), doubles: Float64Array.of(0.5) };
  const source = Buffer.from(encodeValue(value));
  const decoded = decodeValue(source);
  source.fill(0);
  expect(decoded).toEqual(value);
});

test("decodeValue() makes __proto__ a property of the object alone", () => {
  const value = decodeValue(encodeValue(JSON.parse('{"__proto__": {"polluted": true}}'))) as object;
  expect(Object.hasOwn(value, "__proto__")).toBe(true);
  expect("polluted" in {}).toBe(false);
  expect("polluted" in value).toBe(false);
});

test("decodeValue() refuses bytes that are no value", () => {
  const refused: [string, string][] = [
    ["", "the end of the bytes"],
    ["0000", "1 bytes after it"],
    ["18", "0 bytes where 1 were announced"],
    ["5a7fffffff00", "1 bytes where 2147483647 were announced"],
    ["9affffffff00", "1 bytes where 4294967295 elements were announced"],
    ["ba7fffffff00", "elements were announced"],
    ["d90103ba7fffffff00", "elements were announced"],
    ["5bffffffffffffffff", "a length of 18446744073709551615"],
    ["9f00ff", "an indefinite length"],
    ["1c", "a head of kind 28"],
    ["61ff", "text that is not UTF-8"],
    ["d81c00", "the unknown tag 28"],
    ["d81d00", "the unknown tag 29"],
    ["e1", "the unknown simple value 1"],
    ["e0", "a handle whose value is not there"],
    ["da54454e4600", "a reference to a file"],
    ["d856440000", "4 were announced"],
    ["d8564100", "a typed array of 1 bytes"],
    ["d85600", "tag 86 before the wrong kind of value"],
    ["c161" + "61", "a date that is no number"],
    ["c1".repeat(100_000), "a date that is no number"],
    ["81".repeat(100_000), "more than 128 values inside each other"],
    ["c2594001" + "ff".repeat(0x4001), "a bigint of 16385 bytes"],
    ["d8288202d8484101", "tag 40 before the wrong kind of value"],
    ["d82883810141004100", "an array of several dimensions of 3 parts"],
    ["d828828102d8484101", "a shape of 2 items and 1 of them"],
    ["d8288280d848420102", "a shape of 1 items and 2 of them"],
    ["d82882821bffffffffffffffff0141ff", "a length of 18446744073709551615"],
    ["d82882821b001fffffffffffff1b001fffffffffffff41ff", "items and 1 of them"],
    ["d828829841" + "01".repeat(65) + "4101", "65 dimensions"],
    ["d82882812041ff", "tag 40 before the wrong kind of value"],
    ["d8288281018101", "an item that is neither true nor false"],
    ["d82882811a7fffffff9a7ffffffff5", "elements were announced"],
    ["d828828101c101", "tag 1 before the items of an array"],
    ["d828828101d8288281014101", "tag 40 before the items of an array"],
    ["d828828101a0", "something else than the items of an array"],
    ["d828828101", "something else than the items of an array"],
    ["d828", "tag 40 before the wrong kind of value"],
    ["da54454e5001", "tag 1413828176 before the wrong kind of value"],
    ["da54454e5045ff", "1 bytes where 5 were announced"],
  ];
  for (const [hex, message] of refused) {
    expect(() => decodeValue(bytesOf(hex))).toThrow(message);
    expect(() => decodeValue(bytesOf(hex))).toThrow(TypeError);
  }
});

test("decodeValue() answers 20,000 mutated values with a value or a TypeError", () => {
  const random = newRandom(7);
  const samples = VALUES.map((value) => encodeValue(value).subarray(0, 300));
  for (let round = 0; round < 20_000; round++) {
    const bytes = samples[nextRandomBelow(random, samples.length)]!.slice();
    const changes = nextRandomBelow(random, 4);
    for (let change = 0; change <= changes && bytes.length > 0; change++) {
      bytes[nextRandomBelow(random, bytes.length)] = nextRandomBelow(random, 256);
    }
    try {
      decodeValue(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
    }
  }
});

test("encodeValue() writes arrays of several dimensions as RFC 8746 has them", () => {
  const hex = (value: unknown) => encodeValue(value).toHex();
  expect(hex(new NdArray([2, 1], new Uint8Array([7, 8])))).toBe("d82882820201d840420708");
  expect(hex(new NdArray([1, 2], new Int16Array([1, 2])))).toBe("d82882820102d84d4401000200");
  expect(hex(new NdArray([2], [true, false]))).toBe("d82882810282f5f4");
  expect(hex(new Pickle(new Uint8Array([1])))).toBe("da54454e504101");
  // Mere bytes count as well.
  expect(decodeValue(bytesOf("d828828102420708"))).toStrictEqual(
    new NdArray([2], new Uint8Array([7, 8])) as never,
  );
});

test("NdArray refuses a shape that its data has not, and Pickle what is no bytes", () => {
  const data = new Float64Array(6);
  const make = (shape: unknown, items: unknown = data) => () =>
    new NdArray(shape as number[], items as NdData);
  expect(new NdArray([2, 3], data).data).toBe(data as never);
  expect(make([2, 2])).toThrow("Cannot make an NdArray: a shape of 4 items and 6 of them");
  expect(make([-2, -3])).toThrow('"-2" is no number of items in a dimension');
  expect(make([1.5, 4])).toThrow('"1.5" is no number of items in a dimension');
  expect(make("23")).toThrow("expected a shape of at most 64 dimensions");
  expect(make(new Array(65).fill(1), new Int8Array(1))).toThrow("at most 64 dimensions");
  expect(make(new Array(64).fill(2 ** 53 - 1))).toThrow("a shape of Infinity items and 6 of them");
  expect(make([1], [1])).toThrow("expected a typed array, or an array of booleans");
  expect(make([1], new DataView(new ArrayBuffer(1)))).toThrow(TypeError);
  expect(() => new Pickle("x" as never)).toThrow("expected a Uint8Array");
  const shape = [6];
  const array = new NdArray(shape, data);
  shape[0] = 7;
  expect(array.shape).toEqual([6]);
});

test("encodeArguments() numbers each file once and decodeArguments() gives its path", () => {
  const [a, b] = [new Stored("a"), new Stored("b")];
  const encoded = encodeArguments([a, { inner: [b, a] }, 3], REFERENCES);
  expect(encoded.files).toEqual([a, b]);
  const paths = encoded.files.map((file) => `/cache/${file.cacheName}`);
  const fileAt = (index: number) => paths[index]!;
  expect(decodeArguments(encoded.bytes, { ...NO_FILES, fileAt })).toEqual([
    "/cache/a",
    { inner: ["/cache/b", "/cache/a"] },
    3,
  ]);
});

test("closeGaps() puts results in the place of handles", () => {
  const encoded = encodeArguments(
    [new Pending(), "x", [new Pending()], new Stored("f")],
    REFERENCES,
  );
  expect(() => decodeArguments(encoded.bytes, NO_FILES)).toThrow(
    "a handle whose value is not there",
  );
  const values = [encodeValue({ accuracy: 0.9 }), encodeValueFile(1)];
  const closed = closeGaps(encoded, values);
  const files = new Map([[1, encodeValue("from a file")]]);
  const args = decodeArguments(closed, {
    fileAt: (index) => `/path/${index}`,
    readFile: (index) => files.get(index)!,
  });
  expect(args).toEqual([{ accuracy: 0.9 }, "x", ["from a file"], "/path/0"]);
});

test("decodeArguments() reads arguments that are in a file, with their references", () => {
  const { bytes } = encodeArguments([new Stored("f"), 1], REFERENCES);
  const options = { fileAt: (index: number) => `/path/${index}`, readFile: () => bytes };
  expect(decodeArguments(encodeValueFile(1), options)).toEqual(["/path/0", 1]);
});

test("decodeArguments() ends at a file that refers to itself, and refuses other values", () => {
  const loop = encodeValueFile(0);
  expect(() => decodeArguments(loop, { ...NO_FILES, readFile: () => loop })).toThrow(
    "a reference to a file",
  );
  expect(() => decodeArguments(encodeValue({}), NO_FILES)).toThrow(
    "Cannot read arguments as an array: object",
  );
  expect(decodeArguments(encodeArguments([], NO_REFERENCES).bytes, NO_FILES)).toEqual([]);
});

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex);
}

function nameOf(value: unknown): string {
  return inspect(value).replaceAll(/\s+/g, " ").slice(0, 40);
}
