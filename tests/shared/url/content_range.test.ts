import { expect, test } from "bun:test";

import { contentLengthOf, contentRangeOf } from "../../../shared/url/content_range.ts";

function rangeOf(text: string) {
  return contentRangeOf(new Headers({ "Content-Range": text }));
}

test("contentRangeOf() reads what RFC 9110 allows", () => {
  expect(rangeOf("bytes 5-9/10")).toEqual({ startByte: 5, totalBytes: 10 });
  expect(rangeOf("bytes 5-9/*")).toEqual({ startByte: 5, totalBytes: -1 });
  expect(rangeOf("bytes */10")).toEqual({ startByte: -1, totalBytes: 10 });
});

test("contentRangeOf() refuses what is no range", () => {
  const wrong = ["", "bytes", "bytes 9-5/10", "items 5-9/10", "bytes 5-9", "bytes -5-9/10"];
  for (const text of [...wrong, "bytes 5-9/99999999999999999999"]) {
    expect(rangeOf(text)).toBeUndefined();
  }
  expect(contentRangeOf(new Headers())).toBeUndefined();
});

test("contentLengthOf() is -1 of what is no length", () => {
  expect(contentLengthOf(new Headers({ "Content-Length": "12" }))).toBe(12);
  for (const text of ["", "-1", "1e3", "9".repeat(20), "12, 12"]) {
    expect(contentLengthOf(new Headers({ "Content-Length": text }))).toBe(-1);
  }
});
