import { expect, test } from "bun:test";

import { PathUse } from "../../manager/path_use.ts";

test("PathUse.drop() says to remove a path with its last declaration, if one of them said so", () => {
  const paths = new PathUse();
  paths.add("/a", true);
  paths.add("/a", false);
  paths.add("/b", false);
  expect([paths.drop("/a"), paths.drop("/a"), paths.drop("/a")]).toEqual([false, true, false]);
  expect([paths.drop("/b"), paths.drop("/none")]).toEqual([false, false]);
  paths.add("/a", false);
  expect(paths.drop("/a")).toBe(false);
});

test("PathUse.dropAll() gives the paths that are to be removed, once", () => {
  const paths = new PathUse();
  paths.add("/a", true);
  paths.add("/b", false);
  expect([paths.dropAll(), paths.dropAll()]).toEqual([["/a"], []]);
});
