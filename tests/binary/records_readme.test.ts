/** The one-liners of README.md print what it says, and there is one for each table. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

import { dirname, join } from "@std/path";

import { BINARY, ROOT } from "./built.ts";

const README = readFileSync(join(ROOT, "README.md"), "utf8");

/** A command and what README.md says that it prints. */
interface Step {
  readonly command: string;
  readonly printed: string;
}

const directory = mkdtempSync(join(tmpdir(), "tendril-records-readme-"));
const latest = join(directory, "tendril-runs/latest");

/** Debian's python3 comes before others, as it is the one that has pandas. */
const env: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${dirname(BINARY)}:/usr/bin:${process.env["PATH"]}`,
  HOME: directory,
  TENDRIL_HOME: join(directory, "home"),
  TENDRIL_WORKSPACE: directory,
};
delete env["TENDRIL_RUN_DIRECTORY"];

const hasSqlite = succeeds("sqlite3 --version");
const hasPandas = succeeds("python3 -c 'import pandas'");

const steps = readSteps();
const [started, entered, ...questions] = steps;
const [ofSqlite, ofPandas] = ["sqlite3 ", "python3 -c "].map((program) =>
  questions.filter(({ command }) => command.startsWith(program))
) as [Step[], Step[]];

beforeAll(() => {
  const [, name = "", text = ""] = /<!-- file: (sevens\.ts) -->\n+```ts\n([^]*?)```/.exec(README) ??
    [];
  writeFileSync(join(directory, name), text);
  expect(run(started, directory)).toBe(started?.printed ?? "");
}, 120_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("README.md asks every table of monitoring.db one question at least", () => {
  expect(entered).toEqual({ command: "cd tendril-runs/latest", printed: "" });
  expect([...ofSqlite, ...ofPandas].length).toBe(questions.length);
  const database = new DatabaseSync(join(latest, "monitoring.db"), { readOnly: true });
  const tables = database.prepare(
    "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'",
  ).all().map(({ name }) => String(name));
  database.close();
  expect(tables.length).toBeGreaterThanOrEqual(21);
  const unasked = tables.filter((table) => {
    return !questions.some(({ command }) => new RegExp(`FROM ${table}\\b`).test(command));
  });
  expect(unasked).toEqual([]);
  expect(tables.filter((table) => !README.includes(`\n| \`${table}\` `))).toEqual([]);
});

test.skipIf(!hasSqlite)("README.md says what sqlite3 prints of a run", () => {
  expect(ofSqlite.length).toBeGreaterThan(0);
  for (const step of ofSqlite) {
    expect({ ...step, printed: run(step, latest) }).toEqual(step);
  }
}, 120_000);

test.skipIf(!hasPandas)("README.md says what pandas prints of a run", () => {
  expect(ofPandas.length).toBeGreaterThan(0);
  for (const step of ofPandas) {
    expect({ ...step, printed: run(step, latest) }).toEqual(step);
  }
}, 120_000);

/** The sessions below "records" comments; lines that begin with # say what a command is for. */
function readSteps(): Step[] {
  const sessions = [...README.matchAll(/<!-- records -->\n+```console\n([^]*?)```/g)];
  const lines = sessions.map(([, text]) => text).join("").replace(/^# .*\n/gm, "");
  return lines.split(/^\$ /m).slice(1).map((text) => {
    const [command = "", ...printed] = text.split("\n");
    return { command, printed: printed.join("\n") };
  });
}

function run(step: Step | undefined, cwd: string): string {
  const { command = "false" } = step ?? {};
  const result = spawnSync("sh", ["-ec", command], { cwd, env, encoding: "utf8" });
  expect(result).toMatchObject({ status: 0 });
  return result.stdout;
}

function succeeds(command: string): boolean {
  return spawnSync("sh", ["-c", command], { env, stdio: "ignore" }).status === 0;
}
