import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { DatabaseSync } from "node:sqlite";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "bun:test";

import { join } from "@std/path";

import { answer } from "../../manager/dashboard/queries/answer.ts";
import { findRecords, openPastRun } from "../../manager/past_run.ts";
import { writeSyntheticRun } from "./monitoring/synthetic_run.ts";

let directory = "";
let database = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tendril-past-"));
  mkdirSync(join(directory, "runs/2026-11-22T02-45-10"), { recursive: true });
  symlinkSync("2026-11-22T02-45-10", join(directory, "runs/latest"));
  database = join(directory, "runs/2026-11-22T02-45-10/monitoring.db");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("findRecords() finds a database, that of a folder, and of a run by its time or as latest", () => {
  writeFileSync(database, "");
  const runs = join(directory, "runs");
  expect(findRecords(database)).toBe(database);
  expect(findRecords(join(runs, "2026-11-22T02-45-10"))).toBe(database);
  expect(findRecords("2026-11-22T02-45-10", runs)).toBe(database);
  expect(findRecords("latest", runs)).toBe(join(runs, "latest/monitoring.db"));
  expect(() => findRecords("yesterday", runs)).toThrow(
    /^Cannot open run "yesterday" as a past one: there is no .*yesterday and no .*yesterday$/,
  );
  rmSync(database);
  expect(() => findRecords("latest", runs)).toThrow(/there is no .*latest\/monitoring.db$/);
});

test("openPastRun() opens records, and lets nothing be written", () => {
  writeSyntheticRun(database, { tasks: 50, workers: 2, until: 0.5 });
  using past = openPastRun(database);
  expect(answer(past.db, { kind: "run" }).endedAtMs).toBeNull();
  expect(() => past.db.exec("DELETE FROM task_detail")).toThrow("readonly");
});

test("openPastRun() refuses what is no database of ours, and other versions by name", () => {
  writeFileSync(database, "not a database, though long enough to be read as one".repeat(99));
  expect(() => openPastRun(database)).toThrow(
    `Cannot open records "${database}" as a monitoring.db: file is not a database`,
  );
  writeFileSync(database, "");
  expect(() => openPastRun(database)).toThrow("it has no tables of Tendril");
  expect(statSync(database).size).toBe(0);
  writeSyntheticRun(database, { tasks: 10, workers: 1 });
  const db = new DatabaseSync(database);
  db.exec("UPDATE tendril_schema SET version = 99");
  db.close();
  expect(() => openPastRun(database)).toThrow(
    `Cannot open records "${database}" as of version 1 to 2: they are of version 99`,
  );
});

test("openPastRun() opens records of version 1, in which there are no calls of apps", () => {
  const sql = readFileSync(new URL("monitoring/records_v1.sql", import.meta.url).pathname, "utf8");
  const db = new DatabaseSync(database);
  db.exec(sql);
  db.close();
  const before = readFileSync(database);
  using past = openPastRun(database);
  const tasks = { kind: "tasks", sort: "id", isDescending: false, offset: 0, limit: 9 } as const;
  expect(answer(past.db, tasks).rows.map(({ taskId }) => taskId)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(past.db.prepare("SELECT DISTINCT app_call_id AS id FROM task_detail").all()).toMatchObject(
    [{ id: null }],
  );
  expect(past.db.prepare("SELECT * FROM app_call").all()).toEqual([]);
  expect(() => past.db.exec("DELETE FROM app_call")).toThrow("readonly");
  expect(readFileSync(database).equals(before)).toBe(true);
});

test("openPastRun() reads nothing that runs what the author of a file wrote", () => {
  const endless =
    "AS WITH RECURSIVE c(version) AS (SELECT 1 UNION ALL SELECT version + 1 FROM c) " +
    "SELECT version FROM c WHERE version < 0";
  const change = (sql: string): void => {
    rmSync(database, { force: true });
    writeSyntheticRun(database, { tasks: 10, workers: 1 });
    const db = new DatabaseSync(database);
    db.exec(sql);
    db.close();
  };
  change(`DROP TABLE tendril_schema; CREATE VIEW tendril_schema ${endless}`);
  expect(() => openPastRun(database)).toThrow("it has no tables of Tendril");
  change(`DROP TABLE sample; CREATE VIEW sample ${endless}`);
  expect(() => openPastRun(database)).toThrow("its sample is no table of Tendril");
  change("DROP TABLE worker");
  expect(() => openPastRun(database)).toThrow("it has no table worker of Tendril");
  change("UPDATE tendril_schema SET version = char(27) || 'evil'");
  expect(() => openPastRun(database)).toThrow("they are of version none");
  // Whoever works with the records adds what he likes.
  change(`CREATE VIEW mine ${endless}; CREATE TABLE my_notes (text)`);
  openPastRun(database)[Symbol.dispose]();
  expect(() => findRecords("/dev/null")).toThrow("it is no file and no folder");
});

/** Begins to change every task, spills the change into the file, and says so. */
const WRITER = `
  import { DatabaseSync } from "node:sqlite";
  const db = new DatabaseSync(process.argv.at(-1));
  db.exec("PRAGMA journal_mode = TRUNCATE; PRAGMA cache_size = 1; BEGIN IMMEDIATE");
  db.exec("UPDATE task_detail SET name = 'half written'");
  process.stdout.write("ready");
  setInterval(() => {}, 1000);
`;

test("openPastRun() undoes what a killed manager had half written", async () => {
  writeSyntheticRun(database, { tasks: 500, workers: 2 });
  const script = join(directory, "writer.mjs");
  writeFileSync(script, WRITER);
  const isDeno = "Deno" in globalThis;
  const args = isDeno ? ["run", "-A", script, database] : [script, database];
  const writer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(writer.stdout!, "data");
  writer.kill("SIGKILL");
  await once(writer, "exit");
  expect(statSync(`${database}-journal`).size).toBeGreaterThan(512);
  using past = openPastRun(database);
  const { total, rows } = answer(past.db, {
    kind: "tasks",
    sort: "id",
    isDescending: false,
    offset: 0,
    limit: 1_000,
    search: "half written",
  });
  expect([total, rows]).toEqual([0, []]);
  expect(past.db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  expect(existsSync(`${database}-journal`) && statSync(`${database}-journal`).size > 0).toBe(false);
});
