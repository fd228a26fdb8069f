import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { BINARY } from "./built.ts";

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tendril-cli-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function environment(variables: Record<string, string> = {}) {
  return { PATH: process.env["PATH"], HOME: directory, ...variables };
}

function tendril(args: readonly string[], variables: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(BINARY, args, {
    cwd: directory,
    env: environment(variables),
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("tendril help lists every command; help COMMAND and --help show its options", () => {
  const help = tendril(["help"]);
  expect(help).toMatchObject({ status: 0, stderr: "" });
  expect(tendril([]).stdout).toBe(help.stdout);
  expect(tendril(["-h"]).stdout).toBe(help.stdout);
  for (const name of ["run", "init", "submit", "logs", "status", "tune", "worker", "pack"]) {
    expect(help.stdout).toContain(`\n  ${name} `);
    const shown = tendril([name, "--help"]);
    expect(shown).toMatchObject({ status: 0, stderr: "" });
    expect(shown.stdout).toMatch(
      new RegExp(`^Usage: tendril ${name}[^]*\nExample: tendril ${name}`),
    );
    expect(tendril(["help", name])).toEqual(shown);
  }
  expect(tendril(["version"])).toEqual(tendril(["--version"]));
});

test.each([
  ["bogus", 2, 'tendril: Cannot run "bogus" as a command: expected run, init, manager, submit, w'],
  ["help bogus", 2, 'tendril: Cannot run "bogus" as a command: expected '],
  ["version 2", 2, 'tendril: Cannot take "2" as an argument of version: it takes none'],
  ["run", 2, "tendril run: Cannot run a workflow without a script: expected tendril run "],
  [
    "run --wrkers 2 x.ts",
    2,
    'tendril run: Cannot take "--wrkers" as an option of run: expected --',
  ],
  ["run -w 2 x.ts", 2, 'tendril run: Cannot take "-w" as an option of run: expected --workers, '],
  ["run --workers two x.ts", 2, 'tendril run: Cannot read --workers "two" as a number of workers'],
  [
    "run --workers",
    2,
    "tendril run: Cannot read --workers without its value: expected --workers N",
  ],
  ["run --listen 10.0.0.1:99999 x.ts", 2, "tendril run: Cannot take listen of Manager.start "],
  ["run --config x.yaml x.ts", 2, 'tendril run: Cannot read "x.yaml" as a configuration: '],
  ["run --policy speed=1 x.ts", 2, 'tendril run: Cannot take "speed" as an option of policies: '],
  [
    "run --policy speed x.ts",
    2,
    'tendril run: Cannot read --policy "speed" as a policy: expected ',
  ],
  ["init a b", 2, 'tendril init: Cannot take "b" as an argument of init: expected tendril init [D'],
  ["status oak", 2, 'tendril status: Cannot take "oak" as an argument of status: expected tendri'],
  ["status", 1, "tendril status: Cannot tell which manager is meant: no manager of this user runs"],
  ["status --name oak", 1, 'tendril status: Cannot find manager "oak": no manager of this user '],
  ["logs", 2, "tendril logs: Cannot tell which tasks are meant: expected tendril logs SEL"],
  ["wait 3-1", 2, 'tendril wait: Cannot read "3-1" as a selection of tasks: expected 5, 1-10, '],
  ["tasks --state x", 2, 'tendril tasks: Cannot read --state "x" as one of waiting, ready, '],
  ["tune x", 2, 'tendril tune: Cannot read "x" as a policy: expected NAME=VALUE'],
  ["tune speed=1", 2, 'tendril tune: Cannot take "speed" as an option of policies: there are '],
  ["submit", 2, "tendril submit: Cannot submit a task without a command: expected tendril submit "],
  ["submit --input a true", 2, 'tendril submit: Cannot read --input "a": expected NAME=PATH'],
  ["submit --input a=/nowhere true", 2, 'tendril submit: Cannot read --input a "/nowhere": ENOENT'],
  ["submit --environment /nowhere true", 2, 'tendril submit: Cannot read --environment "/nowh'],
  ["submit --cores two true", 2, 'tendril submit: Cannot read --cores "two" as a number'],
  ["submit --array 3-1 true", 2, 'tendril submit: Cannot read --array "3-1" as numbers: expected '],
  ["submit --output o=x --array 1-2 true", 2, "tendril submit: Cannot write the output of 2 tasks"],
  ["cancel all --name oak", 1, 'tendril cancel: Cannot find manager "oak": no manager of this us'],
  ["worker --cores few", 2, 'tendril worker: Cannot read --cores "few" as a number above 0'],
  ["submit --name ../x true", 2, 'tendril submit: Cannot use "../x" as the name of a manager: '],
  ["access --role worker -o - --name ../x", 2, 'tendril access: Cannot use "../x" as the name of'],
  ["worker --name oak --workspace /dev/null", 1, 'tendril worker: Cannot use "/dev/null" for a w'],
  [
    "manager --listen name.invalid",
    1,
    'tendril manager: Cannot listen on "name.invalid:0" as the ',
  ],
])("tendril %s ends with code %d and one line that says what is wrong", (args, status, message) => {
  const result = tendril(args.split(" "));
  expect(result).toMatchObject({ status, stdout: "" });
  expect(result.stderr).toStartWith(message);
  expect(result.stderr).toMatch(/^[^\n]+\n$/);
});

const NAMES = `import { Manager } from "tendril";
await using stated = await Manager.start({ name: "stated", workers: 0 });
await using given = await Manager.start({});
console.log(stated.name, given.name);`;

test("tendril run gives the script's managers its options, or variables; the script's own win", () => {
  writeFileSync(join(directory, "names.ts"), NAMES);
  const given = tendril(["run", "--name", "given", "names.ts"]);
  expect(given).toMatchObject({ status: 0, stdout: "stated given\n" });
  const lines = given.stderr.replaceAll(/:\d+/g, ":0").split("\n");
  expect(lines).toEqual([
    ...["stated", "given"].map((name) =>
      `dashboard: http://127.0.0.1:0/ (for a link: tendril dashboard --name ${name})`
    ),
    "",
  ]);
  const variables = { TENDRIL_NAME: "variable" };
  expect(tendril(["run", "names.ts"], variables).stdout).toBe("stated variable\n");
  expect(tendril(["run", "--name", "given", "names.ts"], variables).stdout).toBe("stated given\n");
  expect(tendril(["run", "names.ts"], { TENDRIL_WORKERS: "many" })).toEqual({
    status: 2,
    stdout: "",
    stderr: 'tendril run: Cannot read --workers "many" as a number of workers\n',
  });
});

const ONE_TASK = `import { Manager } from "tendril";
await using manager = await Manager.start();
console.log((await manager.submit({ command: "true" })).outcome);`;

test("tendril run sums up on stderr, unless it is to be quiet", () => {
  writeFileSync(join(directory, "one.ts"), ONE_TASK);
  const loud = tendril(["run", "--workers", "1", "one.ts"]);
  expect(loud).toMatchObject({ status: 0, stdout: "success\n" });
  expect(loud.stderr).toMatch(
    /^dashboard: http:[^\n]+\ntasks: 1 succeeded; in .*\/s; moved: 0 B\n$/,
  );
  const without = tendril(["run", "--no-dashboard", "--workers", "1", "one.ts"]);
  expect(without.stderr).toMatch(/^tasks: 1 succeeded; in .*\/s; moved: 0 B\n$/);
  const quiet = { status: 0, stdout: "success\n", stderr: "" };
  expect(tendril(["run", "--quiet", "--workers", "1", "one.ts"])).toEqual(quiet);
  expect(tendril(["run", "one.ts"], { TENDRIL_WORKERS: "1", TENDRIL_QUIET: "1" })).toEqual(quiet);
}, 120_000);

test("tendril run fails with the reason when no local worker can run", () => {
  writeFileSync(join(directory, "one.ts"), ONE_TASK);
  const result = tendril(["run", "--workers", "2", "one.ts"], { TENDRIL_BIN: "/bin/false" });
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("Cannot run local workers: none of them came; Local worker ");
}, 120_000);

const WAITING = `import { Manager } from "tendril";
await using manager = await Manager.start();
const task = manager.submit({ command: "true" });
console.log("submitted");
console.log((await task).outcome);`;

test("tendril status asks a manager that runs; tendril worker joins it by name", async () => {
  writeFileSync(join(directory, "waiting.ts"), WAITING);
  const manager = spawn(BINARY, ["run", "--name", "oak", "waiting.ts"], {
    cwd: directory,
    env: environment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    let printed = "";
    manager.stdout.on("data", (data) => void (printed += data));
    const exited = once(manager, "exit");
    while (!printed.includes("submitted")) await once(manager.stdout, "data");
    const { status, stdout } = tendril(["status", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      version: 1,
      name: "oak",
      tasks: { submitted: 1, succeeded: 0 },
      workers: { connected: 0 },
      bytes: { managerToWorker: 0 },
    });
    expect(tendril(["status", "--name", "oak"]).stdout).toMatch(
      /^manager: oak at http:\/\/127\.0\.0\.1:\d+\ntasks: 0\/1 done, 1 waiting, .*\n$/,
    );
    const worker = tendril(["worker", "--name", "oak", "--single", "--workspace", directory]);
    expect(worker).toMatchObject({ status: 0, stdout: "" });
    expect(await exited).toEqual([0, null]);
    expect(printed).toBe("submitted\nsuccess\n");
  } finally {
    manager.kill("SIGKILL");
  }
}, 120_000);
