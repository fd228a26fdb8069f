import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import { RunDatabase } from "../../../manager/monitoring/database.ts";
import type { RunRecord } from "../../../manager/monitoring/record.ts";
import { sqlTime } from "../../../manager/monitoring/sql_time.ts";
import { instanceAt } from "../core/fixture.ts";
import { EPOCH_MS, RecordedCore } from "./recorded_run.ts";

let folder = "";
let count = 0;

beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "tendril-database-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const newPath = () => join(folder, `${count += 1}.db`);

type Row = Record<string, unknown>;

/** The rows that a statement gives of the records of a core. */
function recorded(
  core: RecordedCore,
  options: Parameters<RecordedCore["into"]>[1] = {},
): (sql: string) => Row[] {
  const path = newPath();
  core.into(path, options);
  return (sql) => {
    const database = new DatabaseSync(path, { readOnly: true });
    const rows = database.prepare(sql).all().map((row) => ({ ...row }));
    database.close();
    return rows;
  };
}

/** `{table: its columns, those of the primary key with a star}`: parsl/monitoring/db_manager.py. */
const PARSL: Readonly<Record<string, string>> = {
  workflow: "run_id* workflow_name workflow_version time_began:DATETIME time_completed:DATETIME " +
    "host user rundir tasks_failed_count:INTEGER tasks_completed_count:INTEGER",
  task: "task_id*:INTEGER run_id* task_depends task_func_name task_memoize task_hashsum " +
    "task_inputs task_outputs task_stdin task_stdout task_stderr task_time_invoked:DATETIME " +
    "task_time_returned:DATETIME task_fail_count:INTEGER task_fail_cost:FLOAT",
  try: "try_id*:INTEGER task_id*:INTEGER run_id* block_id hostname task_executor " +
    "task_try_time_launched:DATETIME task_try_time_running:DATETIME " +
    "task_try_time_returned:DATETIME task_fail_history task_joins",
  status: "task_id*:INTEGER task_status_name* timestamp*:DATETIME run_id* try_id:INTEGER",
  resource: "try_id*:INTEGER task_id*:INTEGER run_id* timestamp*:DATETIME " +
    "resource_monitoring_interval:FLOAT psutil_process_pid:INTEGER " +
    "psutil_process_memory_percent:FLOAT psutil_process_children_count:FLOAT " +
    "psutil_process_time_user:FLOAT psutil_process_time_system:FLOAT " +
    "psutil_process_memory_virtual:FLOAT psutil_process_memory_resident:FLOAT " +
    "psutil_process_disk_read:FLOAT psutil_process_disk_write:FLOAT psutil_process_status " +
    "psutil_cpu_num psutil_process_num_ctx_switches_voluntary:FLOAT " +
    "psutil_process_num_ctx_switches_involuntary:FLOAT",
  node: "id*:INTEGER run_id hostname uid block_id cpu_count:INTEGER total_memory:BIGINT " +
    "active:BOOLEAN worker_count:INTEGER python_v timestamp:DATETIME last_heartbeat:DATETIME",
  block: "run_id* executor_label* block_id* job_id timestamp*:DATETIME status",
};

const TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/;

test("RunDatabase has Parsl's tables column by column", () => {
  const core = new RecordedCore();
  core.joins("a");
  const rows = recorded(core);
  for (const [table, columns] of Object.entries(PARSL)) {
    const found = rows(`SELECT name, type, pk FROM pragma_table_info('${table}') ORDER BY cid`);
    const told = found.map(({ name, type, pk }) => {
      return `${name}${pk === 0 ? "" : "*"}${type === "TEXT" ? "" : `:${type}`}`;
    });
    expect(told.toSorted()).toEqual(columns.split(" ").toSorted());
  }
  expect(rows("SELECT version FROM tendril_schema")).toEqual([{ version: 2 }]);
});

