/** What every memo store does: run on each implementation. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { MEMO_VALUE_BYTES_MAX } from "../../../manager/dataflow/memo_entry.ts";
import type { MemoEntry, MemoFilter, MemoStore } from "../../../manager/dataflow/memo_store.ts";
import type { KeptFile } from "../../../manager/kept_file.ts";
import { encodeValue } from "../../../shared/value.ts";
import { entryOf, keyOf } from "./memo_entries.ts";

const DIGEST = "ab".repeat(32);

const KEPT: KeptFile = {
  name: `temp-${DIGEST}`,
  digest: DIGEST,
  size: 2 ** 40,
  isDirectory: false,
  isExecutable: true,
};

/** An entry with everything in it. */
const WHOLE: MemoEntry = entryOf(7, {
  app: "größe",
  value: { kind: "kept", file: { ...KEPT, isDirectory: true } },
  outputs: {
    sam: { kind: "kept", file: KEPT },
    plot: { kind: "path", path: "/home/me/plot.svg", digest: DIGEST, sizeBytes: 0 },
    ["__proto__"]: { kind: "url", url: "https://host/x", digest: "", sizeBytes: 12, version: "1" },
  },
  stdout: { kind: "path", path: "/tmp/out", digest: DIGEST, sizeBytes: 3 },
  stderr: { kind: "kept", file: KEPT },
  dependsOn: [keyOf(1), keyOf(2)],
  call: 'align("a.fq")',
});

/** A store that a test has made in a folder of its own. */
export type OpenStore = (folder: string) => Promise<MemoStore>;

