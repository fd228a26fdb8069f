import { expect, test } from "bun:test";

import {
  CACHE_NAME_LENGTH_MAX,
  checkCacheName,
  directoryContentName,
  directoryDigestIn,
  fileContentName,
  tempName,
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
  expect<string>(fileContentName(DIGEST, { isExecutable: true })).toBe(`file-sha256-${DIGEST}-x`);
  expect(directoryDigestIn(`dir1-sha256-${DIGEST}`)).toBe(DIGEST);
  expect(directoryDigestIn(`file-sha256-${DIGEST}`)).toBe(undefined);
  expect<string>(directoryContentName(DIGEST)).toBe(`dir1-sha256-${DIGEST}`);
  expect<string>(tempName("w1a2", 12)).toBe("temp-w1a2-12");
  for (const bad of ["", DIGEST.toUpperCase(), `${DIGEST}0`, "../x"]) {
    expect(() => fileContentName(bad)).toThrow("not 64 hex digits");
    expect(() => directoryContentName(bad)).toThrow("not 64 hex digits");
  }
  expect(() => tempName("../x", 1)).toThrow(RangeError);
});
