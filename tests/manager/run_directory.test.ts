import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { ManagerConfig } from "../../manager/config.ts";
import { ALL_RECORDS, type RecordsConfig } from "../../manager/records_option.ts";
import { RunDirectory, runNameOf } from "../../manager/run_directory.ts";
import { readRunFile } from "../../manager/run_file.ts";

const IDENTITY = { name: "oak", managerId: "m1" };

/** A folder for runs, and what was told of it; all is as it was at the end. */
class Runs implements Disposable {
  readonly folder: string = realpathSync(mkdtempSync(join(tmpdir(), "tendril-test-")));
  readonly told: string[] = [];
  readonly #variable: string | undefined = process.env["TENDRIL_RUN_DIRECTORY"];

  constructor(variable?: string) {
    setVariable(variable);
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  open(
    runDirectory?: ManagerConfig["runDirectory"],
    records: RecordsConfig = ALL_RECORDS,
  ): RunDirectory {
    const stated = runDirectory === undefined ? {} : { runDirectory };
    return new RunDirectory({ records, ...stated }, IDENTITY, (line) => void this.told.push(line));
  }

  [Symbol.dispose](): void {
    setVariable(this.#variable);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function setVariable(value: string | undefined): void {
  if (value === undefined) delete process.env["TENDRIL_RUN_DIRECTORY"];
  else process.env["TENDRIL_RUN_DIRECTORY"] = value;
}

test("runNameOf() is the local time, with nothing that a shell minds", () => {
  const atMs = new Date(2026, 2, 4, 5, 6, 7, 890).getTime();
  expect(runNameOf(atMs)).toBe("2026-03-04T05-06-07");
});

test("RunDirectory makes a private folder when it is asked to, and says whose it is", async () => {
  using runs = new Runs();
  const run = runs.open(runs.path("runs"));
  expect([run.path, run.databasePath]).toEqual([undefined, undefined]);
  expect(readdirSync(runs.path("runs"))).toEqual([]);
  const path = run.make() ?? "";
  expect(run.make()).toBe(path);
  expect(run.path).toBe(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(readdirSync(runs.path("runs")).length).toBe(2);
  expect(join(runs.path("runs"), readlinkSync(runs.path("runs", "latest")))).toBe(path);
  expect([run.databasePath, run.vineLogsPath, run.logsPath, run.outputsPath]).toEqual(
    ["monitoring.db", "vine-logs", "logs", "outputs"].map((name) => join(path, name)),
  );
  const made = await readRunFile(path);
  expect(made).toMatchObject({ ...IDENTITY, pid: process.pid });
  expect(made?.end).toBeUndefined();
  const end = { atMs: 5, succeededCount: 3, failedCount: 2, cancelledCount: 1 };
  await run.end(end);
  expect((await readRunFile(path))?.end).toEqual(end);
  expect(readdirSync(path)).toEqual(["run.json"]);
  expect(runs.told).toEqual([]);
});

test("RunDirectory gives runs of one second folders of their own; latest is the last", () => {
  using runs = new Runs();
  const paths = Array.from({ length: 4 }, () => runs.open(runs.folder).make() ?? "");
  expect(new Set(paths).size).toBe(4);
  expect(readdirSync(runs.folder).length).toBe(5);
  expect(join(runs.folder, readlinkSync(runs.path("latest")))).toBe(paths[3] ?? "");
});

test("RunDirectory leaves alone what is called latest and is no link", () => {
  using runs = new Runs();
  writeFileSync(runs.path("latest"), "mine");
  expect(runs.open(runs.folder).make()).toBeDefined();
  expect(statSync(runs.path("latest")).size).toBe(4);
  expect(runs.told).toEqual([]);
});

test("RunDirectory has no paths of records that are switched off, and no folder without any", () => {
  using runs = new Runs();
  const none = { database: false, vineLogs: false, logs: false, outputs: false };
  const run = runs.open(runs.folder, { ...none, logs: true });
  run.make();
  expect([run.databasePath, run.vineLogsPath, run.outputsPath]).toEqual(Array(3).fill(undefined));
  expect(run.logsPath).toBeDefined();
  expect(runs.open(runs.path("off"), none).make()).toBeUndefined();
  expect(runs.open(false).make()).toBeUndefined();
  expect(existsSync(runs.path("off"))).toBe(false);
});

test("RunDirectory goes where TENDRIL_RUN_DIRECTORY says, unless a script says otherwise", () => {
  using runs = new Runs();
  using _variable = new Runs(runs.path("variable"));
  expect(runs.open().make()).toStartWith(runs.path("variable"));
  expect(runs.open(runs.path("script")).make()).toStartWith(runs.path("script"));
  using _none = new Runs("none");
  expect(runs.open().make()).toBeUndefined();
  expect(runs.open(runs.path("script")).make()).toBeDefined();
});

test("RunDirectory refuses a stated folder that it cannot use", () => {
  using runs = new Runs();
  writeFileSync(runs.path("file"), "");
  expect(() => runs.open(runs.path("file", "runs"))).toThrow(
    `Cannot use "${runs.path("file", "runs")}" for the records of runs: ENOTDIR`,
  );
});

test("RunDirectory goes without records, and says so once, where nobody stated a folder", () => {
  using runs = new Runs();
  const before = process.cwd();
  process.chdir(runs.folder);
  try {
    writeFileSync(runs.path("tendril-runs"), "");
    const run = runs.open();
    expect([run.make(), run.make(), run.logsPath]).toEqual([undefined, undefined, undefined]);
    expect(runs.told.length).toBe(1);
    expect(runs.told[0]).toStartWith(
      `no records of this run are kept: Cannot use "${runs.path("tendril-runs")}" for`,
    );
  } finally {
    process.chdir(before);
  }
});

test("readRunFile() takes no link, no pipe and no other JSON for a run", async () => {
  using runs = new Runs();
  const path = runs.open(runs.folder).make() ?? "";
  const fake = (name: string): string => {
    mkdirSync(runs.path(name));
    return runs.path(name);
  };
  symlinkSync(join(path, "run.json"), join(fake("linked"), "run.json"));
  writeFileSync(join(fake("other"), "run.json"), '{"version": 1}');
  writeFileSync(join(fake("cut"), "run.json"), '{"version": 1,');
  mkdirSync(join(fake("folder"), "run.json"));
  for (const name of ["linked", "other", "cut", "folder", "missing"]) {
    expect(await readRunFile(runs.path(name))).toBeUndefined();
  }
});