/** Declares the tests of one implementation. */
export function testMemoStore(name: string, open: OpenStore): void {
  let folder = "";
  let count = 0;
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "tendril-memo-"))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const newStore = () => open(join(folder, String(count += 1)));

  test(`${name}.get() gives what put() was given, and undefined for the rest`, async () => {
    await using store = await newStore();
    const small = entryOf(1);
    expect(await store.get([keyOf(1)])).toEqual([undefined]);
    await Promise.all([store.put(small), store.put(WHOLE)]);
    const [absent, whole, again] = await store.get([keyOf(3), WHOLE.key, small.key]);
    expect([absent, whole, again]).toEqual([undefined, WHOLE, small]);
    expect(Object.keys(whole?.outputs ?? {})).toEqual(["sam", "plot", "__proto__"]);
    expect(await store.get([])).toEqual([]);
    expect(store.damagedCount).toBe(0);
  });

  test(`${name}.put() takes the place of an older entry`, async () => {
    await using store = await newStore();
    await store.putAll([entryOf(1), entryOf(2)]);
    await store.put(entryOf(1, { app: "newer" }));
    expect((await store.get([keyOf(1)]))[0]?.app).toBe("newer");
    expect(await listed(store)).toEqual([keyOf(2), keyOf(1)]);
  });

  test(`${name}.put() keeps an entry as it was then`, async () => {
    await using store = await newStore();
    const bytes = encodeValue("first");
    await store.put(entryOf(1, { value: { kind: "bytes", bytes } }));
    bytes.fill(0);
    expect((await store.get([keyOf(1)]))[0]?.value).toEqual({
      kind: "bytes",
      bytes: encodeValue("first"),
    });
  });

  test(`${name}.put() takes a value up to its limit, and refuses what it could not give`, async () => {
    await using store = await newStore();
    const valueOf = (size: number) => ({ kind: "bytes", bytes: new Uint8Array(size) }) as const;
    const large = entryOf(1, { value: valueOf(MEMO_VALUE_BYTES_MAX) });
    await store.put(large);
    expect(await store.get([large.key])).toEqual([large]);
    const refused: [Partial<MemoEntry>, string][] = [
      [{ value: valueOf(MEMO_VALUE_BYTES_MAX + 1) }, "a value of 1048577 bytes"],
      [{ key: "../x" }, 'Cannot take "../x" as a memo key'],
      [{ dependsOn: ["x"] }, 'Cannot take "x" as a memo key'],
      [{ madeAtMs: NaN }, "not of an entry's shape"],
      [{ stdout: { ...WHOLE.stdout!, digest: "no" } as never }, "not of an entry's shape"],
    ];
    for (const [stated, message] of refused) {
      await expect(store.put(entryOf(2, stated))).rejects.toThrow(message);
    }
    expect(await listed(store)).toEqual([large.key]);
    await expect(store.get(["x"])).rejects.toThrow('Cannot take "x" as a memo key');
  });

  test(`${name}.put() cuts the text of a long call`, async () => {
    await using store = await newStore();
    await store.put(entryOf(1, { call: "x".repeat(499) + "🌱🌱" }));
    expect((await store.get([keyOf(1)]))[0]?.call).toBe("x".repeat(499) + "\ufffd");
  });

  test(`${name}.list() gives what fits in the order in which it was put`, async () => {
    await using store = await newStore();
    const all = Array.from({ length: 5_000 }, (_, number) => {
      return entryOf(number, { app: number % 2 === 0 ? "even" : "odd", madeAtMs: number });
    });
    await store.putAll(all);
    await store.put(WHOLE);
    expect((await listed(store)).length).toBe(5_000);
    expect(await listed(store, { app: "odd", madeBeforeMs: 6 })).toEqual([1, 3, 5].map(keyOf));
    expect(await listed(store, { key: keyOf(4) })).toEqual([keyOf(4)]);
    expect(await listed(store, { key: keyOf(4), app: "odd" })).toEqual([]);
    for await (const summary of store.list({ app: WHOLE.app })) {
      expect(summary).toEqual({
        key: WHOLE.key,
        app: "größe",
        madeAtMs: 1_007,
        ranMs: 2.5,
        valueKind: "kept",
        sizeBytes: 2 ** 40,
        outputCount: 3,
        call: 'align("a.fq")',
      });
    }
  });

  test(`${name}.forget() removes what fits, says how many, and wants to be told`, async () => {
    await using store = await newStore();
    const all = Array.from({ length: 5_000 }, (_, number) => {
      return entryOf(number, { app: number < 10 ? "few" : "many", madeAtMs: number });
    });
    await store.putAll(all);
    await expect(store.forget({})).rejects.toThrow("Cannot forget without knowing what");
    expect(await store.forget({ key: keyOf(0) })).toBe(1);
    expect(await store.forget({ key: keyOf(0) })).toBe(0);
    expect(await store.forget({ app: "many", madeBeforeMs: 4_990 })).toBe(4_980);
    expect(await store.get([keyOf(4_989), keyOf(4_990)])).toEqual([undefined, all[4_990]]);
    expect(await store.forget({ app: "few" })).toBe(9);
    expect(await store.forget("all")).toBe(10);
    expect(await listed(store)).toEqual([]);
    await store.put(entryOf(1));
    expect(await listed(store)).toEqual([keyOf(1)]);
  });

  test(`${name}.forget() also forgets what was put just before`, async () => {
    await using store = await newStore();
    const put = store.put(entryOf(1));
    expect(await store.forget("all")).toBe(1);
    await put;
    expect(await store.get([keyOf(1)])).toEqual([undefined]);
  });

  test(`${name}.recallDigests() gives the digest of a file that is still the same`, async () => {
    await using store = await newStore();
    const file = { path: "/data/a", stamp: "1", digest: DIGEST };
    await store.rememberDigests([file, { path: "/data/b", stamp: "1", digest: keyOf(1) }]);
    await store.rememberDigests([{ path: "/data/b", stamp: "2", digest: keyOf(2) }]);
    const asked = [file, { path: "/data/b", stamp: "1" }, { path: "/data/b", stamp: "2" }];
    const other = { path: "/data/c", stamp: "1" };
    expect(await store.recallDigests([...asked, other])).toEqual([
      DIGEST,
      undefined,
      keyOf(2),
      undefined,
    ]);
    await store.forget("all");
    expect(await store.recallDigests([file])).toEqual([undefined]);
  });

  test(`${name}.flush() ends with everything put, and close() refuses what comes later`, async () => {
    const store = await newStore();
    const puts = [1, 2, 3].map((number) => store.put(entryOf(number)));
    await store.flush();
    expect((await store.get([1, 2, 3].map(keyOf))).map((entry) => entry?.key)).toEqual(
      [1, 2, 3].map(keyOf),
    );
    await Promise.all(puts);
    await store.close();
    await store.close();
    await expect(store.get([keyOf(1)])).rejects.toThrow("it is closed");
    await expect(store.put(entryOf(1))).rejects.toThrow("it is closed");
  });
}

/** Keys in the order of a list. */
export async function listed(store: MemoStore, filter?: MemoFilter): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(filter)) keys.push(key);
  return keys;
}
