import { expect, test } from "bun:test";

import { tempSpec } from "../../manager/file_options.ts";

test("tempSpec() refuses levels that outlive the workflow, which alone knows a temp's name", () => {
  expect(tempSpec({ cache: "task" }).level).toBe("task");
  for (const cache of ["worker", "forever"] as const) {
    expect(() => tempSpec({ cache })).toThrow(`Cannot take cache of temp "${cache}"`);
  }
});
