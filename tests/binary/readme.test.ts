import { expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { dirname, join } from "@std/path";

import { BINARY, ROOT } from "./built.ts";

const README = readFileSync(join(ROOT, "README.md"), "utf8");

/** A code block with the comment above it: `file: NAME`, `run` or `output`. */
const BLOCK = /<!-- (run|output|file: (\S+)) -->\n+```\w+\n([^]*?)```\n/g;

test("README.md runs as it says: its files, its commands and what they print", () => {
  const directory = mkdtempSync(join(tmpdir(), "tendril-readme-"));
  const env = {
    ...process.env,
    PATH: `${dirname(BINARY)}:${process.env["PATH"]}`,
    TENDRIL_HOME: join(directory, "home"),
  };
  const run = (command: string) => {
    const result = spawnSync("sh", ["-ec", command], { cwd: directory, env, encoding: "utf8" });
    expect(result).toMatchObject({ status: 0 });
    return result.stdout;
  };
  try {
    const { status } = spawnSync(BINARY, ["init"], { cwd: directory });
    expect(status).toBe(0);
    let printed = "";
    let outputCount = 0;
    for (const [, kind, name, text = ""] of README.matchAll(BLOCK)) {
      if (name !== undefined) writeFileSync(join(directory, name), text);
      else if (kind === "run") printed = run(text);
      else {
        expect(printed).toBe(text);
        outputCount += 1;
      }
    }
    expect(outputCount).toBe(10);
    expect(run("deno check --quiet *.ts; deno run -A workflow.ts; bun workflow.ts")).toBe(
      "272\n271\n271\n".repeat(2),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 120_000);

test("README.md shows how to submit without code, and it works as it stands", async () => {
  const [, text = ""] = /<!-- session -->\n+```sh\n([^]*?)```/.exec(README) ?? [];
  const directory = mkdtempSync(join(tmpdir(), "tendril-readme-"));
  const env = {
    ...process.env,
    PATH: `${dirname(BINARY)}:${process.env["PATH"]}`,
    TENDRIL_HOME: join(directory, "home"),
    TENDRIL_WORKSPACE: directory,
  };
  const lines = text.trim().split("\n");
  const left: ChildProcess[] = [];
  try {
    const printed: string[] = [];
    for (const line of lines) {
      const [, command] = /^(.*) &$/.exec(line) ?? [];
      if (command !== undefined) {
        left.push(spawn("sh", ["-c", `exec ${command}`], { cwd: directory, env, stdio: "ignore" }));
        continue;
      }
      const result = spawnSync("sh", ["-ec", line], { cwd: directory, env, encoding: "utf8" });
      expect(result).toMatchObject({ status: 0 });
      printed.push(result.stdout);
    }
    expect(left.length).toBe(2);
    const [submitted = "", logs = "", status = ""] = printed;
    expect(submitted).toBe("submitted tasks 1-20\n");
    expect(logs).toBe(Array.from({ length: 20 }, (_, index) => `${index + 1}\n`).join(""));
    expect(JSON.parse(status)).toMatchObject({ version: 1, tasks: { succeeded: 20 } });
  } finally {
    for (const child of left) {
      child.kill("SIGTERM");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    rmSync(directory, { recursive: true, force: true });
  }
}, 120_000);

test("README.md lists every attack that is a test, and no other", () => {
  const source = readFileSync(join(ROOT, "tests/binary/attacks.test.ts"), "utf8");
  const tested = [...source.matchAll(/^attack\(\s*"(.+?) → (.+?)",/gm)];
  const [, table = ""] = /<!-- attacks -->\n\n([^]*?)\n\n/.exec(README) ?? [];
  const rows = table.split("\n").slice(2).map((row) => row.split("|").map((cell) => cell.trim()));
  expect(rows.length).toBeGreaterThanOrEqual(20);
  const listed = rows.map(([, attack, result]) => `${attack} → ${result}`);
  const wanted = tested.map(([, attack, result]) => `${attack} → ${result}`);
  expect(listed.sort()).toEqual(wanted.sort());
});

test("README.md names options that exist, and links to what is there", () => {
  const commands = [
    "run",
    "init",
    "manager",
    "worker",
    "access",
    "submit",
    "status",
    "tasks",
    "logs",
    "cancel",
    "explain",
    "libraries",
    "block",
    "dashboard",
    "report",
    "runs",
    "memo",
    "workers",
    "files",
    "completions",
  ];
  const help = commands.map((command) => {
    return spawnSync(BINARY, [command, "--help"], { encoding: "utf8" }).stdout;
  }).join("");
  const known = new Set([...help.matchAll(/--[a-z-]+/g)].map(([option]) => option));
  // Options of scripts/build and scripts/simulate, and of the script in an example.
  for (const option of ["--all", "--seed", "--seeds"]) known.add(option);
  // Those of TaskVine's plot tools.
  for (const option of ["--mode", "--out", "--task-view"]) known.add(option);
  const options = [...README.matchAll(/(?<=[\s`])--[a-z][a-z-]*/g)].map(([option]) => option);
  expect(options.filter((option) => !known.has(option))).toEqual([]);
  for (const [, path = ""] of README.matchAll(/\]\(([^#)]+)\)/g)) {
    expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
  }
});
