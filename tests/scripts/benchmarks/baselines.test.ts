import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import {
  measureCopyMs,
  measureSpawnRate,
  median,
  writeRandomFile,
} from "../../../scripts/benchmarks/baselines.ts";

const directory = mkdtempSync(join(tmpdir(), "tendril-baselines-"));

afterAll(() => rmSync(directory, { recursive: true }));

test("median() takes the middle run whatever the order, or the mean of the middle two", () => {
  expect(median([10, 9, 100])).toBe(10);
  expect(median([4, 100, 1, 2])).toBe(3);
  expect(median([7])).toBe(7);
  expect(() => median([])).toThrow("no runs");
});

test("measureSpawnRate() gives a rate from a process of its own", async () => {
  expect(await measureSpawnRate({ count: 10, concurrency: 2 })).toBeGreaterThan(0);
});

test("measureSpawnRate() fails when the loop fails", async () => {
  await expect(measureSpawnRate({ count: 1, concurrency: 0 })).rejects.toThrow("0 at a time");
});

test("measureCopyMs() times the copies and removes them", async () => {
  const source = join(directory, "source");
  await writeRandomFile(source, 100_000);
  expect(await measureCopyMs({ source, directory, count: 2 })).toBeGreaterThan(0);
  expect(readdirSync(directory)).toEqual(["source"]);
});

test("measureCopyMs() fails when there is nothing to copy", async () => {
  const source = join(directory, "missing");
  await expect(measureCopyMs({ source, directory, count: 1 })).rejects.toThrow("No such file");
});

test("writeRandomFile() writes the size asked for, with no block twice", async () => {
  const path = join(directory, "random");
  await writeRandomFile(path, 2 * 1024 * 1024 + 5);
  expect(statSync(path).size).toBe(2 * 1024 * 1024 + 5);
  const bytes = await Bun.file(path).bytes();
  const [first, second] = [
    bytes.subarray(0, 1024 * 1024),
    bytes.subarray(1024 * 1024, 2 * 1024 * 1024),
  ];
  expect(Bun.hash(first)).not.toBe(Bun.hash(second));
});
