/** The example of every command's help is run, and all that has --json is read by jq. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { MANAGER_COMMANDS } from "../../manager/cli.ts";
import { CACHE_COMMAND } from "../../worker/cli_cache.ts";
import { PACK_COMMAND } from "../../worker/cli_pack.ts";
import { WORKER_COMMAND } from "../../worker/cli.ts";
import { writeSyntheticRun } from "../manager/monitoring/synthetic_run.ts";
import { until } from "../until.ts";
import { BINARY } from "./built.ts";
import { hasProgram } from "./tmux.ts";

const COMMANDS = [...MANAGER_COMMANDS, WORKER_COMMAND, CACHE_COMMAND, PACK_COMMAND];

/** How the example of one command is run, and what then is so. */
interface Run {
  /** Made before it, from the folder. */
  readonly files?: { readonly [path: string]: string };
  /** What it is interrupted after, on standard output or error. */
  readonly until?: RegExp;
  /** Default 0. */
  readonly status?: number;
  /** On standard output or error. */
  readonly says?: RegExp;
  /** Left there, in the folder. */
  readonly leaves?: string;
}

const WORKFLOW = `import { Manager } from "tendril";
await using manager = await Manager.start();
console.log((await manager.submit({ command: "echo " + process.argv.slice(2).join() })).stdout);`;

const RUN_FILE = JSON.stringify({
  version: 1,
  name: "old",
  managerId: "old",
  tendrilVersion: "0",
  pid: 1,
  host: "elsewhere",
  startedAtMs: 1,
  end: { atMs: 2, succeededCount: 1, failedCount: 0, cancelledCount: 0 },
});

/** The manager and the worker of the others come first, and stay. */
const RUNS: { readonly [command: string]: Run } = {
  run: { files: { "workflow.ts": WORKFLOW }, says: /^--seed,7$/m },
  init: { leaves: "my-workflow/workflow.ts" },
  submit: { says: /^tasks: 20 succeeded; in /m },
  wait: { says: /^tasks: 10 succeeded; in /m },
  cancel: { says: /^cancelled 0 tasks$/m },
  status: { says: /"succeeded": 20,/ },
  tasks: { says: /^ID +STATE +OUTCOME / },
  calls: {},
  workers: { says: /"host": / },
  files: { says: /^ID +KIND +CACHE / },
  libraries: { until: /^LIBRARY +PROGRAM /, status: 130 },
  logs: { says: /^20: 20$/m },
  explain: { says: /^tasks 1-20 \(20\) are done/ },
  tune: { says: /^peerTransfers is false$/m },
  block: { says: /^blocked host node17$/m },
  unblock: { says: /^unblocked host node17$/m },
  drain: { says: /^draining host node17$/m },
  runs: {
    files: { "tendril-runs/2020-01-01T00-00-00/run.json": RUN_FILE },
    says: /^2020-01-01T00-00-00$/m,
  },
  memo: { says: /^forgot 0 results$/m },
  report: { says: /report\.html \(/, leaves: "report.html" },
  dashboard: { says: /^http:.+#token=/m },
  access: { leaves: "blast-worker.json" },
  completions: {},
  cache: {},
  pack: { files: { "miniconda3/envs/blast/bin/blast": "" }, leaves: "blast.tar.gz" },
};

/** Arguments of commands with --json that make sense with the manager of this test. */
const JSON_ARGUMENTS: { readonly [command: string]: string } = {
  submit: "--wait -- true",
  wait: "last",
  cancel: "last",
  status: "",
  tasks: "--state done --outcome success --sort time --limit 3",
  calls: "--state failed",
  workers: "--host nowhere",
  files: "--level workflow --kind temp",
  libraries: "digits",
  logs: "last",
  explain: "last",
  tune: "dispatchAhead=3",
  block: "node18",
  unblock: "node18",
  drain: "node18",
  runs: "list",
  memo: "list",
  report: "latest",
  dashboard: "",
  cache: "list",
};

let folder = "";
let worker: ChildProcess | undefined;
let managerProcess = 0;

function environment(): NodeJS.ProcessEnv {
  return {
    PATH: `${folder}/bin:${process.env["PATH"]}`,
    HOME: folder,
    TMPDIR: folder,
    TENDRIL_RUN_DIRECTORY: "none",
  };
}

/** As it stands in the help, with the name of the manager that runs. */
function exampleOf(name: string): string {
  const found = COMMANDS.find((command) => command.name === name);
  return found?.example.replaceAll("--name blast", "--name demo") ?? "";
}

function start(line: string): { child: ChildProcess; said: () => string } {
  const child = spawn("bash", ["-c", line], { cwd: folder, env: environment(), detached: true });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (bytes) => said += String(bytes));
  }
  return { child, said: () => said };
}

