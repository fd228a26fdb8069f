/** Managers that other hosts can reach, and the access files of their workers, by the binary. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { AccessFile } from "../../shared/access_file.ts";
import { BINARY } from "./built.ts";

/** For one command; a manager that does not end is a failure, too. */
const COMMAND_MS_MAX = 60_000;

let home = "";
let children: ChildProcess[] = [];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "tendril-doors-"));
  children = [];
});

afterEach(async () => {
  for (const child of children) await end(child, "SIGTERM");
  rmSync(home, { recursive: true, force: true });
});

const options = () => ({ cwd: home, env: { PATH: process.env["PATH"], HOME: home, TMPDIR: home } });

function tendril(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(BINARY, args, {
    ...options(),
    encoding: "utf8",
    timeout: COMMAND_MS_MAX,
  });
  return { status, stdout, stderr };
}

/** Starts what goes on; resolves when it has said something on stderr. */
async function start(...args: string[]): Promise<ChildProcess> {
  const child = spawn(BINARY, args, { ...options(), stdio: ["ignore", "ignore", "pipe"] });
  children.push(child);
  await once(child.stderr, "data");
  child.stderr.resume();
  return child;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

test(
  "tendril access makes a file by which a worker joins over TLS, and no client is let in",
  async () => {
    await start("manager", "--name", "oak", "--listen", ":0");
    expect(tendril("access", "--role", "worker", "-o", "worker.json")).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect(statSync(join(home, "worker.json")).mode & 0o777).toBe(0o600);
    const access: AccessFile = JSON.parse(readFileSync(join(home, "worker.json"), "utf8"));
    expect(Object.keys(access.secrets)).toEqual(["worker"]);
    expect(access.urls.filter((url) => !url.startsWith("https:"))).toEqual([]);
    expect(tendril("status", "--access", "worker.json")).toMatchObject({
      status: 1,
      stderr: 'tendril status: Cannot ask manager "oak": its access file has no client secret: ' +
        "it was made for role worker\n",
    });
    const viewer = tendril("access", "--role", "viewer", "-o", "-");
    expect(Object.keys((JSON.parse(viewer.stdout) as AccessFile).secrets)).toEqual(["viewer"]);
    await start(
      "worker",
      "--verbose",
      "--access",
      "worker.json",
      "--workspace",
      join(home, "work"),
    );
    expect(tendril("submit", "--wait", "--", "true")).toMatchObject({ status: 0 });
    const shown = tendril("status").stdout;
    expect(shown).toStartWith(`manager: oak at ${access.urls[0]}\nalso at: ${access.urls[1]}`);
  },
  120_000,
);

test("tendril manager lets local workers in by loopback, wherever it listens", async () => {
  await start("manager", "--name", "oak", "--listen", "0.0.0.0:0", "--workers", "1");
  expect(tendril("submit", "--wait", "--", "true")).toMatchObject({ status: 0 });
  const { stdout } = tendril("workers", "--json");
  expect(JSON.parse(stdout).workers).toHaveLength(1);
}, 120_000);

test("tendril manager takes the name of one that was killed, and of no other", async () => {
  const first = await start("manager", "--name", "oak");
  const refused = tendril("manager", "--name", "oak");
  expect(refused.status).toBe(1);
  expect(refused.stderr).toStartWith(
    `tendril manager: Cannot use "oak" as the name of this manager: process ${first.pid} on `,
  );
  await end(first, "SIGKILL");
  expect(tendril("status").stderr).toEndWith(
    `no manager of this user runs; ended: oak (process ${first.pid})\n`,
  );
  expect(tendril("status", "--name", "oak").stderr).toContain("it has ended: its process ");
  await start("manager", "--name", "oak");
  expect(tendril("status")).toMatchObject({ status: 0, stderr: "" });
}, 120_000);

test("tendril manager ends with what is wrong when it cannot listen, or encrypt", () => {
  const elsewhere = tendril("manager", "--listen", "192.0.2.250:0");
  expect(elsewhere.status).toBe(1);
  expect(elsewhere.stderr).toContain("this machine has no such address; there are ");
  const half = tendril("manager", "--tls-key", "key.pem");
  expect([half.status, half.stderr]).toEqual([
    2,
    "tendril manager: Cannot use --tls-key without --tls-cert: both are wanted\n",
  ]);
  const both = tendril("run", "--insecure", "--tls-cert", BINARY, "--tls-key", BINARY, "x.ts");
  expect(both.status).toBe(2);
}, 120_000);
