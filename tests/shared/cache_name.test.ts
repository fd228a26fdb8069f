import { expect, test } from "bun:test";

import {
  CACHE_NAME_LENGTH_MAX,
  checkCacheName,
  checkMountName,
  directoryContentName,
  fileContentName,
  localName,
  miniTaskName,
  tempName,
  urlName,
} from "../../shared/cache_name.ts";

const DIGEST = "0123456789abcdef".repeat(4);

test("checkCacheName() takes plain names and refuses all that could be another path", () => {
  const good = ["temp-ab12-7", "a", "_x", "-", "a.b-c_D", "x".repeat(CACHE_NAME_LENGTH_MAX)];
  for (const name of good) expect<string>(checkCacheName(name)).toBe(name);
  const bad = [
    "",
    ".",
    "..",
    ".hidden",
    "a/b",
    "/a",
    "a\\b",
    "a b",
    "a\0",
    "a\n",
    "é",
    "%2e%2e",
    "x".repeat(CACHE_NAME_LENGTH_MAX + 1),
  ];
  for (const name of bad) expect(() => checkCacheName(name)).toThrow(RangeError);
});

test("checkCacheName() shows the name in its refusal, cut and escaped", () => {
  expect(() => checkCacheName("../../etc/passwd\n")).toThrow(
    'name "../../etc/passwd\\n" as a cache',
  );
  try {
    checkCacheName("y".repeat(10_000));
  } catch (error) {
    expect((error as Error).message.length).toBeLessThan(400);
  }
});

test("names are of the forms that DESIGN gives", () => {
  expect<string>(fileContentName(DIGEST)).toBe(`file-sha256-${DIGEST}`);
  expect<string>(directoryContentName(DIGEST)).toBe(`dir1-sha256-${DIGEST}`);
  expect<string>(tempName("w1a2", 12)).toBe("temp-w1a2-12");
  expect(urlName("https://host/a", '"etag"')).toMatch(/^url-[0-9a-f]{64}$/);
  expect(miniTaskName("unpack", [tempName("w", 1)])).toMatch(/^mini-[0-9a-f]{64}$/);
  for (const bad of ["", DIGEST.toUpperCase(), `${DIGEST}0`, "../x"]) {
    expect(() => fileContentName(bad)).toThrow("not 64 hex digits");
    expect(() => directoryContentName(bad)).toThrow("not 64 hex digits");
  }
  expect(() => tempName("../x", 1)).toThrow(RangeError);
});

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
  expect(urlName("a", "bc")).not.toBe(urlName("ab", "c"));
  const [one, two] = [tempName("w", 1), tempName("w", 2)];
  expect(miniTaskName("x", [one, two])).not.toBe(miniTaskName("x", [two, one]));
});

test("checkMountName() takes relative paths in normal form only", () => {
  for (const name of ["a", "a/b.txt", "ünï cödé", "..a", "a/...", "x".repeat(255), ".hidden"]) {
    expect(checkMountName(name)).toBe(name);
  }
  const bad: [string, string][] = [
    ["", "it is empty"],
    ["/etc/passwd", "it is absolute"],
    ["a/../b", 'it has a ".." part'],
    ["..", 'it has a ".." part'],
    ["./a", 'it has a "." part'],
    ["a//b", "it has an empty part"],
    ["a/", "it has an empty part"],
    ["a\0b", "it has a NUL character"],
    ["\ud800", "not UTF-8"],
    ["x".repeat(256), "longer than 255 bytes"],
    ["é".repeat(128), "longer than 255 bytes"],
    [`${"x".repeat(200)}/`.repeat(6) + "y", "longer than 1024 bytes"],
    ["d/".repeat(32) + "f", "deeper than 32 parts"],
    [".tendril", "reserved"],
    [".tendril-stdout/x", "reserved"],
  ];
  for (const [name, says] of bad) expect(() => checkMountName(name)).toThrow(says);
});
