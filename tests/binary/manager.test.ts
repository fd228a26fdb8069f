/** A manager that outlives its clients, by the compiled binary alone. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { BINARY } from "./built.ts";

let home = "";

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "tendril-manager-"));
});

afterEach(() => rmSync(home, { recursive: true, force: true }));

const options = () => ({ cwd: home, env: { PATH: process.env["PATH"], HOME: home, TMPDIR: home } });

/** Starts a manager; resolves with its first line. */
async function start(
  args: readonly string[],
  program: readonly string[] = [BINARY],
): Promise<{ child: ChildProcess; line: string; ended: Promise<number | string | null> }> {
  const [command = "", ...before] = program;
  const child = spawn(command, [...before, "manager", ...args], {
    ...options(),
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise<number | string | null>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? code));
  });
  const line = await new Promise<string>((resolve) => {
    let said = "";
    child.stderr?.on("data", (bytes) => {
      said += bytes;
      if (said.includes("\n")) resolve(said);
    });
  });
  return { child, line, ended };
}

function tendril(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const limits = { encoding: "utf8", timeout: 30_000 } as const;
  const { status, stdout, stderr } = spawnSync(BINARY, args, { ...options(), ...limits });
  return { status, stdout, stderr };
}

test("tendril manager says how to reach it, and ends in good order on signals", async () => {
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
    const { child, line, ended } = await start([]);
    expect(line).toMatch(
      /^manager "default" at http:\/\/127\.0\.0\.1:\d+; workers: tendril worker --name default; tasks: tendril submit --name default -- COMMAND\ndashboard: http:\/\/127\.0\.0\.1:\d+\/ \(for a link: tendril dashboard --name default\)\n$/,
    );
    expect(tendril("submit", "--", "true")).toMatchObject({ status: 0 });
    child.kill(signal);
    expect(await ended).toBe(code);
    expect(readdirSync(join(home, ".tendril", "managers"))).toEqual([]);
    expect(readdirSync(home).filter((name) => name.startsWith("tendril-manager-"))).toEqual([]);
  }
}, 120_000);

test("tendril dashboard prints a fresh link that opens the dashboard of the binary", async () => {
  const { child, ended } = await start(["--name", "oak"]);
  const shown = tendril("dashboard");
  expect(shown).toMatchObject({ status: 0, stderr: "" });
  expect(shown.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}\n$/);
  const told = JSON.parse(tendril("dashboard", "--name", "oak", "--json").stdout);
  expect(told).toMatchObject({ version: 1, name: "oak", canAct: true });
  expect(told.url).not.toBe(shown.stdout.trim());
  const { origin, hash } = new URL(told.url);
  const body = JSON.stringify({ token: hash.replace("#token=", "") });
  const opened = await fetch(`${origin}/session`, { method: "POST", body });
  expect([opened.status, await opened.json()]).toEqual([
    200,
    { version: 1, isLive: true, canAct: true, key: expect.stringMatching(/^[\w-]{43}$/) },
  ]);
  for (const path of ["/", "/assets/page.js", "/assets/style.css"]) {
    const part = await fetch(origin + path);
    expect([part.status, (await part.text()).length > 100]).toEqual([200, true]);
  }
  const viewers = join(home, "viewer.json");
  expect(tendril("access", "--role", "viewer", "-o", viewers).status).toBe(0);
  const looking = JSON.parse(tendril("dashboard", "--access", viewers, "--json").stdout);
  expect(looking.canAct).toBe(false);
  child.kill("SIGTERM");
  expect(await ended).toBe(143);
}, 120_000);

test("tendril manager stays when it was started with nohup and its terminal goes", async () => {
  const { child, ended } = await start(["--name", "stay"], ["nohup", BINARY]);
  child.kill("SIGHUP");
  expect(tendril("status", "--name", "stay")).toMatchObject({ status: 0 });
  child.kill("SIGTERM");
  expect(await ended).toBe(143);
}, 120_000);

test("tendril manager refuses wrong options, and a name that is taken", async () => {
  expect(tendril("manager", "--workers", "x")).toMatchObject({
    status: 2,
    stderr: 'tendril manager: Cannot read --workers "x" as a number of workers\n',
  });
  expect(tendril("manager", "extra").status).toBe(2);
  const { child, ended } = await start(["--name", "oak", "--workers", "1"]);
  const second = tendril("manager", "--name", "oak");
  expect(second.status).toBe(1);
  expect(second.stderr).toContain('Cannot use "oak" as the name of this manager: process ');
  expect(tendril("submit", "--wait", "--", "true").status).toBe(0);
  child.kill("SIGTERM");
  expect(await ended).toBe(143);
}, 120_000);

test("tendril manager ends at once, with one line, when its port is taken", async () => {
  const { child, line, ended } = await start(["--name", "first"]);
  const [, port = ""] = /:(\d+);/.exec(line) ?? [];
  for (const workers of ["0", "1"]) {
    const args = ["--name", "second", "--workers", workers, "--listen", `127.0.0.1:${port}`];
    expect(tendril("manager", ...args)).toEqual({
      status: 1,
      stdout: "",
      stderr:
        `tendril manager: Cannot listen on "127.0.0.1:${port}" as the address of this manager: ` +
        "another process listens there; port 0 is any free one\n",
    });
  }
  expect(readdirSync(home).filter((name) => name.startsWith("tendril-manager-"))).toHaveLength(1);
  child.kill("SIGTERM");
  await ended;
}, 120_000);
