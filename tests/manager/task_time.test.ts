import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Manager } from "../../manager/manager.ts";
import { moment } from "../../manager/option.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-time-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

test("moment() takes a Date, its text and a duration as the time that is left until then", () => {
  const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000);
  for (const value of ["2h", 7_200_000, inHours(2), inHours(2).toISOString()]) {
    expect(Math.round(moment(value, "endBy") / 1_000)).toBe(7_200);
  }
  expect(moment(inHours(-1), "endBy")).toBeLessThan(0);
  expect(() => moment(new Date(Number.NaN), "endBy")).toThrow(/Cannot take endBy .* an instant/);
  expect(() => moment("2026-13-45", "endBy")).toThrow('Cannot take endBy "2026-13-45" as');
  expect(() => moment("soon", "endBy")).toThrow(
    'Cannot take endBy "soon" as an instant: a Date, text such as "2026-05-01T06:00", or a time',
  );
});

test("submit() refuses a task that would end before it may start", async () => {
  await using manager = await Manager.start();
  expect(() => manager.submit({ command: "true", startAfter: "2h", endBy: "1h" })).toThrow(
    "Cannot take endBy of a task that it keeps from running: it is 1 h before its startAfter",
  );
  await using remote = await Manager.connect({});
  const task = remote.submit({ command: "true", startAfter: "2h", endBy: new Date() });
  await expect(task.submitted()).rejects.toThrow("2 h before its startAfter");
});

test("submit() ends a task as expired once its endBy has passed, be it here or from afar", async () => {
  await using manager = await Manager.start();
  await using remote = await Manager.connect({});
  const past = new Date(Date.now() - 60_000);
  for (const owner of [manager, remote]) {
    const results = await Promise.all([
      owner.submit({ command: "true", endBy: "20ms" }),
      owner.submit({ command: "true", endBy: past }),
      owner.submit({ command: "true", endBy: new Date(Date.now() + 20), minTime: "1h" }),
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual(["expired", "expired", "expired"]);
    expect(results[0].message).toEndWith("its endBy passed while it waited for a worker");
  }
  expect(() => manager.submit({ command: "true", minTime: "long" })).toThrow("Cannot read minTime");
});
