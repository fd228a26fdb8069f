import { expect, test } from "bun:test";

import { readSorting, writeSorting } from "../../../../manager/dashboard/page/sorting.ts";

const START = { key: "size", isDescending: true } as const;
const CHOICE = { keys: ["id", "size", "host"], start: START };

test("writeSorting() is what readSorting() reads, and nothing for the start", () => {
  for (const key of CHOICE.keys) {
    for (const isDescending of [true, false]) {
      const sort = writeSorting({ key, isDescending }, CHOICE) ?? "";
      expect(readSorting(new URLSearchParams({ sort }), CHOICE)).toEqual({ key, isDescending });
    }
  }
  expect(writeSorting(START, CHOICE)).toBeUndefined();
});

test("readSorting() takes what it does not know for the start", () => {
  for (const text of ["", "sort=", "sort=-", "sort=name", "sort=--id"]) {
    expect(readSorting(new URLSearchParams(text), CHOICE)).toEqual(START);
  }
});
