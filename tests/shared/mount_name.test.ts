import { expect, test } from "bun:test";

import { checkMountName } from "../../shared/mount_name.ts";

test("checkMountName() takes relative paths in normal form only", () => {
  for (const name of ["a", "a/b.txt", "ünï cödé", "..a", "a/...", "x".repeat(255), ".hidden"]) {
    expect(checkMountName(name)).toBe(name);
  }
  const bad: [string, string][] = [
    ["", "it is empty"],
    ["/etc/passwd", "it is absolute"],
    ["a/../b", 'it has a ".." part'],
    ["..", 'it has a ".." part'],
    ["./a", 'it has a "." part'],
    ["a//b", "it has an empty part"],
    ["a/", "it has an empty part"],
    ["a\0b", "it has a NUL character"],
    ["\ud800", "not UTF-8"],
    ["x".repeat(256), "longer than 255 bytes"],
    ["é".repeat(128), "longer than 255 bytes"],
    [`${"x".repeat(200)}/`.repeat(6) + "y", "longer than 1024 bytes"],
    ["d/".repeat(32) + "f", "deeper than 32 parts"],
    [".tendril", "reserved"],
    [".tendril-stdout/x", "reserved"],
  ];
  for (const [name, says] of bad) expect(() => checkMountName(name)).toThrow(says);
});
