import { expect, test } from "bun:test";

import type { CacheName } from "../../shared/ids.ts";
import { keptFileOf, readFind, readKeep, readKeptFile } from "../../manager/kept_file.ts";

const DIGEST = "0123456789abcdef".repeat(4);
const FILE = {
  name: `file-sha256-${DIGEST}`,
  digest: DIGEST,
  size: 7,
  isDirectory: false,
  isExecutable: false,
};
const TREE = { ...FILE, name: `dir1-sha256-${DIGEST}`, isDirectory: true };
const PROGRAM = { ...FILE, name: `${FILE.name}-x`, isExecutable: true };

test("keptFileOf() and readKeptFile() agree on files, programs and directories", () => {
  for (const kept of [FILE, TREE, PROGRAM]) {
    const { name, sizeBytes, ...bound } = readKeptFile(JSON.parse(JSON.stringify(kept)));
    expect([String(name), sizeBytes]).toEqual([kept.name, 7]);
    // The digest of a stream, which a directory is checked by, is not the one that names it.
    expect(bound.digest).toBe(kept.isDirectory ? "" : DIGEST);
    const digest = kept.isDirectory ? "of the stream" : DIGEST;
    expect(keptFileOf({ ...bound, name, sizeBytes, generation: 0, digest })).toEqual(kept);
  }
  const facts = { name: FILE.name as CacheName, generation: 0, sizeBytes: 7, digest: DIGEST };
  expect(keptFileOf({ ...facts, isDirectory: false })).toEqual(FILE);
});

test("readKeptFile() refuses what cannot be what keep gave", () => {
  for (
    const [wrong, why] of [
      [undefined, "as an object"],
      ["file", "as an object"],
      [{ ...FILE, path: "/etc" }, 'Cannot take "path" as an option of a kept file'],
      [{ ...FILE, digest: undefined }, "found name, size, isDirectory, isExecutable"],
      [{}, "found none"],
      [{ ...FILE, digest: DIGEST.toUpperCase() }, "not 64 hex digits"],
      [{ ...FILE, digest: "../../etc/passwd" }, "not 64 hex digits"],
      [{ ...FILE, digest: "f".repeat(64) }, "as that of its contents: expected file-sha256-ffff"],
      [{ ...FILE, name: "temp-1-2" }, `Cannot take name "temp-1-2" of a kept file`],
      [{ ...FILE, isExecutable: true }, `expected file-sha256-${DIGEST}-x`],
      [{ ...FILE, isDirectory: true }, `expected dir1-sha256-${DIGEST}`],
      [{ ...TREE, isExecutable: true }, "it is no file"],
      [{ ...FILE, size: -1 }, "size of a kept file"],
      [{ ...FILE, size: 2 ** 60 }, "size of a kept file"],
      [{ ...FILE, size: "7" }, "size of a kept file"],
      [{ ...FILE, isDirectory: "no" }, "isDirectory of a kept file"],
    ] as const
  ) {
    expect(() => readKeptFile(wrong)).toThrow(why);
  }
});

test("readKeep() and readFind() have defaults, and refuse what they do not know", () => {
  expect([readKeep({}), readKeep({ level: "forever" })]).toEqual(["worker", "forever"]);
  expect([readFind({}), readFind({ timeout: "2s" })]).toEqual([10_000, 2_000]);
  expect(() => readKeep({ level: "workflow" as never })).toThrow('"worker" or "forever"');
  expect(() => readFind({ wait: 1 } as never)).toThrow('Cannot take "wait" as an option');
});
