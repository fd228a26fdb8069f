import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import process from "node:process";

import { join } from "@std/path";

import { repeat, tableOf } from "../../../scripts/benchmarks/figure.ts";

const MAIN: string = join(import.meta.dirname ?? "", "../../../scripts/benchmarks/main.ts");

test("tableOf() shows medians, the median of the ratios, and no baseline where there is none", () => {
  const text = tableOf([
    {
      name: "tasks",
      unit: "tasks/s",
      beside: "spawn loop",
      aim: "half",
      runs: [
        { value: 100, baseline: 200 },
        { value: 900, baseline: 1000 },
        { value: 250, baseline: 1000 },
      ],
    },
    { name: "core", unit: "ms", beside: "", aim: "1.5", runs: [{ value: 1.23456, baseline: 0 }] },
  ]);
  expect(text.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
    ["figure", "measured", "baseline", "ratio", "aim"],
    ["tasks", "250 tasks/s", "1000 (spawn loop)", "0.50", "half"],
    ["core", "1.23 ms", "1.5"],
    [""],
  ]);
});

test("repeat() runs one measurement after the other, as often as a median needs", async () => {
  let running = 0;
  const runs = await repeat(async () => {
    running += 1;
    await Promise.resolve();
    expect(running).toBe(1);
    running -= 1;
    return "run";
  });
  expect(runs).toEqual(["run", "run", "run"]);
});

test("scripts/benchmarks/main.ts names the benches when it is asked for another", () => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, "speed"], { encoding: "utf8" });
  expect(status).toBe(2);
  expect(stderr).toBe(
    'error: Cannot run bench "speed": there are tasks, calls, imports, chains, transfer, broadcast, core, cancel, mixed, start, doors, see, unpack, flow\n',
  );
});
