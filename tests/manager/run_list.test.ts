import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import { RUNS_COMMAND, selectRuns } from "../../manager/cli_runs.ts";
import { SCHEMA } from "../../manager/monitoring/schema.ts";
import { RUN_FILE_NAME, type RunFile, runFileText } from "../../manager/run_file.ts";
import { listRuns, mendLatest, removeRun, sweepRemoved } from "../../manager/run_list.ts";
import { processStart } from "../../shared/access_file.ts";
import { runCommand } from "./run_command.ts";

/** The number of no process: greater than any that Linux gives. */
const NO_PID = 2 ** 22 + 1;

const END = { atMs: 61_000, succeededCount: 5, failedCount: 2, cancelledCount: 1 };

/** A folder of runs. */
class Runs implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "tendril-test-"));

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** A run of that hour; by default of a process that is gone. */
  add(hour: number, more: Partial<RunFile> = {}): string {
    const run = `2026-03-04T${String(hour).padStart(2, "0")}-00-00`;
    mkdirSync(this.path(run));
    const file: RunFile = {
      version: 1,
      name: "oak",
      managerId: "m1",
      tendrilVersion: "0.1.0",
      pid: NO_PID,
      host: hostname(),
      startedAtMs: hour * 1000,
      ...more,
    };
    writeFileSync(this.path(run, RUN_FILE_NAME), runFileText(file));
    return run;
  }

  /** A run of this process. */
  addRunning(hour: number): string {
    const start = processStart(process.pid);
    const own = start === undefined ? {} : { processStart: start };
    return this.add(hour, { pid: process.pid, ...own });
  }

  names(): string[] {
    return readdirSync(this.folder).sort();
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs `tendril runs` with these; tells what it printed. */
const runs = (...args: string[]) => runCommand(RUNS_COMMAND, args);

test("listRuns() tells which runs go on, have ended and were killed, the oldest first", async () => {
  using at = new Runs();
  const running = at.addRunning(3);
  const ended = at.add(1, { end: END });
  const killed = at.add(2);
  writeFileSync(at.path(ended, "big"), "x".repeat(1000));
  const found = await listRuns(at.folder);
  expect(found.map(({ run, state }) => [run, state])).toEqual([
    [ended, "ended"],
    [killed, "killed"],
    [running, "running"],
  ]);
  expect(found[0]).toMatchObject({
    name: "oak",
    startedAtMs: 1000,
    endedAtMs: 61_000,
    succeeded: 5,
    failed: 2,
    cancelled: 1,
  });
  expect(found[0]?.sizeBytes).toBeGreaterThan(1000);
  expect(found[1]).toMatchObject({ endedAtMs: null, succeeded: null, failed: null });
});

test("listRuns() takes a manager of another host for running: nobody here can know", async () => {
  using at = new Runs();
  at.add(1, { host: "elsewhere" });
  expect((await listRuns(at.folder))[0]?.state).toBe("running");
});

test("listRuns() asks the database of a run that has not told its own end", async () => {
  using at = new Runs();
  const killed = at.add(1);
  const record = (run: string, endedAtMs: number | null): void => {
    const database = new DatabaseSync(at.path(run, "monitoring.db"));
    database.exec(`PRAGMA synchronous = OFF; BEGIN; ${SCHEMA}; COMMIT`);
    database.prepare(
      "INSERT INTO run VALUES ('r', 'oak', '0.1.0', 'h', 'u', 1, 'd', 1000, ?, 5000)",
    )
      .run(endedAtMs);
    const columns = database.prepare("SELECT name FROM pragma_table_info('sample')").all();
    const values = columns.map(({ name }) => {
      return { "succeeded_total": 7, "failed_total": 3 }[String(name)] ?? 0;
    });
    database.exec(`INSERT INTO sample VALUES (${values.join(", ")})`);
    database.close();
  };
  record(killed, null);
  record(at.add(2), 6000);
  writeFileSync(at.path(at.add(3), "monitoring.db"), "no database");
  const links = at.add(4);
  symlinkSync(at.path(killed, "monitoring.db"), at.path(links, "monitoring.db"));
  const found = await listRuns(at.folder);
  expect(found.map(({ state, endedAtMs, succeeded, failed }) => {
    return [state, endedAtMs, succeeded, failed];
  })).toEqual([
    ["killed", 5000, 7, 3],
    ["ended", 6000, 7, 3],
    ["killed", null, null, null],
    ["killed", null, null, null],
  ]);
});

test("listRuns() passes over what is no run, links among it", async () => {
  using at = new Runs();
  using other = new Runs();
  const elsewhere = other.add(1, { end: END });
  symlinkSync(other.path(elsewhere), at.path(elsewhere));
  mkdirSync(at.path("2026-03-04T02-00-00"));
  writeFileSync(at.path("2026-03-04T03-00-00"), "a file");
  mkdirSync(at.path("mnist"));
  expect(await listRuns(at.folder)).toEqual([]);
});

test("removeRun() removes what has ended, and nothing that is no run or goes on", async () => {
  using at = new Runs();
  using other = new Runs();
  const precious = other.add(9, { end: END });
  const ended = at.add(1, { end: END });
  symlinkSync(other.path(precious), at.path(ended, "link"));
  const [killed, running] = [at.add(2), at.addRunning(3)];
  symlinkSync(other.path(precious), at.path(precious));
  mkdirSync(at.path("2026-03-04T05-00-00"));
  const left = at.names().filter((name) => name !== ended && name !== killed);
  expect(await removeRun(at.folder, ended)).toBe("removed");
  expect(await removeRun(at.folder, killed)).toBe("removed");
  expect(await removeRun(at.folder, running)).toBe("running");
  for (
    const name of [
      precious,
      "2026-03-04T05-00-00",
      ended,
      `../${other.folder.split("/").at(-1)}/${precious}`,
      other.path(precious),
      ".",
      "..",
      "",
      "latest",
      "*",
      `${running}/`,
      `${running}\0`,
      `${running}\n`,
    ]
  ) expect([name, await removeRun(at.folder, name)]).toEqual([name, "no_run"]);
  expect(at.names()).toEqual(left);
  expect(readFileSync(other.path(precious, RUN_FILE_NAME), "utf8")).toContain('"oak"');
});

test("sweepRemoved() ends removals that were interrupted, and touches nothing else", async () => {
  using at = new Runs();
  renameSync(at.path(at.add(1, { end: END })), at.path(".removed-0123456789abcdef"));
  mkdirSync(at.path(".removed-mine"));
  const run = at.add(2, { end: END });
  await sweepRemoved(at.folder);
  expect(at.names()).toEqual([".removed-mine", run]);
});

test("mendLatest() points at the newest run that is left, and goes with the last", async () => {
  using at = new Runs();
  const [first, second] = [at.add(1, { end: END }), at.add(2, { end: END })];
  symlinkSync(second, at.path("latest"));
  await mendLatest(at.folder);
  expect(readlinkSync(at.path("latest"))).toBe(second);
  await removeRun(at.folder, second);
  await mendLatest(at.folder);
  expect(readlinkSync(at.path("latest"))).toBe(first);
  await removeRun(at.folder, first);
  await mendLatest(at.folder);
  expect(at.names()).toEqual([]);
  symlinkSync("/elsewhere", at.path("latest"));
  await mendLatest(at.folder);
  expect(readlinkSync(at.path("latest"))).toBe("/elsewhere");
});

test("selectRuns() takes runs that ended long ago, but for the newest", async () => {
  using at = new Runs();
  for (let hour = 1; hour <= 4; hour++) at.add(hour, { end: { ...END, atMs: hour * 1000 } });
  at.addRunning(5);
  const found = await listRuns(at.folder);
  const hours = (selection: object, nowMs = 10_000): number[] =>
    selectRuns(found, selection, nowMs).map(({ startedAtMs }) => startedAtMs / 1000);
  expect(hours({ olderThanMs: 7000 })).toEqual([1, 2, 3]);
  expect(hours({ keepCount: 2 })).toEqual([1, 2, 3]);
  expect(hours({ keepCount: 3, olderThanMs: 9000 })).toEqual([1]);
  expect(hours({ keepCount: 0 })).toEqual([1, 2, 3, 4]);
  expect(hours({ keepCount: 99 })).toEqual([]);
});

test("RUNS_COMMAND lists runs as a table and as JSON, and removes by name and by rule", async () => {
  using at = new Runs();
  const [first, second] = [at.add(1, { end: END }), at.add(2, { end: { ...END, atMs: 2500 } })];
  const running = at.addRunning(3);
  symlinkSync(running, at.path("latest"));
  const table = await runs("--directory", at.folder);
  expect(table.stdout.split("\n").map((line) => line.split(/ {2,}/).slice(0, 6))).toEqual([
    ["RUN", "MANAGER", "STATE", "TIME", "DONE", "FAILED"],
    [first, "oak", "ended", "1 m", "5", "2"],
    [second, "oak", "ended", "500 ms", "5", "2"],
    [running, "oak", "running", expect.any(String), "-", "-"],
    [""],
  ]);
  const json = JSON.parse((await runs("list", "--directory", at.folder, "--json")).stdout);
  expect(json).toMatchObject({ version: 1, directory: at.folder, latest: running });
  expect(json.runs.length).toBe(3);
  const refused = await runs("remove", running, "../x\u001b[2J", "--directory", at.folder);
  expect(refused).toEqual({
    status: 1,
    stdout: "",
    stderr: `tendril runs: Cannot remove "${running}": it has not ended: ` +
      `process ${process.pid} on ${hostname()}\n` +
      'tendril runs: Cannot remove "../x[2J": there is no run of that name\n',
  });
  expect(await runs("remove", first, "--directory", at.folder)).toEqual({
    status: 0,
    stdout: `${first}\n`,
    stderr: "",
  });
  const byRule = await runs("remove", "--keep", "1", "--directory", at.folder, "--json");
  expect(JSON.parse(byRule.stdout)).toEqual({ version: 1, removed: [second] });
  expect(at.names()).toEqual([running, "latest"]);
});

test("RUNS_COMMAND refuses what it cannot make sense of, and lists nothing where nothing is", async () => {
  using at = new Runs();
  const refusal = async (...args: string[]): Promise<string> => {
    const error = await runs(...args).catch((error: unknown) => error);
    return error instanceof Error ? error.message : "";
  };
  expect(await refusal("remove")).toContain("without knowing which");
  expect(await refusal("remove", "x", "--keep", "1")).toContain("without knowing which");
  expect(await refusal("remove", "--keep", "many")).toContain('--keep "many"');
  expect(await refusal("remove", "--older-than", "soon")).toContain('--older-than "soon"');
  expect(await refusal("list", "x")).toContain('Cannot list "x"');
  expect(await refusal("drop")).toContain('"runs drop"');
  expect(await refusal("--directory", at.path("none"))).toContain("there is none");
  const before = process.cwd();
  process.chdir(at.folder);
  try {
    expect((await runs()).stdout).toStartWith("RUN ");
    expect(existsSync(at.path("tendril-runs"))).toBe(false);
  } finally {
    process.chdir(before);
  }
});
