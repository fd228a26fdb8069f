import { expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { BINARY } from "./built.ts";

const SCRIPT = `
import { Manager } from "tendril";
await using manager = await Manager.start({ name: "oak", workers: { cores: 2 } });
const library = manager.library({ name: "digits", module: "./digits.ts", slots: 2 });
await library.with({ cores: 1 }).call("add", 1, 2).value();
console.log("ready");
await new Promise((resolve) => process.stdin.once("end", resolve).resume());
`;

test("tendril libraries lists them, as a table or JSON, and again as they change", async () => {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "tendril-test-")));
  writeFileSync(join(directory, "script.ts"), SCRIPT);
  const module = "export function add(a: number, b: number): number { return a + b; }";
  writeFileSync(join(directory, "digits.ts"), module);
  const env = { PATH: process.env["PATH"], HOME: directory };
  const script = spawn(BINARY, ["run", "--quiet", "script.ts"], { cwd: directory, env });
  const ended = once(script, "close");
  try {
    await once(script.stdout, "data");
    const run = (...args: string[]) => spawnSync(BINARY, args, { env, encoding: "utf8" }).stdout;
    const { version, libraries } = JSON.parse(run("libraries", "--name", "oak", "--json"));
    expect([version, libraries]).toEqual([1, [{
      name: "digits",
      program: "javascript",
      mode: "direct",
      slots: 2,
      instances: { starting: 0, ready: 1, retiring: 0 },
      workers: 1,
      calls: { waiting: 0, running: 0, done: 1, failed: 0 },
      failedStarts: 0,
    }]]);
    const table = run("libraries", "--name", "oak");
    expect(table).toMatch(/^LIBRARY +PROGRAM +MODE +SLOTS .*\ndigits +javascript +direct +2 /);
    const args = ["libraries", "--name", "oak", "--json", "--watch"];
    const watch = spawn(BINARY, args, { env });
    const [line] = await once(watch.stdout, "data");
    expect(JSON.parse(String(line)).libraries).toMatchObject([{ name: "digits" }]);
    const gone = once(watch, "close");
    script.stdin.end();
    // The manager is no more.
    expect((await gone)[0]).toBe(1);
  } finally {
    script.stdin.end();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}, 120_000);
