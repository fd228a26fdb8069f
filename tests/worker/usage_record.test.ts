import { expect, test } from "bun:test";

import { SERIES_SAMPLES_MAX } from "../../shared/protocol.ts";
import { SAMPLE_PAUSE_MS, UsageRecord } from "../../worker/usage_record.ts";

const END = { ranMs: 1_000, cpuMs: 500, memoryBytes: 0, diskBytes: 0 };

test("total() gives the most of each resource, whichever way it was found", () => {
  const record = new UsageRecord({ hasSeries: false });
  record.sawTree(20, { memoryBytes: 300, fileBytes: 0, processCount: 4, cpuMs: 900 });
  record.sawTree(40, { memoryBytes: 200, fileBytes: 0, processCount: 2, cpuMs: 100 });
  record.sawDisk(70);
  record.sawDisk(50);
  expect(record.total(END)).toEqual({
    used: { cores: 0.9, memoryBytes: 300, diskBytes: 70, processCount: 4, cpuMs: 900 },
  });
  const { used } = record.total({ ranMs: 2_000, cpuMs: 1_000, memoryBytes: 400, diskBytes: 80 });
  expect(used).toEqual({
    cores: 0.5,
    memoryBytes: 400,
    diskBytes: 80,
    processCount: 4,
    cpuMs: 1_000,
  });
});

test("total() counts the processes that were found when the try was ended", () => {
  const record = new UsageRecord({ hasSeries: false });
  record.sawTree(20, { memoryBytes: 300, fileBytes: 0, processCount: 4, cpuMs: 900 });
  expect(record.total({ ...END, processCount: 500 }).used.processCount).toBe(500);
  expect(record.total({ ...END, processCount: 2 }).used.processCount).toBe(4);
});

test("total() of a try that nobody has looked at is one process and what the kernel counted", () => {
  const { used, series } = new UsageRecord({ hasSeries: true }).total({ ...END, ranMs: 0 });
  expect(used).toEqual({ cores: 0, memoryBytes: 0, diskBytes: 0, processCount: 1, cpuMs: 500 });
  expect(series).toEqual([]);
});

test("memoryPeak() leaves out the files that processes had mapped", () => {
  const record = new UsageRecord({ hasSeries: false });
  expect(record.memoryPeak(700)).toBe(700);
  const use = { processCount: 1, cpuMs: 0 };
  record.sawTree(20, { ...use, memoryBytes: 100, fileBytes: 400 });
  record.sawTree(40, { ...use, memoryBytes: 150, fileBytes: 300 });
  expect(record.memoryPeak(500)).toBe(150);
  expect(record.memoryPeak(700)).toBe(300);
});

test("sawTree() keeps samples evenly spread however long it goes on", () => {
  const record = new UsageRecord({ hasSeries: true });
  for (let atMs = 0; atMs < 600_000; atMs += 50) {
    record.sawTree(atMs, { memoryBytes: atMs, fileBytes: 0, processCount: 1, cpuMs: atMs });
  }
  const { series = [] } = record.total(END);
  expect(series.length).toBeLessThanOrEqual(SERIES_SAMPLES_MAX);
  expect(series.length).toBeGreaterThan(SERIES_SAMPLES_MAX / 2 - 1);
  const pauses = series.slice(1).map(({ atMs }, index) => atMs - series[index]!.atMs);
  expect(new Set(pauses).size).toBe(1);
  expect(pauses[0]! % SAMPLE_PAUSE_MS).toBe(0);
});
