import { expect, test } from "bun:test";

import {
  agrees,
  canName,
  isSameRepresentation,
  rangeValidatorOf,
  shownValidator,
  statedValidatorOf,
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

test("statedValidatorOf() takes a strong ETag alone, and anything else along with the length", () => {
  expect(statedValidatorOf(STRONG)).toBe('"a-b"');
  expect(statedValidatorOf(WEAK)).toBe('W/"a"\n2020-01-01T00:00:00.000Z\n7');
  expect(statedValidatorOf(DATED)).toBe("\n2020-01-01T00:00:00.000Z\n7");
  expect(statedValidatorOf(DATED, 9)).toBe("\n2020-01-01T00:00:00.000Z\n9");
  expect(statedValidatorOf(of({ "Content-Length": "7" }))).toBe("");
});

test("statedValidatorOf() takes no ETag that is none", () => {
  for (const tag of ["abc", '""', '"a"b"', "W/abc", `"${"x".repeat(2_000)}"`]) {
    expect(statedValidatorOf(of({ ETag: tag }))).toBe("");
  }
});

test("canName() trusts a time only of a document that is older than its answer", () => {
  expect([STRONG, WEAK, DATED, FRESH].map(canName)).toEqual([true, true, true, false]);
  expect(canName(of({ "Last-Modified": MODIFIED }))).toBe(false);
});

test("agrees() puts up with a length that only one answer tells", () => {
  const named = statedValidatorOf(DATED);
  expect(agrees(named, statedValidatorOf(FRESH))).toBe(true);
  expect(agrees(named, statedValidatorOf(of({ "Last-Modified": MODIFIED })))).toBe(true);
  expect(agrees(named, statedValidatorOf(DATED, 8))).toBe(false);
  expect(agrees(named, statedValidatorOf(of({ "Last-Modified": LATER, "Content-Length": "7" }))))
    .toBe(
      false,
    );
  expect(agrees('"a"', '"b"')).toBe(false);
  expect(agrees('"a"', named)).toBe(false);
  expect(agrees(statedValidatorOf(WEAK), "")).toBe(false);
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
  expect(shownValidator(statedValidatorOf(WEAK))).toBe('W/"a", 2020-01-01T00:00:00.000Z, 7 bytes');
});