async function execute(line: string, run: Run = {}): Promise<{ status: unknown; said: string }> {
  const { until: pattern } = run;
  // A signal is for the command, not for its shell.
  const { child, said } = start(pattern === undefined ? line : `exec ${line}`);
  const ended = once(child, "close");
  if (pattern !== undefined) {
    await until(() => pattern.test(said()), `${line} says ${pattern}, not ${said()}`);
    child.kill("SIGINT");
  }
  return { status: (await ended)[0], said: said() };
}

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "tendril-examples-")));
  mkdirSync(join(folder, "bin"));
  symlinkSync(BINARY, join(folder, "bin/tendril"));
  const past = join(folder, "tendril-runs/2020-01-02T00-00-00");
  mkdirSync(past, { recursive: true });
  writeSyntheticRun(join(past, "monitoring.db"), { tasks: 10, workers: 1 });
  symlinkSync(past, join(folder, "tendril-runs/latest"));
  const access = join(folder, ".tendril/managers/demo.json");
  start(exampleOf("manager"));
  await until(() => existsSync(access), "the manager runs");
  managerProcess = JSON.parse(readFileSync(access, "utf8")).pid;
  worker = start(`exec ${exampleOf("worker")}`).child;
});

afterAll(async () => {
  if (worker !== undefined) {
    const ended = once(worker, "exit");
    worker.kill("SIGTERM");
    await ended;
  }
  if (managerProcess > 0) process.kill(managerProcess, "SIGTERM");
  await until(() => !existsSync(`/proc/${managerProcess}/exe`), "the manager has ended");
  rmSync(folder, { recursive: true, force: true });
});

test("the example of every command's help does what it says", async () => {
  const names = COMMANDS.map(({ name }) => name).filter((name) => {
    return name !== "manager" && name !== "worker";
  });
  expect(Object.keys(RUNS).sort()).toEqual([...names].sort());
  for (const [name, run] of Object.entries(RUNS)) {
    for (const [path, contents] of Object.entries(run.files ?? {})) {
      mkdirSync(join(folder, path, ".."), { recursive: true });
      writeFileSync(join(folder, path), contents);
    }
    const example = exampleOf(name);
    const { status, said } = await execute(example, run);
    expect([example, status, said]).toEqual([
      example,
      run.status ?? 0,
      expect.stringMatching(run.says ?? /^/),
    ]);
    if (run.leaves !== undefined) expect(existsSync(join(folder, run.leaves))).toBe(true);
  }
}, 120_000);

test.skipIf(!hasProgram("jq"))("jq reads what every command prints with --json", async () => {
  const names = COMMANDS.filter(({ options }) => "json" in options).map(({ name }) => name);
  expect(Object.keys(JSON_ARGUMENTS).sort()).toEqual([...names].sort());
  for (const [name, args] of Object.entries(JSON_ARGUMENTS)) {
    const line = `bash -o pipefail -c "tendril ${name} --json ${args} | jq -e .version"`;
    expect([name, await execute(line)]).toEqual([name, { status: 0, said: "1\n" }]);
  }
}, 120_000);

test.skipIf(!hasProgram("jq"))("jq reads each line of a table that is watched", async () => {
  const line = "tendril status --watch=0.1 --json | head -n 1 | jq -e .tasks.succeeded";
  expect((await execute(`bash -c "${line}"`)).said).toMatch(/^\d+\n$/);
}, 120_000);
