import { expect, test } from "bun:test";

import {
  formatDuration,
  formatSize,
  parseDuration,
  parseMemory,
  parseSize,
} from "../../shared/units.ts";

test("parseSize() reads numbers, decimal and binary units", () => {
  expect(parseSize(12, "memory")).toBe(12);
  expect(parseSize("2GB", "memory")).toBe(2e9);
  expect(parseSize("1.5 GiB", "memory")).toBe(1.5 * 1024 ** 3);
  expect(parseSize("512m", "memory")).toBe(512e6);
});

test("parseMemory() takes no amount that lacks its unit", () => {
  expect([0, "0", "1MB", 2e6].map((value) => parseMemory(value, "memory"))).toEqual([
    0,
    0,
    1e6,
    2e6,
  ]);
  expect(() => parseMemory(512, "memory of submit")).toThrow(
    'Cannot take memory of submit "512" as memory: 512 bytes hold no process; state the unit, as',
  );
  expect(() => parseMemory("8", "--memory")).toThrow('Cannot take --memory "8" as memory: 8 bytes');
});

test("parseSize() names what it refuses and what would be right", () => {
  expect(() => parseSize("2XB", "memory")).toThrow(/Cannot read memory "2XB" as a size: .*"2GB"/);
  expect(() => parseSize(-1, "disk")).toThrow(/Cannot read disk "-1"/);
  expect(() => parseSize(NaN, "disk")).toThrow(RangeError);
  expect(() => parseSize({}, "disk")).toThrow(/Cannot read disk "object"/);
  expect(() => parseSize("", "disk")).toThrow(RangeError);
});

test("parseDuration() reads numbers, single and joined units", () => {
  expect(parseDuration(250, "timeout")).toBe(250);
  expect(parseDuration("10m", "timeout")).toBe(600_000);
  expect(parseDuration("1h 30m", "timeout")).toBe(5_400_000);
  expect(parseDuration("0.5s", "timeout")).toBe(500);
});

test("parseDuration() refuses text without a unit", () => {
  expect(() => parseDuration("10", "timeout")).toThrow(/Cannot read timeout "10" as a duration/);
  expect(() => parseDuration("10x", "timeout")).toThrow(RangeError);
  expect(() => parseDuration(Infinity, "timeout")).toThrow(RangeError);
});

test("formatSize() and formatDuration() keep three digits", () => {
  expect([0, 999, 1500, 2_000_000, 3.21e9, 5e15].map(formatSize))
    .toEqual(["0 B", "999 B", "1.5 kB", "2 MB", "3.21 GB", "5000 TB"]);
  expect([5, 1234, 61_000, 3600e3, 7500e3].map(formatDuration))
    .toEqual(["5 ms", "1.23 s", "1 m", "1 h", "2 h 5 m"]);
});