test("RunDatabase writes times as SQLAlchemy does, and numbers as numbers", () => {
  const core = new RecordedCore();
  core.joins("a", { cores: 2.5 });
  const taskId = core.submits({ cores: 0.5, memoryBytes: 1e9 + 0.5 });
  core.finishes("a", taskId, { used: { memoryBytes: 2 ** 33, cpuMs: 1.5 } });
  const rows = recorded(core);
  for (const [table, columns] of Object.entries(PARSL)) {
    for (const row of rows(`SELECT * FROM "${table}"`)) {
      for (const column of columns.split(" ")) {
        const [name = "", type = "TEXT"] = column.replace("*", "").split(":");
        const value = row[name];
        if (value === null) continue;
        if (type === "DATETIME") expect(value).toMatch(TIME);
        else expect(typeof value).toBe(type === "TEXT" ? "string" : "number");
      }
    }
  }
  const [types] = rows(
    "SELECT typeof(requested_memory_bytes) AS asked, typeof(used_memory_bytes) AS used, " +
      "typeof(requested_cores) AS cores, typeof(ended_at_ms) AS ended FROM task_detail",
  );
  expect(types).toEqual({ asked: "integer", used: "integer", cores: "real", ended: "real" });
  expect(rows("SELECT time_began FROM workflow")).toEqual([{ time_began: sqlTime(EPOCH_MS) }]);
  expect(new Date(sqlTime(EPOCH_MS)).getTime()).toBe(EPOCH_MS);
});

for (const commits of [1, 1_000]) {
  test(`RunDatabase follows a task over its tries, in ${commits} commits at most`, () => {
    const core = new RecordedCore({ dispatchAheadMs: 0 });
    core.joins("a");
    const [data, made] = [core.local("data"), core.temp("made")];
    const maker = core.brought("a", { inputs: [data], outputs: [made] });
    core.finishes("a", maker, { used: {} });
    const taskId = core.submits({ inputs: [made], retries: 2, category: "late" });
    core.starts("a", taskId);
    core.finishes("a", taskId, { outcome: "exit", message: "code 3", used: {} });
    core.starts("a", taskId);
    core.finishes("a", taskId, { outcome: "exit", message: "code 4", used: {} });
    core.starts("a", taskId);
    core.finishes("a", taskId, { used: { cores: 0.25, processCount: 3, cpuMs: 2_000 } });
    const rows = recorded(core, { commits });
    expect(rows(`SELECT task_status_name AS name, try_id FROM status WHERE task_id = ${taskId}
      ORDER BY timestamp`)).toEqual([
      { name: "pending", try_id: 0 },
      { name: "launched", try_id: 0 },
      { name: "running", try_id: 0 },
      { name: "running_ended", try_id: 0 },
      { name: "fail_retryable", try_id: 0 },
      { name: "pending", try_id: 1 },
      { name: "launched", try_id: 1 },
      { name: "running", try_id: 1 },
      { name: "running_ended", try_id: 1 },
      { name: "fail_retryable", try_id: 1 },
      { name: "pending", try_id: 2 },
      { name: "launched", try_id: 2 },
      { name: "running", try_id: 2 },
      { name: "running_ended", try_id: 2 },
      { name: "exec_done", try_id: 2 },
    ]);
    expect(rows(`SELECT task_depends, task_inputs, task_fail_count, task_fail_cost,
      task_time_returned IS NOT NULL AS returned FROM task WHERE task_id = ${taskId}`)).toEqual([{
      task_depends: String(maker),
      task_inputs: "mount0",
      task_fail_count: 2,
      task_fail_cost: 2,
      returned: 1,
    }]);
    expect(rows(`SELECT try, outcome, message, lane FROM attempt WHERE task_id = ${taskId}`))
      .toEqual([
        { try: 1, outcome: "exit", message: "code 3", lane: 0 },
        { try: 2, outcome: "exit", message: "code 4", lane: 0 },
        { try: 3, outcome: "success", message: null, lane: 0 },
      ]);
    expect(rows(`SELECT try_id, hostname, task_fail_history AS history FROM try
      WHERE task_id = ${taskId} ORDER BY try_id`)).toEqual([
      { try_id: 0, hostname: "host of a", history: "code 3" },
      { try_id: 1, hostname: "host of a", history: "code 3, code 4" },
      { try_id: 2, hostname: "host of a", history: "code 3, code 4" },
    ]);
    expect(rows(`SELECT state, outcome, try_count, used_cores, category FROM task_detail
      WHERE task_id = ${taskId}`)).toEqual([{
      state: "done",
      outcome: "success",
      try_count: 3,
      used_cores: 0.25,
      category: "late",
    }]);
    expect(rows(`SELECT psutil_process_children_count AS children, psutil_process_time_user AS s
      FROM resource WHERE task_id = ${taskId} ORDER BY try_id`))
      .toEqual([{ children: 0, s: 0.001 }, { children: 0, s: 0.001 }, { children: 2, s: 2 }]);
    expect(rows("SELECT tasks_failed_count AS f, tasks_completed_count AS c FROM workflow"))
      .toEqual([{ f: 0, c: 2 }]);
    expect(rows("SELECT role, mount, file_id FROM mount ORDER BY task_id, role, mount"))
      .toMatchObject([{ role: "input" }, { role: "output" }, { role: "input", file_id: made }]);
    expect(rows(`SELECT kind, producer_task_id AS producer, size_bytes AS size FROM file
      WHERE file_id = ${made}`)).toEqual([{ kind: "temp", producer: maker, size: 1_000 }]);
  });
}

