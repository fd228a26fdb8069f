import { describe, expect, test } from "bun:test";

import * as format from "../../../../manager/dashboard/page/format.ts";

test("every function of format.ts shows a dash for what is not known", () => {
  const { count, bytes, duration, amount, rate, instant, UNKNOWN } = format;
  for (const show of [count, bytes, duration, amount, rate, instant]) {
    expect([show(null), show(undefined)]).toEqual([UNKNOWN, UNKNOWN]);
  }
  expect(format.count(Infinity)).toBe(UNKNOWN);
  expect(format.percent(1, 0)).toBe(UNKNOWN);
});

test("count() sets thousands apart", () => {
  expect([0, 999, 1000, 100_000, 1_234_567].map(format.count))
    .toEqual(["0", "999", "1\u202f000", "100\u202f000", "1\u202f234\u202f567"]);
});

test("duration() tells seconds up to an hour, and never less than nothing", () => {
  expect([-5, 12, 1_500, 59_400, 59_600, 81_000, 3_599_000, 3_600_000, 7_500_000].map((ms) => {
    return format.duration(ms);
  })).toEqual([
    "0 ms",
    "12 ms",
    "1.5 s",
    "59.4 s",
    "1 m 0 s",
    "1 m 21 s",
    "59 m 59 s",
    "1 h",
    "2 h 5 m",
  ]);
});

test("amount() keeps at most three digits, and two behind the point", () => {
  expect([0, 0.004, 0.123456, 1.5, 12.345, 123.4, 1234.5].map(format.amount))
    .toEqual(["0", "<0.01", "0.12", "1.5", "12.3", "123", "1\u202f235"]);
});

test("duration() tells no more of a millisecond than fits", () => {
  expect([0, 0.008, 0.218, 1.25].map(format.duration)).toEqual([
    "0 ms",
    "<0.1 ms",
    "0.2 ms",
    "1.25 ms",
  ]);
});

test("remaining() tells no part of a second", () => {
  expect([3, 999, 90_000].map(format.remaining)).toEqual(["under 1 s", "under 1 s", "1 m 30 s"]);
});

test("shortId() keeps what is short whole, and the beginning of what is long", () => {
  expect(["w-0002", "bad76b64155a4c8b93d0c7ca816881eb"].map(format.shortId))
    .toEqual(["w-0002", "bad76b64"]);
});

describe("instant()", () => {
  const atMs = new Date(2026, 2, 4, 5, 6, 7).getTime();

  test("instant() tells the day where it is not that of the other", () => {
    expect(format.instant(atMs)).toBe("2026-03-04 05:06:07");
    expect(format.instant(atMs, atMs + 3600e3)).toBe("05:06:07");
    expect(format.instant(atMs, atMs + 24 * 3600e3)).toBe("2026-03-04 05:06:07");
  });
});

test("shorten() leaves out the middle, and keeps both ends", () => {
  expect(format.shorten("short", 5)).toBe("short");
  const short = format.shorten("https://data.example.org/reads/17.tar.gz", 20);
  expect(short).toHaveLength(20);
  expect(short).toMatch(/^https:.*…tar\.gz$/);
});

test("plural() takes the word that fits the number", () => {
  expect([format.plural(1, "task"), format.plural(2, "task"), format.plural(0, "try", "tries")])
    .toEqual(["1 task", "2 tasks", "0 tries"]);
});
