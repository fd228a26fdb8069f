import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { NdArray, Pickle } from "../../../shared/nd_array.ts";
import { decodeValue, encodeArguments, encodeValue } from "../../../shared/value.ts";
import { PythonHost, thrownOf, valueOf } from "./python_host.ts";

/** The system's Python may have numpy where the one on the PATH has none. */
const SYSTEM_PYTHON = "/usr/bin/python3";

const HAS_NUMPY: boolean = spawnSync(SYSTEM_PYTHON, ["-c", "import numpy"]).status === 0;

if (!HAS_NUMPY) {
  process.stdout.write("note: the system's Python has no numpy: not tested with it\n");
}

const SOURCE = `
import array, collections, datetime, enum, tendril

class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return self.x == other.x

class Unpicklable:
    def __reduce__(self): raise OSError("glued")

Pair = collections.namedtuple("Pair", "a b")
Color = enum.IntEnum("Color", "RED")

def echo(value): return value
def kinds(*values): return [type(value).__name__ for value in values]
def show(*values): return [repr(value) for value in values]
def make(text): return eval(text)
def make_cycle():
    items = {"a": [1, {}]}
    items["a"][1]["b"] = items
    return items
def make_deep(depth):
    items = []
    for _ in range(depth - 1): items = [items]
    return items
def x_of(point): return point.x
`;

const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  23,
  24,
  255,
  256,
  65535,
  65536,
  2 ** 32 - 1,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  -1,
  -24,
  -25,
  -257,
  -65537,
  -(2 ** 32) - 1,
  -Number.MAX_SAFE_INTEGER,
  0.5,
  -1e300,
  5e-324,
  2 ** 53 + 2,
  -0,
  NaN,
  Infinity,
  -Infinity,
  2n ** 64n,
  -(2n ** 64n) - 1n,
  2n ** 2000n,
  "",
  "short",
  "é😀\u0000",
  "x".repeat(300),
  "é".repeat(40_000),
  [],
  [1, [2, [3, []]]],
  Array.from({ length: 300 }, (_, index) => index),
  {},
  { a: 1, "b c": { d: ["e"] }, __proto__: null },
  new Map<unknown, unknown>([[1, "a"], ["b", 2]]),
  new Map([[[1, [2]], "list as a key"]]),
  new Set([1, 2]),
  new Set(),
  new Date(1_700_000_000_123),
  new Date(-1_000),
  new Uint8Array([0, 255]),
  new Uint8Array(70_000).fill(7),
];

/** Each with a value that is not there in the others. */
const TYPED_ARRAYS: readonly ArrayBufferView[] = [
  Int8Array.of(-128, 127),
  Uint16Array.of(1, 65535),
  Int16Array.of(-32768, 2),
  Uint32Array.of(2 ** 32 - 1),
  Int32Array.of(-(2 ** 31)),
  BigUint64Array.of(2n ** 64n - 1n),
  BigInt64Array.of(-(2n ** 63n)),
  Float32Array.of(0.5, 2),
  Float64Array.of(0.1, -0),
  new Float64Array(0),
];

test("the Python host reads and writes each value as the bytes that TypeScript has for it", async () => {
  await using host = await PythonHost.start(SOURCE);
  for (const value of VALUES) {
    const result = await host.call("echo", [value]);
    expect(valueOf(result)).toEqual(value);
    // Whole numbers beyond 2^53 - 1 that TypeScript sends as floats stay floats.
    expect(Buffer.from(result.content).toString("hex")).toBe(
      Buffer.from(encodeValue(value)).toString("hex"),
    );
  }
  const all = valueOf(await host.call("echo", [VALUES.slice(0, 34)]));
  expect(all).toEqual(VALUES.slice(0, 34));
});

test("the Python host gives functions values of Python's own types", async () => {
  await using host = await PythonHost.start(SOURCE);
  const values = [
    undefined,
    true,
    1,
    10n,
    0.5,
    "a",
    new Uint8Array(1),
    [],
    {},
    new Map([[1, 2]]),
    new Set([1]),
    new Date(0),
  ];
  const names = ["NoneType", "bool", "int", "int", "float", "str", "bytes", "list", "dict"];
  expect(await host.value("kinds", ...values)).toEqual([...names, "dict", "set", "datetime"]);
  expect(await host.value("show", 10n, new Set([[1]]), new Date(1500), { a: new Map([[1, 2]]) }))
    .toEqual([
      "10",
      "{(1,)}",
      "datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)",
      "{'a': {1: 2}}",
    ]);
});

