/** The folder of a real run: logs of manager and workers, outputs of failed tasks. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

import { expect, test } from "bun:test";
import { join } from "@std/path";

import { Manager } from "../../mod.ts";
import { accessPath, readAccessFile } from "../../shared/access_file.ts";
import { BINARY, ROOT } from "../binary/built.ts";
import { Scratch } from "./scratch.ts";
import { smallDisk } from "./small_disk.ts";

type Line = { readonly [name: string]: unknown };

/** Each line has to be JSON. */
function linesOf(path: string): Line[] {
  return readFileSync(path, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
}

test(
  "A run leaves logs in JSON lines, its end, and what failed tasks wrote, and no secret",
  async () => {
    await using scratch = await Scratch.open();
    const manager = await Manager.start({
      workers: 1,
      runDirectory: scratch.path("runs"),
      logLevel: "debug",
    });
    const { secrets } = await readAccessFile(accessPath(manager.name));
    const token = "a-secret-in-the-environment";
    const failed = manager.submit({
      command: "echo before; echo oh no >&2; exit 3",
      env: { TOKEN: token },
      retries: 1,
    });
    const slow = manager.submit({ command: "sleep 60", timeout: "100ms" });
    await manager.submit({ command: "echo fine" }).orThrow();
    expect([(await failed).outcome, (await slow).outcome]).toEqual(["exit", "timeout"]);
    await manager.close();
    const path = manager.runDirectory ?? "";
    expect(readdirSync(path).filter((name) => ["logs", "outputs", "run.json"].includes(name)))
      .toHaveLength(3);
    expect(readdirSync(join(path, "outputs")).sort()).toEqual(
      [1, 2].flatMap((number) => [`1-${number}.stderr`, `1-${number}.stdout`]),
    );
    expect(readFileSync(join(path, "outputs", "1-2.stderr"), "utf8")).toBe("oh no\n");
    expect(readdirSync(join(path, "logs")).sort()).toEqual(["manager.log", "worker-1.log"]);
    const [ofManager, ofWorker] = ["manager.log", "worker-1.log"].map((name) =>
      linesOf(join(path, "logs", name))
    );
    const eventsOf = (lines: Line[] = []): unknown[] => lines.map(({ event }) => event);
    for (const event of ["started", "worker_joined", "try_failed", "task_failed", "ended"]) {
      expect(eventsOf(ofManager)).toContain(event);
    }
    for (const event of ["started", "connected", "try_failed", "try_killed", "ended"]) {
      expect(eventsOf(ofWorker)).toContain(event);
    }
    expect(ofWorker?.find(({ event }) => event === "try_killed")).toMatchObject({
      level: "warn",
      taskId: 2,
      reason: "timeout",
    });
    const { workerId } = ofWorker?.[0] ?? {};
    expect(ofManager?.find(({ event }) => event === "worker_joined")).toMatchObject({ workerId });
    const text = ["logs/manager.log", "logs/worker-1.log", "run.json"].map((name) =>
      readFileSync(join(path, name), "utf8")
    ).join("\n");
    for (const secret of [...Object.values(secrets), token]) expect(text).not.toContain(secret);
  },
  120_000,
);

test("A run keeps the last words of a local worker that could not run", async () => {
  await using scratch = await Scratch.open();
  const worker = scratch.path("worker");
  const text = "#!/bin/sh\necho more >&2; echo it cannot be >&2; exit 4\n";
  writeFileSync(worker, text, { mode: 0o755 });
  writeFileSync(
    scratch.path("workflow.ts"),
    `import { Manager } from "tendril";
await using manager = await Manager.start();
console.log((await manager.submit({ command: "true" })).outcome);
`,
  );
  const args = ["run", "--quiet", "--workers", "1", "--run-directory", "runs", "workflow.ts"];
  const { status, stderr } = spawnSync(BINARY, args, {
    cwd: scratch.folder,
    env: { ...process.env, TENDRIL_BIN: worker },
    encoding: "utf8",
  });
  expect(status).toBe(1);
  expect(stderr).toContain("Local worker 1 ended: status 4; it said: it cannot be");
  const logs = scratch.path("runs", "latest", "logs");
  expect(readFileSync(join(logs, "worker-1.stderr"), "utf8")).toBe("more\nit cannot be\n");
}, 120_000);

test(
  "A workflow runs without records where its folder cannot be written to, and says so",
  async () => {
    await using scratch = await Scratch.open();
    const folder = scratch.path("full");
    using disk = smallDisk(folder, 256 * 1024);
    if (disk === undefined) return;
    writeFileSync(
      join(folder, "workflow.ts"),
      `import { Manager } from "tendril";
await using manager = await Manager.start({ workers: 1 });
console.log((await manager.submit({ command: "echo well" })).stdout, manager.runDirectory);
`,
    );
    spawnSync("mount", ["-o", "remount,ro", folder]);
    const env = { ...process.env, TENDRIL_RUN_DIRECTORY: "" };
    const run = (...args: string[]) =>
      spawnSync(BINARY, ["run", "--quiet", ...args, "workflow.ts"], {
        cwd: folder,
        env,
        encoding: "utf8",
      });
    const noted = run();
    expect(noted.stdout).toBe("well\n undefined\n");
    expect(noted.stderr).toStartWith("tendril: no records of this run are kept: Cannot use ");
    expect(noted.stderr).toContain("EROFS");
    expect(noted.status).toBe(0);
    expect(run("--no-run-directory").stderr).toBe("");
    const stated = run("--run-directory", "runs");
    expect([stated.status, stated.stdout]).toEqual([1, ""]);
    expect(stated.stderr).toContain("for the records of runs: EROFS");
  },
  120_000,
);

test("tendril run takes switches of records, and variables as scripts do", async () => {
  await using scratch = await Scratch.open();
  mkdirSync(scratch.path("flow"));
  const script = (library: string): string =>
    `import { Manager } from "${library}";
await using manager = await Manager.start();
manager.submit({ command: "true" });
`;
  writeFileSync(scratch.path("flow", "workflow.ts"), script("tendril"));
  writeFileSync(scratch.path("flow", "alone.ts"), script(`${ROOT}/mod.ts`));
  const run = (env: object, ...args: string[]): string[] => {
    const result = spawnSync(args[0] ?? "", args.slice(1), {
      cwd: scratch.path("flow"),
      env: { ...process.env, TENDRIL_RUN_DIRECTORY: "", ...env },
      encoding: "utf8",
    });
    expect([result.status, result.stderr]).toEqual([0, ""]);
    const runs = scratch.path("flow", "tendril-runs");
    return existsSync(runs) ? readdirSync(join(runs, "latest")).sort() : [];
  };
  const tendril = [BINARY, "run", "--quiet"];
  const off = ["--no-database", "--no-vine-logs", "--no-dashboard"];
  expect(run({}, ...tendril, "--no-run-directory", "workflow.ts")).toEqual([]);
  expect(run({ TENDRIL_RUN_DIRECTORY: "none" }, "bun", "alone.ts")).toEqual([]);
  expect(run({}, ...tendril, ...off, "--no-logs", "--no-outputs", "workflow.ts")).toEqual([]);
  expect(run({}, ...tendril, ...off, "workflow.ts")).toEqual(["logs", "run.json"]);
  const quiet = { TENDRIL_NO_LOGS: "1", TENDRIL_RUN_DIRECTORY: scratch.path("flow/tendril-runs") };
  expect(run(quiet, ...tendril, ...off, "workflow.ts")).toEqual(["run.json"]);
}, 120_000);
