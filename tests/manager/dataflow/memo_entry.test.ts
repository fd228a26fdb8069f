import { Encoder } from "cbor-x";
import { expect, test } from "bun:test";

import { decodeEntry, encodeEntry } from "../../../manager/dataflow/memo_entry.ts";
import { CBOR_OPTIONS } from "../../../shared/codec.ts";
import { newRandom, nextRandomBelow } from "../../../shared/random.ts";
import { entryOf, keyOf } from "./memo_entries.ts";

const cbor = new Encoder(CBOR_OPTIONS);

/** The items of an entry with one of them in the place of another. */
function changed(index: number, item: unknown): Uint8Array {
  const items = cbor.decode(encodeEntry(entryOf(1))) as unknown[];
  items[index] = item;
  return cbor.encode(items);
}

test("decodeEntry() takes no entry of another version or shape", () => {
  expect(decodeEntry(keyOf(1), changed(9, "f(1)"))).toEqual(entryOf(1, { call: "f(1)" }));
  const place = { kind: "path", path: "/a", digest: "", sizeBytes: 1 };
  expect(decodeEntry(keyOf(1), changed(6, place))?.stdout).toEqual(place as never);
  const file = { name: "x", digest: "", size: 1, isDirectory: false, isExecutable: false };
  const others: readonly (readonly [number, unknown])[] = [
    [0, 2],
    [1, 7],
    [2, -1],
    [2, 1e16],
    [3, "1"],
    [4, { kind: "bytes", bytes: "text" }],
    [4, { kind: "bytes", bytes: new Uint8Array(1024 * 1024 + 1) }],
    [4, { kind: "kept", file: { ...file, size: -1 } }],
    [4, { kind: "other" }],
    [4, null],
    [5, {}],
    [5, [["a"]]],
    [5, [["a", { ...place, kind: "ftp" }]]],
    [5, [[1, place]]],
    [6, { ...place, digest: "AB" }],
    [7, { kind: "kept", file: { ...file, isDirectory: 1 } }],
    [8, new Uint8Array(31)],
    [9, null],
  ];
  for (const [index, item] of others) {
    expect([index, item, decodeEntry(keyOf(1), changed(index, item))]).toEqual([
      index,
      item,
      undefined,
    ]);
  }
  for (const bytes of [new Uint8Array(0), cbor.encode({}), cbor.encode([1]), cbor.encode(null)]) {
    expect(decodeEntry(keyOf(1), bytes)).toBeUndefined();
  }
});

test("decodeEntry() lives with whatever bytes there are", () => {
  const whole = encodeEntry(entryOf(1, { dependsOn: [keyOf(2)], call: "f(1)" }));
  const random = newRandom(3);
  for (let round = 0; round < 2_000; round++) {
    const bytes = Uint8Array.from(whole);
    for (let count = nextRandomBelow(random, 4); count >= 0; count--) {
      bytes[nextRandomBelow(random, bytes.length)] = nextRandomBelow(random, 256);
    }
    const entry = decodeEntry(keyOf(1), bytes.subarray(0, nextRandomBelow(random, 400)));
    if (entry !== undefined) expect(encodeEntry(entry).length).toBeGreaterThan(0);
  }
});