test("the Python host writes what is like a value as that", async () => {
  await using host = await PythonHost.start(SOURCE);
  const made: readonly (readonly [string, unknown])[] = [
    ["(1, 2)", [1, 2]],
    ["Pair(1, 2)", [1, 2]],
    ["collections.OrderedDict(a=1)", { a: 1 }],
    ["{'a': 1, 2: 3}", new Map<unknown, unknown>([["a", 1], [2, 3]])],
    ["frozenset([1])", new Set([1])],
    ["Color.RED", 1],
    ["bytearray(b'ab')", new Uint8Array([97, 98])],
    ["3.0", 3],
    ["0.0", 0],
    ["10**20", 10n ** 20n],
    ["array.array('h', [1, -1])", Int16Array.of(1, -1)],
    ["array.array('d', [0.5])", Float64Array.of(0.5)],
    ["array.array('B', [5])", Uint8Array.of(5)],
    [
      "datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))",
      new Date("2020-01-01T10:00:00Z"),
    ],
    ["datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc)", new Date("0001-01-01T00:00:00Z")],
  ];
  for (const [text, value] of made) expect(await host.value("make", text)).toEqual(value);
});

test("the Python host refuses what cannot travel with its path", async () => {
  await using host = await PythonHost.start(SOURCE);
  const made: readonly (readonly [string, string, string])[] = [
    ["{'rows': [1, {'f': len}]}", "result.rows[1].f", "a function"],
    ["{'rows': (lambda: 1,)}", "result.rows[0]", "a function"],
    ["Point(1)", "result", "an instance of Point"],
    ["[Point]", "result[0]", "a class"],
    ["{'a b': {1: object()}}", 'result["a b"]<value 0>', "an instance of object"],
    ["{(1, Pair): 2}", "result<key 0>[1]", "a class"],
    ["{len}", "result<item 0>", "a function"],
    ["[1, 2, (i for i in [])]", "result[2]", "a generator, which can be sent as a list of what"],
    ["datetime.datetime(2020, 1, 1)", "result", "a datetime without a time zone"],
    ["datetime.date(2020, 1, 1)", "result", "an instance of datetime.date"],
    ["1j", "result", "an instance of complex"],
    ["['\\ud800']", "result[0]", "text with half of a surrogate pair"],
    ["1 << 8 * 16 * 1024", "result", "an integer of 16385 bytes"],
    ["array.array('u', 'a')", "result", "an array of characters"],
  ];
  for (const [text, path, found] of made) {
    const { name, message, stack } = await host.thrown("make", text);
    expect(message).toStartWith(`Cannot send "${path}" as a value: ${found}`);
    expect([name, stack]).toEqual(["TypeError", `TypeError: ${message}`]);
  }
  expect((await host.thrown("make_cycle")).message).toBe(
    'Cannot send "result.a[1].b" as a value: an object that contains itself',
  );
  expect((await host.thrown("make_deep", 129)).message).toMatch(
    /^Cannot send "result(\[0\])+…" as a value: something more than 128 objects deep$/,
  );
  expect(await host.value("make_deep", 128)).toBeArray();
  expect((await host.thrown("make", "bytes(1024 * 1024 * 1024 + 1)")).message).toBe(
    'Cannot send "result" as a value: more than 1073741824 bytes',
  );
});

