import { readFileSync } from "node:fs";

import { fromFileUrl } from "@std/path";
import { expect, test } from "bun:test";

/** Where the colours are. */
const STYLE = fromFileUrl(
  new URL("../../../../manager/dashboard/page/colour.css", import.meta.url),
);

/** `{variable: [its light and its dark colour]}` */
const COLOURS = new Map(
  [...readFileSync(STYLE, "utf8").matchAll(/--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)/g)]
    .map(([, name = "", light = "", dark = ""]) => [name, [light, dark] as const]),
);

/** What is written, and on what: WCAG 2.2 wants 4.5 of text (1.4.3), 3 of drawings (1.4.11). */
const TEXT = [
  "ink",
  "ink-soft",
  "accent",
  "waiting",
  "dispatched",
  "running",
  "retrieving",
  "success",
  "failed",
  "cancelled",
];
const BACKS = ["paper", "card", "hover"];

/** Relative luminance, of WCAG 2.2. */
function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [0, 2, 4].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(front: string, back: string, theme: number): number {
  const [one, other] = [front, back].map((name) => luminance(COLOURS.get(name)?.[theme] ?? ""));
  const [low = 0, high = 0] = [one ?? NaN, other ?? NaN].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

test("colour.css has text stand out from what is behind it, in light and dark", () => {
  const faint: string[] = [];
  const pairs = [
    ...TEXT.flatMap((front) => BACKS.map((back) => [front, back] as const)),
    ["accent-ink", "accent"],
    ["ink", "bad-back"],
    ["failed", "bad-back"],
    ["ink", "note-back"],
    ["ink", "sunk"],
  ] as const;
  for (const [front, back] of pairs) {
    for (const theme of [0, 1]) {
      const found = contrast(front, back, theme);
      if (!(found >= 4.5)) faint.push(`${front} on ${back}, ${theme}: ${found.toFixed(2)}`);
    }
  }
  expect(faint).toEqual([]);
});
