import { expect, test } from "bun:test";

import { compareNames, findPathFault, utf8Length } from "../../shared/relative_path.ts";

const NAMES = ["", "a", "ab", "b", "é", "\ud7ff", "\ue000", "ﬁ", "\uffff", "😀", "😀a", "𐀀", "a😀"];

test("compareNames() orders as UTF-8 bytes do", () => {
  const encoder = new TextEncoder();
  for (const left of NAMES) {
    for (const right of NAMES) {
      const expected = Buffer.compare(encoder.encode(left), encoder.encode(right));
      expect(Math.sign(compareNames(left, right))).toBe(expected);
    }
  }
});

test("utf8Length() counts what a text takes in UTF-8", () => {
  for (const name of NAMES) expect(utf8Length(name)).toBe(new TextEncoder().encode(name).length);
});

test("findPathFault() measures in bytes and takes narrower limits", () => {
  expect(findPathFault("a/b")).toBeUndefined();
  expect(findPathFault("éé", { pathBytesMax: 3 })).toBe("it is longer than 3 bytes");
  expect(findPathFault("éé", { pathBytesMax: 4 })).toBeUndefined();
  expect(findPathFault("a/b/c", { pathDepthMax: 2 })).toBe("it is deeper than 2 parts");
});
