import { expect, test } from "bun:test";

import type { Reference } from "../../../shared/canonical_cbor.ts";
import { encodeValue } from "../../../shared/value.ts";
import {
  memoKey,
  type MemoKeyer,
  type MemoParts,
  ownMemoKey,
} from "../../../manager/dataflow/memo_key.ts";

const [ONE, TWO] = ["11".repeat(32), "22".repeat(32)];

const file = (sha256: string, content = "file"): Reference => ({
  kind: "content",
  content,
  sha256,
});

const PARTS: MemoParts = {
  app: "align",
  code: { kind: "javascript", name: "align", sha256: ONE, context: { k: 1 } },
  args: [1, { b: [2], a: "x" }],
  inputs: { reads: file(ONE) },
  outputs: { sam: "out.sam" },
  environment: [file(ONE, "directory"), file(TWO, "directory")],
  env: { LANG: "C" },
  options: { timeout: 1, shell: "/bin/sh" },
};

/** Every way in which a call may differ, but for its arguments. */
const OTHERS: readonly Partial<MemoParts>[] = [
  { code: { kind: "javascript", name: "align", sha256: TWO, context: { k: 1 } } },
  { code: { kind: "javascript", name: "other", sha256: ONE, context: { k: 1 } } },
  { code: { kind: "python", name: "align", sha256: ONE, context: { k: 1 } } },
  { code: { kind: "javascript", name: "align", sha256: ONE, context: { k: 2 } } },
  { code: { kind: "javascript", name: "align", sha256: ONE } },
  { code: { kind: "command", command: "align" } },
  { code: { kind: "command", command: "align -v" } },
  { inputs: { reads: file(TWO) } },
  { inputs: { reads: file(ONE, "executable") } },
  { inputs: { others: file(ONE) } },
  { inputs: {} },
  { outputs: { sam: "out.bam" } },
  { outputs: { bam: "out.sam" } },
  { environment: [file(TWO, "directory"), file(ONE, "directory")] },
  { environment: [] },
  { env: { LANG: "en" } },
  { env: {} },
  { options: { timeout: 2, shell: "/bin/sh" } },
  { options: {} },
];

/** What every keyer does: run on each. */
function testKeyer(name: string, keyer: MemoKeyer): void {
  test(`${name} gives 64 hexadecimal digits, the same for what is the same`, async () => {
    const key = await keyer(PARTS);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await keyer(structuredClone(PARTS))).toBe(key);
    const reordered = { ...PARTS, args: [1, { a: "x", b: [2] }], app: "other name" };
    expect(await keyer(reordered)).toBe(key);
  });

  test(`${name} gives another key to whatever differs but for the arguments`, async () => {
    const keys = await Promise.all([{}, ...OTHERS].map((other) => keyer({ ...PARTS, ...other })));
    expect(new Set(keys).size).toBe(OTHERS.length + 1);
  });

  test(`${name} leaves ignored options out`, async () => {
    const ignore = ["timeout", "env", "inputs", "outputs", "environment"];
    const key = await keyer({ ...PARTS, ignore });
    const other = { env: {}, inputs: {}, outputs: {}, environment: [] };
    expect(await keyer({ ...PARTS, ...other, options: { shell: "/bin/sh" }, ignore })).toBe(key);
    expect(await keyer({ ...PARTS, options: { timeout: 1 }, ignore })).not.toBe(key);
  });

  test(`${name} says what cannot be keyed`, async () => {
    await expect(keyer({ ...PARTS, options: { a: [() => 1] } })).rejects.toThrow(
      'Cannot key "options.a[0]" as a value: a function',
    );
  });
}

testKeyer("memoKey()", memoKey);
testKeyer("ownMemoKey()", ownMemoKey(({ args }) => `first: ${args[0]}`));

test("memoKey() is the same from run to run, and from version to version", async () => {
  expect(await memoKey(PARTS)).toBe(
    "9fd53407057f9601e7a25e0137d01b5663b4b8cfd23ccf249f3c06d12c6badcf",
  );
});

test("memoKey() takes earlier results by their contents, files by theirs", async () => {
  const [future, upload] = [new (class {})(), new (class {})()];
  const keyWith = (...references: [object, Reference][]) =>
    memoKey({ ...PARTS, args: [future, [upload]], references: new Map(references) });
  const direct = await memoKey({
    ...PARTS,
    args: [{ a: 1, b: 2 }, [upload]],
    references: new Map([[upload, file(ONE)]]),
  });
  const bytes = encodeValue({ b: 2, a: 1 });
  expect(await keyWith([future, { kind: "encoded", bytes }], [upload, file(ONE)])).toBe(direct);
  const value = { b: 2, a: 1 };
  expect(await keyWith([future, { kind: "value", value }], [upload, file(ONE)])).toBe(direct);
  expect(await keyWith([future, { kind: "value", value }], [upload, file(TWO)])).not.toBe(direct);
  expect(await keyWith([future, file(ONE, "value")], [upload, file(ONE)])).not.toBe(direct);
  await expect(keyWith([future, { kind: "value", value }])).rejects.toThrow(
    'Cannot key "arguments[0][1][0]" as a value',
  );
});

test("memoKey() leaves ignored arguments out, wherever they are", async () => {
  const keyOf = (args: unknown[], ignore: number[] = []) => memoKey({ ...PARTS, args, ignore });
  const key = await keyOf([1, "log", 2], [1]);
  expect(await keyOf([1, () => 1, 2], [1])).toBe(key);
  expect(await keyOf([1, "log", 3], [1])).not.toBe(key);
  expect(await keyOf([1, undefined, 2])).not.toBe(key);
  expect(await keyOf([1, 2], [2])).toBe(await keyOf([1, 2, "log"], [2]));
  expect(await keyOf([1, 2], [2])).toBe(await keyOf([1, 2]));
  expect(await keyOf([1], [])).not.toBe(await keyOf([1, undefined]));
});

test("ownMemoKey() has text stand for the arguments, and remembers nothing without", async () => {
  const keyer = ownMemoKey(({ args }) => args[0] === 1 ? "one" : undefined);
  const key = await keyer(PARTS);
  expect(await keyer({ ...PARTS, args: [1, () => "whatever"] })).toBe(key);
  expect(await keyer({ ...PARTS, args: [2] })).toBeUndefined();
  expect(await ownMemoKey(() => Promise.resolve("one"))(PARTS)).toBe(key);
  expect(await memoKey({ ...PARTS, args: ["one"] })).not.toBe(key);
  expect(await memoKey({ ...PARTS, args: [["one"]] })).not.toBe(key);
  await expect(ownMemoKey(() => 7 as never)(PARTS)).rejects.toThrow(
    'the key function of app "align" returned as a key: expected text or undefined, found a number',
  );
});
