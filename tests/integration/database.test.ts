/** `monitoring.db` of real runs, as other people's tools see it. */

import { expect, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import { Manager } from "../../mod.ts";
import { BINARY } from "../binary/built.ts";
import { markedEnvironment, processesOf, Scratch, until } from "./scratch.ts";

/** Runs a statement with the SQLite of Python, whose pandas and Parsl read such databases. */
function query(path: string, sql: string): Record<string, unknown>[] {
  const script = "import sqlite3, json, sys\n" +
    "found = sqlite3.connect(sys.argv[1], detect_types=sqlite3.PARSE_DECLTYPES)\n" +
    "found.row_factory = sqlite3.Row\n" +
    "print(json.dumps([dict(row) for row in found.execute(sys.argv[2])], default=str))\n";
  const said = execFileSync("/usr/bin/python3", ["-c", script, path, sql], { encoding: "utf8" });
  return JSON.parse(said);
}

const LIBRARY = `
def double(x):
    return 2 * x

def refuse(x):
    raise ValueError("no %d" % x)
`;

test("monitoring.db agrees with the results of a run, whatever became of its tasks", async () => {
  await using scratch = await Scratch.open();
  const manager = await Manager.start({
    runDirectory: scratch.path("runs"),
    workers: 1,
    dashboard: true,
  });
  const input = manager.buffer("data");
  const temp = manager.temp();
  const tasks = [
    manager.submit({
      command: "OMP=1 /bin/cp in out",
      inputs: { in: input },
      outputs: { out: temp },
      tag: "first",
      category: "copy",
      cores: 0.5,
    }),
    manager.submit({ command: "cat in; echo bad >&2; exit 3", inputs: { in: temp }, retries: 1 }),
    manager.submit({ command: "sleep 60", timeout: "200ms" }),
    manager.submit({ command: "sleep 60 #lost", features: ["lost"], workerLosses: 0 }),
    manager.submit({ command: "true", features: ["nobody"] }),
  ];
  const library = manager.library({ name: "digits", python: LIBRARY, slots: 2 });
  const calls = Array.from({ length: 40 }, (_, index) => library.call("double", index));
  const refused = library.call("refuse", 7);
  const settled = await Promise.all([...tasks.slice(0, 3), ...calls, refused]);
  // Nothing else is given to it meanwhile.
  const lost = await scratch.worker(manager, { args: ["--feature", "lost"] });
  await until(() => tasks[3]?.state === "running", "a task runs at the worker that is killed");
  lost.child.kill("SIGKILL");
  const killed = await tasks[3]!;
  tasks[4]?.cancel();
  const results = [...settled, killed, await tasks[4]!];
  await manager.close();
  const path = join(manager.runDirectory ?? "", "monitoring.db");
  expect(existsSync(`${path}-journal`)).toBe(false);

  const rows = query(path, "SELECT * FROM task_detail ORDER BY task_id");
  expect(rows.length).toBe(results.length);
  const byId = new Map(rows.map((row) => [row["task_id"], row]));
  for (const result of results) {
    const { used, times } = result;
    expect(byId.get(result.id)).toMatchObject({
      state: "done",
      outcome: result.outcome,
      try_count: result.try,
      message: result.message,
      tag: result.tag ?? null,
      exit_code: result.exitCode ?? null,
      signal: result.signal ?? null,
      used_memory_bytes: used?.memoryBytes ?? null,
    });
    // Null is not known; results tell 0 of that.
    expect(byId.get(result.id)?.["ran_ms"] ?? 0).toBe(times.ranMs);
  }
  expect(query(path, "SELECT name, command, category FROM task_detail WHERE tag = 'first'"))
    .toEqual([
      { name: "cp", command: "OMP=1 /bin/cp in out", category: "copy" },
    ]);
  const [counts] = query(
    path,
    "SELECT tasks_completed_count AS done, tasks_failed_count AS failed, " +
      "time_completed > time_began AS ended FROM workflow",
  );
  const done = results.filter(({ outcome }) => outcome === "success").length;
  expect(counts).toEqual({ done, failed: results.length - done, ended: 1 });

  const failed = tasks[1]!.id;
  const statuses = query(
    path,
    `SELECT task_status_name AS name FROM status WHERE task_id = ${failed} ORDER BY timestamp`,
  );
  const names = statuses.map(({ name }) => name).join();
  // On a busy machine each try may be given out and taken back before it runs.
  expect(names.replaceAll("launched,pending,", "").split(",")).toEqual([
    "pending",
    "launched",
    "running",
    "running_ended",
    "fail_retryable",
    "pending",
    "launched",
    "running",
    "running_ended",
    "failed",
  ]);
  const [task] = query(path, `SELECT * FROM task WHERE task_id = ${failed}`);
  expect(task).toMatchObject({
    task_depends: String(tasks[0]!.id),
    task_fail_count: 2,
    task_stderr: join(manager.runDirectory ?? "", "outputs", `${failed}-2.stderr`),
  });
  expect(existsSync(String(task?.["task_stderr"]))).toBe(true);
  expect(byId.get(failed)).toMatchObject({ stderr_tail: "bad\n", stdout_tail: "data" });
  // Tries that have ended left nothing open, and bars of a worker do not overlap.
  expect(query(path, "SELECT * FROM attempt WHERE ended_at_ms IS NULL")).toEqual([]);
  expect(query(
    path,
    "SELECT a.task_id FROM attempt a JOIN attempt b ON a.worker_id = b.worker_id " +
      "AND a.lane = b.lane AND a.task_id < b.task_id AND a.started_at_ms < b.ended_at_ms - 0.01 " +
      "AND b.started_at_ms < a.ended_at_ms - 0.01",
  )).toEqual([]);
  expect(query(path, "SELECT count(*) AS n FROM call WHERE outcome = 'success'"))
    .toEqual([{ n: calls.length }]);
  expect(query(path, "SELECT count(*) AS n FROM worker WHERE left_at_ms IS NULL"))
    .toEqual([{ n: 0 }]);
  expect(query(path, "SELECT active, count(*) AS n FROM node GROUP BY active ORDER BY active"))
    .toEqual([{ active: 0, n: 1 }, { active: 1, n: 2 }]);
  expect(query(
    path,
    `SELECT producer_task_id AS p, size_bytes AS size FROM file
    WHERE kind = 'temp'`,
  )).toEqual([{ p: tasks[0]!.id, size: 4 }]);
  expect(query(path, "SELECT count(*) AS n FROM sample WHERE cores_busy > cores_committed + 2"))
    .toEqual([{ n: 0 }]);
  expect(query(path, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
}, 120_000);

const WORKFLOW = `
import { Manager } from "tendril";
const manager = await Manager.start({ name: "killed", workers: 2 });
const tasks = Array.from({ length: 500 }, () => manager.submit({ command: "sleep 0.02" }));
for (const [index, task] of tasks.entries()) {
  await task;
  // When it was known here.
  if (index % 5 === 0) process.stdout.write(Date.now() + " " + (index + 1) + "\\n");
}
`;

test(
  "monitoring.db of a manager that was killed is whole, and at most a second behind",
  async () => {
    await using scratch = await Scratch.open();
    const script = scratch.path("workflow.ts");
    writeFileSync(script, WORKFLOW);
    const mark = randomUUID();
    const runs = scratch.path("runs");
    const child = spawn(BINARY, ["run", "--quiet", "--run-directory", runs, script], {
      cwd: scratch.folder,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...markedEnvironment(mark) },
    });
    let said = "";
    child.stdout.on("data", (bytes) => said += String(bytes));
    await until(() => said.split("\n").length > 5, "some tasks are done");
    const killedAtMs = Date.now();
    child.kill("SIGKILL");
    const isRecorded = () => !processesOf(mark).some((line) => line.includes("internal-records"));
    await until(isRecorded, "what the manager said is written");
    const path = join(runs, "latest", "monitoring.db");
    expect(query(path, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    expect(existsSync(`${path}-journal`)).toBe(false);
    const [run] = query(path, "SELECT ended_at_ms, recorded_at_ms FROM run");
    expect(run?.["ended_at_ms"]).toBeNull();
    expect(Number(run?.["recorded_at_ms"])).toBeGreaterThan(killedAtMs - 1_000);
    // What the script knew a second before is there.
    const known = said.trim().split("\n").map((line) => line.split(" ").map(Number));
    const [, doneCount = 0] = known.filter(([atMs = 0]) => atMs < killedAtMs - 1_000).at(-1) ?? [];
    const [found] = query(path, "SELECT count(*) AS n FROM task_detail WHERE outcome = 'success'");
    expect(found?.["n"]).toBeGreaterThanOrEqual(doneCount);
    expect(query(path, "SELECT count(*) AS n FROM task")).toEqual([{ n: 500 }]);
  },
  120_000,
);
