import { expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Log, type LogOptions } from "../../shared/log.ts";
import { smallDisk } from "../integration/small_disk.ts";

/** A folder with one log, and what was told of it. */
class LogFolder implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly path: string = join(this.folder, "logs", "oak.log");
  readonly told: string[] = [];
  readonly log: Log;

  constructor(options: Partial<LogOptions> = {}) {
    const onTrouble = (message: string): void => void this.told.push(message);
    this.log = new Log({ path: this.path, level: "info", onTrouble, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

type Line = { readonly [name: string]: unknown };

function linesOf(path: string): Line[] {
  return readFileSync(path, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
}

test("Log writes one object a line, with its time, level and event first", async () => {
  await using at = new LogFolder();
  expect(existsSync(at.path)).toBe(false);
  at.log.write("info", "worker_joined", { host: "oak", cores: 2.5, is_new: true, gone: undefined });
  at.log.write("error", "bug");
  await at.log.flush();
  const [first, second] = linesOf(at.path);
  expect(Object.keys(first ?? {})).toEqual(["time", "level", "event", "host", "cores", "is_new"]);
  expect(first).toMatchObject({ level: "info", event: "worker_joined", host: "oak", cores: 2.5 });
  expect(String(first?.["time"])).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect(second).toMatchObject({ level: "error", event: "bug" });
  expect(statSync(at.path).mode & 0o777).toBe(0o600);
});

test("Log keeps its own level and what matters more", async () => {
  await using at = new LogFolder({ level: "warn" });
  expect([at.log.keeps("debug"), at.log.keeps("info"), at.log.keeps("warn")])
    .toEqual([false, false, true]);
  for (const level of ["debug", "info", "warn", "error"] as const) at.log.write(level, level);
  await at.log.close();
  expect(linesOf(at.path).map(({ event }) => event)).toEqual(["warn", "error"]);
});

test("Log makes what tasks say plain, and cuts it", async () => {
  await using at = new LogFolder();
  at.log.write("info", "said", { text: `a\u001b[2J\r\n{"level":"x"}\u202e ${"é".repeat(5000)}` });
  await at.log.flush();
  const [line] = linesOf(at.path);
  expect(String(line?.["text"])).toStartWith('a[2J {"level":"x"} éé');
  expect(String(line?.["text"]).length).toBe(1000);
});

test("Log goes on at the end of its file, which it puts aside when it is full", async () => {
  await using at = new LogFolder({ bytesMax: 1000, filesMax: 3 });
  for (let number = 0; number < 40; number++) {
    at.log.write("info", "event", { number });
    await at.log.flush();
  }
  await at.log.close();
  const folder = join(at.folder, "logs");
  expect(readdirSync(folder).sort()).toEqual(["oak.log", "oak.log.1", "oak.log.2"]);
  for (const name of readdirSync(folder)) {
    expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(1000);
  }
  const kept = ["oak.log.2", "oak.log.1", "oak.log"].flatMap((name) => linesOf(join(folder, name)));
  const numbers = kept.map(({ number }) => Number(number));
  expect(numbers).toEqual(numbers.map((_, index) => 40 - numbers.length + index));
  expect(numbers.length).toBeGreaterThan(20);
  await using again = new Log({ path: at.path, level: "info", onTrouble: () => {}, bytesMax: 1e6 });
  again.write("info", "again");
  await again.flush();
  expect(linesOf(at.path).at(-1)).toMatchObject({ event: "again" });
  expect(linesOf(at.path).length).toBeGreaterThan(1);
});

test("Log says in the file how many lines it left out when too many came at once", async () => {
  await using at = new LogFolder();
  const text = "x".repeat(1000);
  for (let number = 0; number < 5000; number++) at.log.write("info", "event", { text });
  await at.log.close();
  const lines = linesOf(at.path);
  const leftOut = lines.find(({ event }) => event === "lines_left_out");
  expect(lines.length).toBeLessThan(4000);
  expect(Number(leftOut?.["lines"]) + lines.length - 1).toBe(5000);
  expect(at.told).toEqual([]);
});

test("Log tells once of a place that cannot be written to, and nobody waits", async () => {
  await using at = new LogFolder();
  writeFileSync(join(at.folder, "logs"), "in the way");
  for (let round = 0; round < 3; round++) {
    at.log.write("info", "event");
    await at.log.flush();
  }
  expect(at.told.length).toBe(1);
  expect(at.told[0]).toStartWith(`Cannot write the log "${at.path}": `);
});

test("Log tells once of a full disk, leaves no part of a line, and goes on", async () => {
  await using at = new LogFolder({ bytesMax: 1e6 });
  using disk = smallDisk(join(at.folder, "logs"), 64 * 1024);
  if (disk === undefined) return;
  const text = "x".repeat(900);
  const fill = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      for (let count = 0; count < 7; count++) at.log.write("info", "event", { text });
      await at.log.flush();
    }
  };
  await fill(20);
  expect(at.told.length).toBe(1);
  expect(at.told[0]).toContain("ENOSPC");
  const full = linesOf(at.path);
  expect(full.length).toBeGreaterThan(20);
  // Room again, as when somebody has cleared up.
  const { ino } = statSync(at.path);
  writeFileSync(at.path, "");
  expect(statSync(at.path).ino).toBe(ino);
  await fill(1);
  const [note, ...after] = linesOf(at.path);
  expect(note).toMatchObject({ level: "warn", event: "lines_left_out", lines: 140 - full.length });
  expect(after.length).toBe(7);
  await fill(20);
  expect(at.told.length).toBe(2);
});

test("Log writes what waits when its process ends", async () => {
  const before = new Set(process.listeners("exit"));
  await using at = new LogFolder();
  const [atExit] = process.listeners("exit").filter((listener) => !before.has(listener));
  at.log.write("info", "last");
  atExit?.call(process, 0);
  expect(linesOf(at.path)).toMatchObject([{ event: "last" }]);
});