test("the Python host refuses bytes that are no arguments, and serves on", async () => {
  await using host = await PythonHost.start(SOURCE);
  const hostile: readonly (readonly [string, string])[] = [
    ["", "the end of the bytes"],
    ["8101ff", "1 bytes after it"],
    ["9f", "an indefinite length"],
    ["9c", "a head of kind 28"],
    ["81", "0 bytes where 1 elements were announced"],
    ["819a7fffffff", "0 bytes where 2147483647 elements were announced"],
    ["819bffffffffffffffff", "0 bytes where 18446744073709551615 elements"],
    ["81ba7fffffff6161", "2 bytes where 2147483647 elements were announced"],
    ["815b7fffffffffffffff00", "1 bytes where 9223372036854775807 were announced"],
    ["81626161ff", "1 bytes after it"],
    ["816261", "1 bytes where 2 were announced"],
    ["8119ff", "the end of the bytes"],
    ["81fb00", "the end of the bytes"],
    ["8162c328", "text that is not UTF-8"],
    ["8163eda080", "text that is not UTF-8"],
    ["81e0", "a handle whose value is not there"],
    ["81f800", "the unknown simple value 24"],
    ["81c5820101", "the unknown tag 5"],
    ["81c11bffffffffffffffff", "a date that is out of the range of Python"],
    ["81c1c100", "a date that is no number"],
    ["81c1f97e00", "a date that is no number"],
    ["81c06161", "a date that is none"],
    ["81c201", "tag 2 before the wrong kind of value"],
    ["81c2594001" + "00".repeat(16385), "an integer of 16385 bytes"],
    ["81d9010281a0", "an instance of dict as a key or in a set"],
    ["81d9010300", "tag 259 before the wrong kind of value"],
    ["81d84d43000000", "a typed array of 3 bytes"],
    ["81da54454e4661", "tag 1413828166 before the wrong kind of value"],
    [`${"81".repeat(130)}01`, "more than 128 values inside each other"],
    ["a0", "Cannot read arguments as an array: an instance of dict"],
    ["81da54454e4607", 'Cannot find file "7" as an argument: 0 came'],
    ["81da54454e504100", "Cannot read a pickled value: "],
  ];
  for (const [hex, found] of hostile) {
    const bytes = Uint8Array.fromHex(hex);
    const { message } = thrownOf(await host.call("echo", [], { arguments: bytes }));
    expect(message).toContain(found);
  }
  expect(await host.value("echo", 1)).toBe(1);
});

test("the Python host gives files as paths, and reads values that are kept in files", async () => {
  await using host = await PythonHost.start(SOURCE);
  const paths = ["a é", "b", "c"].map((name) => join(host.directory, name));
  const inFile = (index: number) => [0xda, 0x54, 0x45, 0x4e, 0x56, index];
  const file = (index: number) => [0xda, 0x54, 0x45, 0x4e, 0x46, index];
  writeFileSync(paths[1]!, new Uint8Array([0x81, 0x82, ...file(0), ...inFile(2)]));
  writeFileSync(paths[2]!, encodeValue({ inner: 1 }));
  const args = { arguments: new Uint8Array(inFile(1)), files: paths };
  expect(valueOf(await host.call("echo", [], args))).toEqual([paths[0], { inner: 1 }]);
  writeFileSync(paths[2]!, new Uint8Array(inFile(2)));
  expect(thrownOf(await host.call("echo", [], args)).message).toContain("a reference to a file");
});

test("the Python host sends as pickle what is marked, and with --pickle what is no value", async () => {
  await using host = await PythonHost.start({ source: SOURCE, isPickling: true });
  const pickled = async (text: string) => (await host.call("make", [text])).content;
  // [1, Point(2)]: the point alone is a pickle.
  const bytes = await pickled("[1, Point(2)]");
  expect(Buffer.from(bytes.subarray(0, 8)).toString("hex")).toBe("8201da54454e5058");
  // What the manager passes on unread is the value again where it is an argument.
  const args = new Uint8Array([0x81, ...bytes.subarray(2)]);
  expect(valueOf(await host.call("x_of", [], { arguments: args }))).toBe(2);
  const read = valueOf(await host.call("make", ["{'kept': Point(2)}"])) as { kept: Pickle };
  expect(read.kept).toBeInstanceOf(Pickle);
  expect(await host.value("x_of", read.kept)).toBe(2);
  const marked = await pickled("tendril.pickled((1, 2))");
  const echoed = await host.call("show", [], { arguments: new Uint8Array([0x81, ...marked]) });
  expect(valueOf(echoed)).toEqual(["(1, 2)"]);
  expect((await host.thrown("make", "[Unpicklable()]")).message).toBe(
    'Cannot send "result[0]" as a value: an instance of Unpicklable that pickle refuses: glued',
  );
});

test("the Python host has arrays of the array module for typed arrays without numpy", async () => {
  // An isolated Python sees no packages that were added to it.
  await using host = await PythonHost.start({ source: SOURCE, flags: ["-S", "-E"] });
  for (const value of TYPED_ARRAYS) expect(await host.value("echo", value)).toEqual(value);
  expect(await host.value("echo", Uint8ClampedArray.of(1, 2))).toEqual(Uint8Array.of(1, 2));
  expect(await host.value("echo", Float16Array.of(0.5, 2))).toEqual(Float32Array.of(0.5, 2));
  expect(await host.value("kinds", Int16Array.of(1))).toEqual(["array"]);
});

