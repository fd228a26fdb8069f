import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
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
    expect(outputCount).toBe(4);
    expect(run("deno check --quiet *.ts; deno run -A workflow.ts; bun workflow.ts")).toBe(
      "272\n271\n271\n".repeat(2),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);

test("README.md names options that exist, and links to what is there", () => {
  const help = ["run", "status", "worker", "init"].map((command) => {
    return spawnSync(BINARY, [command, "--help"], { encoding: "utf8" }).stdout;
  }).join("");
  const known = new Set([...help.matchAll(/--[a-z-]+/g)].map(([option]) => option));
  // Options of scripts/build, and of the script in an example.
  for (const option of ["--all", "--seed"]) known.add(option);
  const options = [...README.matchAll(/(?<=[\s`])--[a-z][a-z-]*/g)].map(([option]) => option);
  expect(options.filter((option) => !known.has(option))).toEqual([]);
  for (const [, path = ""] of README.matchAll(/\]\(([^#)]+)\)/g)) {
    expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
  }
});