test("RunDatabase writes a task that came and went once, whatever it passed", () => {
  const core = new RecordedCore();
  core.joins("a");
  const taskId = core.submits({});
  core.starts("a", taskId);
  core.finishes("a", taskId, { used: {} });
  core.recorder.close();
  const database = new RunDatabase({ path: newPath() });
  for (const { atMs, record } of core.written) database.apply(atMs, record);
  expect(database.dirtyTaskCount).toBe(1);
  const before = database.connection.prepare("SELECT total_changes() AS n").get() as { n: number };
  database.write();
  const after = database.connection.prepare("SELECT total_changes() AS n").get() as { n: number };
  // task_detail, task, attempt, try, resource, and five of status.
  expect(after.n - before.n).toBe(10);
  expect(database.openTaskCount).toBe(0);
  database.close();
});

test("RunDatabase has two rows of what a longer try used, which Parsl's plots go by", () => {
  const core = new RecordedCore();
  core.joins("a");
  const taskId = core.submits({});
  const times = { startedAtMs: 1_000 + core.nowMs, stagedMs: 1, ranMs: 4_000 };
  const result = core.result("a", taskId, { used: { memoryBytes: 1e6, cpuMs: 2_000 } });
  core.says("a", { kind: "result", result: { ...result, times } });
  const rows = recorded(core);
  expect(rows(`SELECT psutil_process_memory_resident AS bytes, psutil_process_time_user AS s,
    resource_monitoring_interval AS every FROM resource ORDER BY timestamp`)).toEqual([
    { bytes: 1e6, s: 0, every: 0 },
    { bytes: 1e6, s: 2, every: 4 },
  ]);
});

test("RunDatabase has one row of a node that stayed to the end, as Parsl has", () => {
  const core = new RecordedCore();
  core.joins("a", { features: ["a,b", "c"] });
  const rows = recorded(core);
  expect(rows("SELECT active FROM node")).toEqual([{ active: 1 }]);
  expect(rows("SELECT reason, features FROM worker"))
    .toEqual([{ reason: "the run ended", features: '["a,b","c"]' }]);
});

test("RunDatabase ends what ran at a worker that left, and what a worker kept", () => {
  const core = new RecordedCore();
  core.joins("a");
  const taskId = core.submits({ workerLosses: 0 });
  core.starts("a", taskId);
  core.breaks("a", { wasSilent: true });
  const rows = recorded(core, { commits: 100 });
  expect(rows("SELECT outcome, ended_at_ms IS NULL AS open FROM attempt"))
    .toEqual([{ outcome: "worker_lost", open: 0 }]);
  expect(rows("SELECT outcome FROM task_detail")).toEqual([{ outcome: "worker_lost" }]);
  expect(rows("SELECT reason FROM worker")).toEqual([{ reason: "it was silent for too long" }]);
  expect(rows("SELECT active FROM node ORDER BY id")).toEqual([{ active: 1 }, { active: 0 }]);
});

