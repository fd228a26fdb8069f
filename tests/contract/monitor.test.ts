import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { app, inProcess, jsonLines, load } from "../../mod.ts";
import type { AppFact } from "../../manager/core/fact.ts";
import { type Monitor, Monitors } from "../../manager/dataflow/monitor.ts";
import { StandardError } from "../standard_error.ts";
import { testMonitor } from "./monitor.ts";

testMonitor("jsonLines()", () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-monitor-"));
  const path = join(folder, "logs/calls.jsonl");
  return {
    monitor: jsonLines(path),
    noted: () => {
      const lines = readFileSync(path, "utf8").trimEnd().split("\n");
      rmSync(folder, { recursive: true });
      return Promise.resolve(lines.map((line) => JSON.parse(line)));
    },
  };
});

testMonitor("A monitor of one's own", () => {
  const noted: (AppFact & { readonly atMs: number })[] = [];
  const note = (fact: AppFact, atMs: number): void => void noted.push({ ...fact, atMs });
  return { monitor: { label: "own", note }, noted: () => Promise.resolve(noted) };
});

test("Monitors.note() leaves out one that throws, tells of it once, and goes on", async () => {
  const told: string[] = [];
  let noteCount = 0;
  const broken: Monitor = {
    label: "broken",
    note: () => {
      throw new Error("no disk");
    },
    close: () => Promise.reject(new Error("never asked")),
  };
  const whole: Monitor = {
    label: "whole",
    note: () => noteCount++,
    close: () => Promise.reject(new Error("no room")),
  };
  const monitors = new Monitors([broken, whole], (message) => told.push(message));
  const fact = { kind: "app_state", callId: 1, state: "pending", try: 0 } as never;
  monitors.note(fact);
  monitors.note(fact);
  await monitors.close();
  expect(noteCount).toBe(2);
  expect(told).toEqual([
    'Monitor "broken" is left out from now on: no disk',
    'Cannot close monitor "whole": no room',
  ]);
});

test("A flow goes on whose monitor cannot write, and refuses what is no monitor", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-monitor-"));
  writeFileSync(join(folder, "calls.jsonl"), "");
  const monitor = jsonLines(join(folder, "calls.jsonl"));
  rmSync(folder, { recursive: true });
  using said = new StandardError();
  {
    await using _flow = await load({ executors: [inProcess()], monitors: [monitor] });
    expect(await app((n: number) => n)(1)).toBe(1);
  }
  expect(said.text).toContain("ENOENT");
  const wrong = load({ executors: [inProcess()], monitors: [{}] as never });
  await expect(wrong).rejects.toThrow("expected [{ label, note }]");
});