test.if(HAS_NUMPY)("the Python host has arrays of numpy for typed arrays", async () => {
  const source = `${SOURCE}
def mean(values):
    import numpy
    assert type(values) is numpy.ndarray
    values += 1
    return values.mean()
def numpy_of(text):
    import numpy
    return eval(text, {"numpy": numpy, "np": numpy})
`;
  await using host = await PythonHost.start({ source, python: SYSTEM_PYTHON });
  for (const value of TYPED_ARRAYS) expect(await host.value("echo", value)).toEqual(value);
  const halves = Float16Array.of(0.5, 2);
  expect(await host.value("echo", halves)).toEqual(halves);
  expect(await host.value("mean", Float64Array.of(1, 2))).toBe(2.5);
  const made: readonly (readonly [string, unknown])[] = [
    ["np.float64(0.5)", 0.5],
    ["{'n': [np.int32(7), np.bool_(True), np.float32(0.5)]}", { n: [7, true, 0.5] }],
    ["np.array(3)", 3],
    ["np.array([True, False])", [true, false]],
    ["np.arange(6, dtype='i4')[::2]", Int32Array.of(0, 2, 4)],
    ["np.array([1.5], dtype='>f8')", Float64Array.of(1.5)],
    ["np.array([1, 2], dtype='u1')", Uint8Array.of(1, 2)],
    ["np.str_('a')", "a"],
  ];
  for (const [text, value] of made) expect(await host.value("numpy_of", text)).toEqual(value);
  const refused: readonly (readonly [string, string])[] = [
    ["np.array([1j])", "an array of complex128"],
    ["np.array([object()])", "an array of object"],
    ["np.array(['2020-01-01'], dtype='M8[D]')", "an array of datetime64[D]"],
    ["np.datetime64('2020-01-01T00:00:00.000000000')", "an instance of numpy.datetime64"],
    ["np.ma.array([1], mask=[1])", "an instance of numpy.ma.core.MaskedArray"],
  ];
  for (const [text, found] of refused) {
    expect((await host.thrown("numpy_of", text)).message).toContain(found);
  }
  const turned = new NdArray([3, 2], Uint16Array.of(0, 3, 1, 4, 2, 5));
  expect(await host.value("numpy_of", "np.arange(6, dtype='u2').reshape(2, 3).T")).toEqual(turned);
  const arrays = [
    turned,
    new NdArray([1, 2, 1], Uint8Array.of(5, 6)),
    new NdArray([0, 3], new Float64Array(0)),
    new NdArray([2, 1], [true, false]),
  ];
  for (const value of arrays) expect(await host.value("echo", value)).toEqual(value);
  expect(await host.value("echo", new NdArray([], Float64Array.of(7)))).toBe(7);
  const short = { arguments: Uint8Array.fromHex("81d82882820204d8454c000003000100040002000500") };
  expect(thrownOf(await host.call("echo", [], short)).message).toContain("6 elements for the");
});

test("the Python host agrees with TypeScript on which bytes are values", async () => {
  await using host = await PythonHost.start(SOURCE);
  // A linear congruential generator of Numerical Recipes: the same bytes each time.
  let state = 1;
  const random = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
  const { bytes } = encodeArguments([VALUES.slice(0, 30), { a: new Set([1]), b: [new Date(5)] }], {
    onFile: () => undefined,
    onHandle: () => undefined,
  });
  let refusedCount = 0;
  for (let round = 0; round < 300; round++) {
    const mutated = bytes.slice(0, bytes.length - random(3));
    for (let count = random(3); count >= 0; count--) mutated[random(mutated.length)] = random(256);
    const { status } = await host.call("kinds", [], { arguments: mutated });
    let isValue = true;
    try {
      isValue = Array.isArray(decodeValue(mutated));
    } catch {
      isValue = false;
    }
    if (!isValue) refusedCount++;
    expect([mutated.toHex(), status]).toEqual([mutated.toHex(), isValue ? "ok" : "error"]);
  }
  expect(refusedCount).toBeGreaterThan(100);
});