test("RunDatabase tells of dependents of a failure as Parsl does, and of cancelled tasks", () => {
  const core = new RecordedCore();
  core.joins("a");
  const made = core.temp("made");
  const maker = core.submits({ outputs: [made] });
  const reader = core.submits({ inputs: [made] });
  const waiting = core.submits({ cores: 1 });
  core.cancels(waiting);
  core.finishes("a", maker, { outcome: "exit", message: "no", used: {} });
  const rows = recorded(core);
  const last = (taskId: number) =>
    rows(`SELECT task_status_name AS name FROM status WHERE task_id = ${taskId}
      ORDER BY timestamp DESC LIMIT 1`)[0]?.["name"];
  expect([last(maker), last(reader), last(waiting)]).toEqual(["failed", "dep_fail", "failed"]);
  expect(rows(`SELECT outcome FROM task_detail WHERE task_id = ${waiting}`))
    .toEqual([{ outcome: "cancelled" }]);
});

test("RunDatabase records recoveries as tries of a task that stays done", () => {
  const core = new RecordedCore();
  core.joins("a");
  const made = core.temp("made");
  const maker = core.submits({ outputs: [made] });
  core.finishes("a", maker, { used: {} });
  core.breaks("a", { wasSilent: true });
  core.joins("b");
  const reader = core.submits({ inputs: [made] });
  core.finishes("b", maker, { used: {} });
  core.finishes("b", reader, { used: {} });
  const rows = recorded(core, { commits: 100 });
  expect(rows(`SELECT state, outcome, recovery_count, try_count, worker_id FROM task_detail
    WHERE task_id = ${maker}`)).toEqual([{
    state: "done",
    outcome: "success",
    recovery_count: 1,
    try_count: 2,
    worker_id: "a",
  }]);
  expect(rows(`SELECT try, worker_id, is_recovery, outcome FROM attempt WHERE task_id = ${maker}`))
    .toEqual([
      { try: 1, worker_id: "a", is_recovery: 0, outcome: "success" },
      { try: 2, worker_id: "b", is_recovery: 1, outcome: "success" },
    ]);
});

for (const commits of [1, 1_000]) {
  test(`RunDatabase records calls of columns as other tasks, in ${commits} commits at most`, () => {
    const core = new RecordedCore();
    core.joins("a");
    core.library("lib", core.local("module"), { slots: 2 });
    const ids = [1, 2, 3].map(() => core.submits({ library: "lib" }));
    core.brings("a");
    core.says("a", { kind: "instance_ready", instanceId: instanceAt(core, "a") });
    for (const taskId of ids) {
      const times = { startedAtMs: 1_000 + core.nowMs, stagedMs: 1, ranMs: 5 };
      const result = { ...core.result("a", taskId), times, value: new Uint8Array(3) };
      core.says("a", { kind: "result", result });
      if (commits > 1) core.recorder.flush();
    }
    const rows = recorded(core, { commits });
    expect(rows("SELECT task_id, name, outcome, value_bytes AS bytes, library FROM task_detail"))
      .toEqual(ids.map((task_id) => {
        return { task_id, name: "f", outcome: "success", bytes: 3, library: "lib" };
      }));
    expect(rows("SELECT count(*) AS n FROM call WHERE state = 'done'")).toEqual([{ n: 3 }]);
    expect(
      rows("SELECT DISTINCT lane, outcome FROM attempt WHERE started_at_ms >= dispatched_at_ms"),
    )
      .toEqual([{ lane: 0, outcome: "success" }]);
    expect(rows("SELECT count(*) AS n FROM status WHERE task_status_name = 'exec_done'"))
      .toEqual([{ n: 3 }]);
    expect(rows("SELECT state FROM library_instance")).toEqual([{ state: "stopped" }]);
    expect(rows("SELECT name, slots FROM library")).toEqual([{ name: "lib", slots: 2 }]);
  });
}

test("RunDatabase records data: transfers, copies that come and go, and what is forgotten", () => {
  const core = new RecordedCore();
  core.joins("a");
  const data = core.url("data", { level: "task" });
  core.descriptions.set(data, { kind: "url", source: "http://host/data" });
  const taskId = core.brought("a", { inputs: [data] });
  core.finishes("a", taskId, { used: {} });
  core.feed({ kind: "file_undeclared", fileId: data });
  for (const commits of [1, 1_000]) {
    const rows = recorded(core, { commits });
    expect(rows("SELECT kind, source, forgotten_at_ms IS NULL AS held FROM file"))
      .toMatchObject([{ kind: "url", source: "http://host/data" }]);
    expect(rows("SELECT source, target, worker_id, state, moved_bytes AS bytes FROM transfer"))
      .toEqual([{ source: "url", target: "worker", worker_id: "a", state: "done", bytes: 1_000 }]);
    expect(
      rows("SELECT worker_id, size_bytes AS bytes, gone_at_ms > ready_at_ms AS gone FROM replica"),
    )
      .toEqual([{ worker_id: "a", bytes: 1_000, gone: 1 }]);
  }
});

