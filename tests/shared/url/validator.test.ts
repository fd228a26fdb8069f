import { expect, test } from "bun:test";

import {
  agrees,
  canName,
  isSameRepresentation,
  rangeValidatorOf,
  shownValidator,
  validatorOf,
} from "../../../shared/url/validator.ts";

const MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT";
const LATER = "Wed, 01 Jan 2020 00:00:01 GMT";

function of(headers: Record<string, string>): Headers {
  return new Headers(headers);
}

const STRONG = of({ "ETag": '"a b"'.replace(" ", "-"), "Last-Modified": MODIFIED, "Date": LATER });
const WEAK = of({ "ETag": 'W/"a"', "Content-Length": "7", "Last-Modified": MODIFIED });
const DATED = of({ "Last-Modified": MODIFIED, "Date": LATER, "Content-Length": "7" });
const FRESH = of({ "Last-Modified": MODIFIED, "Date": MODIFIED, "Content-Length": "7" });

test("validatorOf() takes a strong ETag alone, and anything else along with the length", () => {
  expect(validatorOf(STRONG)).toBe('"a-b"');
  expect(validatorOf(WEAK)).toBe('W/"a"\n2020-01-01T00:00:00.000Z\n7');
  expect(validatorOf(DATED)).toBe("\n2020-01-01T00:00:00.000Z\n7");
  expect(validatorOf(DATED, 9)).toBe("\n2020-01-01T00:00:00.000Z\n9");
  expect(validatorOf(of({ "Content-Length": "7" }))).toBe("");
});

test("validatorOf() takes no ETag that is none", () => {
  for (const tag of ["abc", '""', '"a"b"', "W/abc", `"${"x".repeat(2_000)}"`]) {
    expect(validatorOf(of({ ETag: tag }))).toBe("");
  }
});

test("canName() trusts a time only of a document that is older than its answer", () => {
  expect([STRONG, WEAK, DATED, FRESH].map(canName)).toEqual([true, true, true, false]);
  expect(canName(of({ "Last-Modified": MODIFIED }))).toBe(false);
});

test("agrees() puts up with a length that only one answer tells", () => {
  const named = validatorOf(DATED);
  expect(agrees(named, validatorOf(FRESH))).toBe(true);
  expect(agrees(named, validatorOf(of({ "Last-Modified": MODIFIED })))).toBe(true);
  expect(agrees(named, validatorOf(DATED, 8))).toBe(false);
  expect(agrees(named, validatorOf(of({ "Last-Modified": LATER, "Content-Length": "7" })))).toBe(
    false,
  );
  expect(agrees('"a"', '"b"')).toBe(false);
  expect(agrees('"a"', named)).toBe(false);
  expect(agrees(validatorOf(WEAK), "")).toBe(false);
});

test("rangeValidatorOf() joins bytes by what is strong only", () => {
  expect([STRONG, WEAK, DATED, FRESH].map(rangeValidatorOf)).toEqual(['"a-b"', "", MODIFIED, ""]);
});

test("isSameRepresentation() refuses a part of another document", () => {
  expect(isSameRepresentation('"a"', of({ ETag: '"a"' }))).toBe(true);
  expect(isSameRepresentation('"a"', of({ ETag: '"b"' }))).toBe(false);
  expect(isSameRepresentation('"a"', of({ ETag: 'W/"a"' }))).toBe(false);
  expect(isSameRepresentation('"a"', of({}))).toBe(false);
  expect(isSameRepresentation(MODIFIED, of({}))).toBe(true);
  expect(isSameRepresentation(MODIFIED, of({ "Last-Modified": LATER }))).toBe(false);
  expect(isSameRepresentation("", of({}))).toBe(false);
});

test("shownValidator() is for people", () => {
  expect(shownValidator("")).toBe("nothing");
  expect(shownValidator('"a"')).toBe('"a"');
  expect(shownValidator(validatorOf(WEAK))).toBe('W/"a", 2020-01-01T00:00:00.000Z, 7 bytes');
});
