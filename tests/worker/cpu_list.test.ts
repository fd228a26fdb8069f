import { expect, test } from "bun:test";

import { parseCpuList } from "../../worker/cpu_list.ts";

test("parseCpuList() reads numbers and ranges, and nothing else", () => {
  expect(parseCpuList("0-3,8,10-11\n")).toEqual([0, 1, 2, 3, 8, 10, 11]);
  expect(parseCpuList("5")).toEqual([5]);
  for (const text of ["", "a", "1-", "0-99999", "1,,2", "-1"]) {
    expect(parseCpuList(text)).toEqual([]);
  }
});
