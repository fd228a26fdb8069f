import { expect, test } from "bun:test";

import { describeIds, readArray, readSelector } from "../../manager/selector.ts";

test.each([
  ["all", { kind: "all" }],
  ["last", { kind: "last" }],
  ["5", { kind: "ids", ranges: [[5, 5]] }],
  ["1-10", { kind: "ids", ranges: [[1, 10]] }],
  ["1,3, 5-8", { kind: "ids", ranges: [[1, 1], [3, 3], [5, 8]] }],
])("readSelector() reads %s", (text, selection) => {
  expect(readSelector(text as string) as unknown).toEqual(selection);
});

test.each(["", "0", "0-3", "8-5", "1-", "1,,2", "-5", "1.5", "1-10:2", "LAST", "last,1", "1e3"])(
  'readSelector() refuses "%s" and says what is taken',
  (text) => {
    expect(() => readSelector(text)).toThrow(
      `Cannot read "${text}" as a selection of tasks: expected 5, 1-10, 1,3,5-8, last or all`,
    );
  },
);

test("readArray() gives the numbers in the order in which they are written", () => {
  expect(readArray("1-4")).toEqual([1, 2, 3, 4]);
  expect(readArray("1-10:4")).toEqual([1, 5, 9]);
  expect(readArray("7,0,3-4")).toEqual([7, 0, 3, 4]);
});

test("readArray() refuses what is none, numbers that come twice, and more than can be taken", () => {
  expect(() => readArray("1-4:0")).toThrow('Cannot read --array "1-4:0" as numbers: expected ');
  expect(() => readArray("1-4,3")).toThrow('Cannot take --array "1-4,3": it has 3 twice');
  expect(() => readArray("1-999999999999999")).toThrow(
    "it has 999999999999999 members, 1000000 at",
  );
});

test("describeIds() joins consecutive numbers, as a selector reads them", () => {
  expect(describeIds([5, 6, 7, 9, 11, 12])).toBe("5-7,9,11-12");
  expect(describeIds([])).toBe("");
});
