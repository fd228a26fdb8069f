import { expect, test } from "bun:test";

import { tempName } from "../../shared/cache_name.ts";
import { localName, miniTaskName, urlName } from "../../shared/hashed_name.ts";

test("localName() differs with path, size, time and inode, and with nothing else", () => {
  const identity = { path: "/data/a", sizeBytes: 1, mtimeMs: 2, inode: 3 };
  const names = [
    identity,
    { ...identity, path: "/data/b" },
    { ...identity, sizeBytes: 2 },
    { ...identity, mtimeMs: 2.5 },
    { ...identity, inode: 4n },
  ].map(localName);
  expect(new Set(names).size).toBe(5);
  expect(localName({ ...identity, inode: 3n })).toBe(names[0] ?? localName(identity));
  expect(names[0]).toMatch(/^local-[0-9a-f]{64}$/);
});

test("urlName() and miniTaskName() keep their parts apart", () => {
  expect(urlName("https://host/a", '"etag"')).toMatch(/^url-[0-9a-f]{64}$/);
  expect(miniTaskName("unpack", [])).toMatch(/^mini-[0-9a-f]{64}$/);
  expect(urlName("a", "bc")).not.toBe(urlName("ab", "c"));
  const [one, two] = [tempName("w", 1), tempName("w", 2)];
  expect(miniTaskName("x", [one, two])).not.toBe(miniTaskName("x", [two, one]));
});
