import { expect, test } from "bun:test";

import { findLinkFault } from "../../../shared/archive/link_target.ts";

function fault(path: string, links: Readonly<Record<string, string>>): string | undefined {
  const entries = Object.entries(links).map(([link, target]) => [link, { target }] as const);
  return findLinkFault(path, new Map(entries));
}

test("findLinkFault() finds nothing wrong with links that stay inside", () => {
  expect(fault("l", { l: "a" })).toBeUndefined();
  expect(fault("l", { l: "." })).toBeUndefined();
  expect(fault("a/b/l", { "a/b/l": "../../c/./d//e/.." })).toBeUndefined();
  expect(fault("l", { l: "m/x", m: "n", n: "deep/er" })).toBeUndefined();
  expect(fault("a/self", { "a/self": ".." })).toBeUndefined();
});

test("findLinkFault() follows other links as the disk does", () => {
  // By its text "m/.." is the root; through m it is the directory above its target.
  expect(fault("a/l", { "a/l": "../m/../x", "m": "a/b/c" })).toBeUndefined();
  expect(fault("a/b/l", { "a/b/l": "../../m/../../..", "m": "a/b" })).toBe(
    'its target "../../m/../../.." leaves the tree',
  );
  expect(fault("l", { l: "m", m: "/etc" })).toBe('its target "m" is or leads to an absolute path');
});

test("findLinkFault() ends on circles and on chains made to be long", () => {
  expect(fault("a", { a: "b", b: "a" })).toContain("circle");
  expect(fault("a", { a: "a/x" })).toContain("circle");
  const links: Record<string, string> = {};
  for (let index = 0; index < 39; index++) {
    links[`l${index}`] = "x/../".repeat(300) + `l${index + 1}`;
  }
  expect(fault("l0", links)).toContain("more than 4096 steps");
});