test("RunDatabase can be read while it is written, up to its last commit", () => {
  const core = new RecordedCore();
  core.joins("a");
  core.submits({});
  core.recorder.flush();
  const path = newPath();
  const database = new RunDatabase({ path });
  const apply = () => {
    for (const { atMs, record } of core.written.splice(0)) database.apply(atMs, record);
  };
  apply();
  database.flush();
  expect(database.committedAtMs).toBeGreaterThan(EPOCH_MS);
  core.submits({});
  core.recorder.flush();
  apply();
  database.write();
  const reader = new DatabaseSync(path, { readOnly: true });
  const read = () => reader.prepare("SELECT count(*) AS n FROM task").get();
  expect({ ...read() }).toEqual({ n: 1 });
  // One who reads keeps the next commit out for a while, and loses nothing.
  const rows = reader.prepare("SELECT * FROM status").iterate();
  rows.next();
  expect(database.commit()).toBe(false);
  for (const _ of rows);
  expect(database.commit()).toBe(true);
  expect({ ...read() }).toEqual({ n: 2 });
  reader.close();
  database.close();
});

test("RunDatabase refuses a file that is there, and leaves it alone", () => {
  const core = new RecordedCore();
  core.joins("a");
  const path = newPath();
  core.into(path);
  expect(() => new RunDatabase({ path })).toThrow(`Cannot make database "${path}": it exists`);
  const database = new DatabaseSync(path, { readOnly: true });
  expect({ ...database.prepare("SELECT count(*) AS n FROM worker").get() }).toEqual({ n: 1 });
  database.close();
});

test("RunDatabase takes records of what it never heard of: some may have been left out", () => {
  const core = new RecordedCore();
  core.joins("a");
  const [data, made] = [core.local("data"), core.temp("made")];
  const taskId = core.brought("a", { inputs: [data], outputs: [made], retries: 1 });
  core.starts("a", taskId);
  core.finishes("a", taskId, { outcome: "exit", used: {} });
  core.finishes("a", taskId, { used: {} });
  core.breaks("a", { wasSilent: true });
  core.recorder.close();
  const kinds = new Set(core.written.map(({ record }) => record.kind));
  for (const left of kinds) {
    if (left === "run_started") continue;
    const path = newPath();
    const database = new RunDatabase({ path });
    for (const { atMs, record } of core.written) {
      if (record.kind !== left) database.apply(atMs, record);
    }
    database.close();
    const reader = new DatabaseSync(path, { readOnly: true });
    expect(reader.prepare("PRAGMA integrity_check").get()).toMatchObject({ integrity_check: "ok" });
    reader.close();
  }
});

test("RunDatabase.write() stops when its time is over, and goes on where it stopped", () => {
  const database = new RunDatabase({ path: newPath() });
  const started: RunRecord = {
    kind: "run_started",
    runId: "1",
    name: "",
    version: "",
    host: "",
    user: "",
    pid: 1,
    directory: "",
    startedAtMs: EPOCH_MS,
  };
  database.apply(EPOCH_MS, started);
  const ids = Array.from({ length: 100 }, (_, index) => index + 1);
  const sort = {
    taskKind: "call",
    name: "f",
    command: "lib.f",
    category: "",
    priority: 0,
    requested: {},
  } as const;
  database.apply(EPOCH_MS, {
    kind: "calls_submitted",
    sorts: [sort],
    sort: ids.map(() => 0),
    atMs: ids.map(() => EPOCH_MS),
    taskId: ids,
    argumentBytes: ids,
    tags: [],
    appCall: ids.map(() => 0),
  });
  let rounds = 1;
  while (!database.write(0)) rounds += 1;
  expect(rounds).toBeGreaterThan(3);
  const all = database.connection.prepare("SELECT count(*) AS n FROM task").get();
  expect({ ...all }).toEqual({ n: 100 });
  database.close();
});
