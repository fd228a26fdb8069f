import { expect, test } from "bun:test";

import type { CacheName } from "../../shared/ids.ts";
import { matchedValidator, validatorOf } from "../../shared/validator.ts";

const known = { name: "f" as CacheName, generation: 2, digest: "abc", isDirectory: false };
const unknown = { ...known, digest: "" };

test("validatorOf() names contents by their digest, else by name and generation", () => {
  expect(validatorOf(known)).toBe('"abc"');
  expect(validatorOf(unknown)).toBe('"f/2"');
  expect(validatorOf({ ...known, isDirectory: true })).toBe('"abc"');
  expect(validatorOf({ ...unknown, isDirectory: true })).toBe("");
});

test("matchedValidator() lets who began without a digest go on where it is known", () => {
  expect(matchedValidator('"f/2"', known)).toBe('"f/2"');
  expect(matchedValidator('"abc"', known)).toBe('"abc"');
  expect(matchedValidator('"x", "abc"', known)).toBe('"abc"');
  expect(matchedValidator("*", known)).toBe('"abc"');
});

test("matchedValidator() takes no other making, digest or name", () => {
  for (const other of ['"f/1"', '"g/2"', '"abd"', 'W/"abc"', '""', "abc"]) {
    expect(matchedValidator(other, known)).toBeUndefined();
  }
  expect(matchedValidator('"abc"', unknown)).toBeUndefined();
  expect(matchedValidator('"f/2"', { ...known, isDirectory: true })).toBeUndefined();
});
