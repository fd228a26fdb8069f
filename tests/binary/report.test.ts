import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { afterEach, beforeEach, expect, test } from "bun:test";

import { join } from "@std/path";

import { answerFromReport, openReport } from "../../manager/dashboard/report_data.ts";
import { smallDisk } from "../integration/small_disk.ts";
import { type SyntheticRun, writeSyntheticRun } from "../manager/monitoring/synthetic_run.ts";
import { BINARY } from "./built.ts";

let directory = "";
let run: SyntheticRun;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tendril-report-test-"));
  const folder = join(directory, "tendril-runs/2026-11-22T02-45-10");
  mkdirSync(folder, { recursive: true });
  symlinkSync("2026-11-22T02-45-10", join(directory, "tendril-runs/latest"));
  run = writeSyntheticRun(join(folder, "monitoring.db"), { tasks: 300, workers: 4 });
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function environment() {
  return { PATH: process.env["PATH"], HOME: directory };
}

function report(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(BINARY, ["report", ...args], {
    cwd: directory,
    env: environment(),
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("tendril report --json prints the run and its overview as one document", () => {
  const { status, stdout, stderr } = report("--json");
  expect([status, stderr]).toEqual([0, ""]);
  const document = JSON.parse(stdout);
  expect(document).toMatchObject({ version: 1, run: { runId: "synthetic" } });
  expect(document.overview.now.submitted).toBe(300);
  expect(document.overview.bytes.managerToWorker).toBe(1_200_000_000);
});

test("tendril report serves a past run to whoever has the link, until Ctrl-C", async () => {
  const served = spawn(BINARY, ["report", "2026-11-22T02-45-10"], {
    cwd: directory,
    env: environment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [line] = await once(served.stdout, "data");
  const { origin, hash } = new URL(String(line).trim());
  expect(new URL(origin).hostname).toBe("127.0.0.1");
  const ask = (cookie: string, key: string): Promise<Response> =>
    fetch(`${origin}/api/ask`, {
      method: "POST",
      headers: { "content-type": "application/json", cookie, "tendril-key": key },
      body: JSON.stringify({ kind: "task", taskId: 7 }),
    });
  expect((await ask("", "")).status).toBe(401);
  const open = (): Promise<Response> =>
    fetch(`${origin}/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: hash.slice("#token=".length) }),
    });
  const session = await open();
  const { key, ...info } = await session.json() as { readonly key: string };
  expect(info).toMatchObject({ isLive: false, canAct: false });
  const cookie = session.headers.get("set-cookie")!.split(";")[0]!;
  expect(await (await ask(cookie, key)).json()).toMatchObject({
    taskId: 7,
    command: run.tasks[6]!.command,
  });
  expect((await open()).status).toBe(401);
  expect((await fetch(`${origin}/api/hosts`, { headers: { cookie } })).status).toBe(404);
  const rebound = spawnSync("curl", [
    "-s",
    "-o",
    "/dev/null",
    "-w",
    "%{http_code}",
    "-H",
    "Host: elsewhere.example.org",
    `${origin}/`,
  ], { encoding: "utf8" });
  if (rebound.status === 0) expect(rebound.stdout).toBe("421");
  served.kill("SIGINT");
  expect(await once(served, "exit")).toEqual([0, null]);
});

test("tendril report -o writes one page that holds the run and loads nothing", async () => {
  const { status, stdout } = report("latest", "-o", "report.html");
  expect([status, stdout]).toEqual([0, expect.stringMatching(/report\.html \(\d+ kB\)\n$/)]);
  const html = readFileSync(join(directory, "report.html"), "utf8");
  expect(html).not.toMatch(/(?:src|href)="(?!data:)/);
  const [, packed] = /<script type="text\/plain" id="tendril-report">([^<]*)</.exec(html)!;
  const data = await openReport(packed!);
  const failed = answerFromReport(data, {
    kind: "tasks",
    outcomes: ["failed"],
    sort: "id",
    isDescending: false,
    offset: 0,
    limit: 1_000,
  });
  expect(failed.rows.map(({ taskId }) => taskId)).toEqual(
    run.tasks.filter(({ outcome }) => !["success", "cancelled"].includes(outcome!))
      .map(({ taskId }) => taskId),
  );
  expect(readdirSync(directory).toSorted()).toEqual(["report.html", "tendril-runs"]);
});

test("tendril report -o leaves no half page on a full disk", () => {
  const folder = join(directory, "small");
  using disk = smallDisk(folder, 64 * 1024);
  if (disk === undefined) return;
  const { status, stderr } = report("-o", join(folder, "report.html"));
  expect(status).toBe(1);
  expect(stderr).toMatch(/^tendril report: Cannot write report ".*": ENOSPC/);
  expect(readdirSync(folder)).toEqual([]);
});

test("tendril report says what it cannot open or take", () => {
  expect(report("yesterday")).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^tendril report: Cannot open run "yesterday" as a past one: /),
  });
  expect(report("--json", "-o", "x")).toMatchObject({ status: 2 });
  expect(report("a", "b")).toMatchObject({ status: 2 });
});
