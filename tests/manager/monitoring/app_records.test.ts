import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import type { TaskId } from "../../../shared/ids.ts";
import { DEPENDS_MAX } from "../../../manager/monitoring/record.ts";
import { AppCore, APPS, runFlow } from "./recorded_apps.ts";

let folder = "";
let count = 0;

beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "tendril-apps-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Row = Record<string, unknown>;

/** The rows that a statement gives of the records of a core. */
function recorded(core: AppCore, commits: number = 1): (sql: string) => Row[] {
  const path = join(folder, `${count += 1}.db`);
  core.into(path, { commits });
  return (sql) => {
    const database = new DatabaseSync(path, { readOnly: true });
    const rows = database.prepare(sql).all().map((row) => ({ ...row }));
    database.close();
    return rows;
  };
}

/** Where a task or call stood, in the order of Parsl's table, with the numbers of tries. */
function statuses(rows: (sql: string) => Row[], id: number): string {
  const found = rows(`SELECT task_status_name AS name, try_id FROM status WHERE task_id = ${id}
    ORDER BY timestamp`);
  return found.map(({ name, try_id: tryId }) => `${name} ${tryId}`).join(", ");
}

for (
  const { commits, isSplit } of [
    { commits: 1, isSplit: false },
    { commits: 1, isSplit: true },
    { commits: 1_000, isSplit: true },
  ]
) {
  const how = isSplit ? "told one by one" : "told at once";
  test(`RunDatabase has calls of apps in Parsl's tables, ${how}, in ${commits} commits`, () => {
    const core = new AppCore();
    if (isSplit) core.onFeed = () => core.recorder.flush();
    runFlow(core);
    const rows = recorded(core, commits);
    expect(statuses(rows, APPS.align)).toBe(
      "pending 0, launched 0, running 0, running_ended 0, exec_done 0",
    );
    expect(statuses(rows, APPS.count)).toBe(
      "pending 0, launched 0, running 0, running_ended 0, fail_retryable 0, pending 1, " +
        "launched 1, running 1, running_ended 1, exec_done 1",
    );
    expect(statuses(rows, APPS.again)).toBe("pending 0, memo_done 0");
    expect(statuses(rows, APPS.broken)).toEndWith("running_ended 0, failed 0");
    expect(statuses(rows, APPS.after)).toBe("pending 0, dep_fail 0");
    expect(statuses(rows, APPS.joined)).toBe("pending 0, launched 0, joining 0, exec_done 0");
    expect(statuses(rows, APPS.local)).toBe("pending 0, launched 0, running 0, exec_done 0");
    expect(statuses(rows, APPS.stopped)).toBe("pending 0, failed 0");
    expect(statuses(rows, APPS.pending)).toBe("pending 0");
    // The tasks that are tries of them are told of there only as those.
    const told = Object.values(APPS).map((id) => ({ id }));
    expect(rows("SELECT task_id AS id FROM task ORDER BY 1")).toEqual(told);
    expect(rows("SELECT DISTINCT task_id AS id FROM status ORDER BY 1")).toEqual(told);
    expect(rows("SELECT tasks_failed_count AS f, tasks_completed_count AS c FROM workflow"))
      .toEqual([{ f: 2, c: 4 }]);
    expect(rows(`SELECT task_func_name AS app, task_depends AS depends, task_memoize AS memoize,
      task_hashsum AS hashsum, task_inputs AS inputs, task_outputs AS outputs, task_stdout,
      task_fail_count AS fails, task_fail_cost AS cost, task_time_returned IS NOT NULL AS returned
      FROM task WHERE task_id IN (${APPS.align}, ${APPS.count}, ${APPS.after}, ${APPS.pending})`))
      .toEqual([
        {
          app: "align",
          depends: "",
          memoize: "True",
          hashsum: "abc123",
          inputs: '"reads/a.fq", index',
          outputs: "sam",
          task_stdout: "/data/align.txt",
          fails: 0,
          cost: 0,
          returned: 1,
        },
        {
          ...{ app: "count", depends: "101", memoize: "False", hashsum: null, returned: 1 },
          ...{ inputs: "align.sam", outputs: null, task_stdout: null, fails: 1, cost: 0.5 },
        },
        {
          ...{ app: "total", depends: "104,102", memoize: "False", hashsum: null, returned: 1 },
          ...{ inputs: "", outputs: null, task_stdout: null, fails: 0, cost: 0 },
        },
        {
          ...{ app: "count", depends: "107", memoize: "False", hashsum: null, returned: 0 },
          ...{ inputs: "", outputs: null, task_stdout: null, fails: 0, cost: 0 },
        },
      ]);
    expect(rows(`SELECT task_id, try_id, hostname AS host, task_executor AS executor, task_joins,
      task_try_time_running IS NOT NULL AS running, task_fail_history AS history,
      task_try_time_returned IS NOT NULL AS returned FROM try ORDER BY 1, 2`)).toEqual([
      tryRow(APPS.align, {}),
      tryRow(APPS.count, { history: "code 3" }),
      tryRow(APPS.count, { try_id: 1, history: "code 3" }),
      tryRow(APPS.broken, { history: "Error: no <such> thing" }),
      tryRow(APPS.joined, {
        ...{ host: null, executor: "_parsl_internal", task_joins: "101,103", running: 0 },
      }),
      tryRow(APPS.local, { host: "here", executor: "local" }),
    ]);
    const resource = "SELECT DISTINCT task_id AS id, try_id FROM resource ORDER BY 1, 2";
    expect(rows(resource)).toEqual([
      { id: APPS.align, try_id: 0 },
      { id: APPS.count, try_id: 0 },
      { id: APPS.count, try_id: 1 },
      { id: APPS.broken, try_id: 0 },
    ]);
  });
}

function tryRow(taskId: number, row: Row): Row {
  return {
    ...{ task_id: taskId, try_id: 0, host: "host of a", executor: "tendril" },
    ...{ task_joins: null, running: 1, history: null, returned: 1 },
    ...row,
  };
}

test("RunDatabase has a row for each call of an app, and its id at the tasks that are tries", () => {
  const core = new AppCore();
  runFlow(core);
  const rows = recorded(core);
  expect(rows(`SELECT call_id AS id, app, kind, executor, state, is_memo_hit AS hit, try_count,
    fail_cost AS cost, depends, joins, message, host, task_id AS task FROM app_call`)).toEqual([
    callRow("align", { kind: "command", task: 1, host: "host of a", try_count: 1 }),
    callRow("count", {
      ...{ kind: "python", task: 3, host: "host of a", try_count: 2, cost: 0.5, depends: "101" },
    }),
    callRow("again", { app: "count", kind: "python", state: "memo_done", hit: 1 }),
    callRow("broken", {
      ...{ state: "failed", task: 4, host: "host of a", try_count: 1, cost: 1 },
      message: "Error: no <such> thing",
    }),
    callRow("after", {
      ...{ app: "total", state: "dep_fail", depends: "104,102" },
      message: 'call 104 of app "broken": Error: no',
    }),
    callRow("joined", {
      ...{ app: "both", kind: "join", executor: "", joins: "101,103", try_count: 1 },
    }),
    callRow("local", {
      ...{ app: "plot", executor: "local", depends: "106", host: "here", try_count: 1 },
    }),
    callRow("stopped", { app: "count", kind: "python", state: "cancelled", message: "cancelled" }),
    callRow("pending", { app: "count", kind: "python", state: "pending", depends: "107" }),
  ]);
  expect(rows("SELECT task_id AS task, app_call_id AS id FROM task_detail")).toEqual([
    { task: 1, id: APPS.align },
    { task: 2, id: APPS.count },
    { task: 3, id: APPS.count },
    { task: 4, id: APPS.broken },
  ]);
  const [times] = rows(`SELECT called_at_ms < launched_at_ms AND launched_at_ms < started_at_ms
    AND started_at_ms <= ended_at_ms AS isOrdered FROM app_call WHERE call_id = ${APPS.align}`);
  expect(times).toEqual({ isOrdered: 1 });
});

function callRow(name: keyof typeof APPS, row: Row): Row {
  return {
    ...{ id: APPS[name], app: name, kind: "javascript", executor: "tendril", state: "exec_done" },
    ...{ hit: 0, try_count: 0, cost: 0, depends: null, joins: null, message: "", host: null },
    ...{ task: null, ...row },
  };
}

test("RunDatabase tells plain tasks beside calls of apps as before", () => {
  const core = new AppCore();
  runFlow(core);
  const plain = core.submits({ category: "plain" });
  core.finishes("a", plain);
  const rows = recorded(core);
  expect(statuses(rows, plain)).toBe(
    "pending 0, launched 0, running 0, running_ended 0, exec_done 0",
  );
  expect(rows(`SELECT count(*) AS n FROM try WHERE task_id = ${plain}`)).toEqual([{ n: 1 }]);
  expect(rows("SELECT tasks_completed_count AS c FROM workflow")).toEqual([{ c: 5 }]);
});

test("RunDatabase gives a call of an app the category that was told, else the app's name", () => {
  const core = new AppCore();
  core.calls(60, "make");
  core.calls(61, "make", { category: "large" });
  const rows = recorded(core);
  expect(rows("SELECT call_id AS id, category FROM app_call ORDER BY 1")).toEqual([
    { id: 60, category: "make" },
    { id: 61, category: "large" },
  ]);
});

test("RunDatabase adds nothing to Parsl's tables when a try of a call is remade", () => {
  const core = new AppCore();
  core.joins("a");
  const made = core.temp("made");
  core.calls(50, "make");
  const taskId = core.submits({ outputs: [made], appCall: 50 as TaskId });
  core.moves(50, "launched", 1, { taskId });
  core.finishes("a", taskId, { used: {} });
  core.moves(50, "exec_done", 1);
  core.breaks("a", { wasSilent: true });
  core.joins("b");
  const reader = core.submits({ inputs: [made] });
  core.finishes("b", taskId, { used: {} });
  const rows = recorded(core, 1_000);
  expect(rows("SELECT is_recovery AS r FROM attempt WHERE task_id = 1 ORDER BY try"))
    .toEqual([{ r: 0 }, { r: 1 }]);
  expect(rows("SELECT task_id AS id FROM try WHERE hostname IS NOT NULL AND task_id < 50"))
    .toEqual(rows(`SELECT ${reader} AS id FROM try WHERE task_id = ${reader}`));
  expect(rows("SELECT count(*) AS n FROM try WHERE task_id = 50")).toEqual([{ n: 1 }]);
});

test("Recorder puts calls of apps before the tasks that try them, however many come at once", () => {
  const core = new AppCore();
  core.calls(70, "wide", {
    dependsOn: Array.from({ length: DEPENDS_MAX + 5 }, (_, index) => 1_000 + index as TaskId),
    argumentText: "x".repeat(100_000),
  });
  core.submits({ appCall: 70 as TaskId });
  const kinds = core.kinds;
  expect(kinds.indexOf("apps_called")).toBeLessThan(kinds.indexOf("task_submitted"));
  const [called] = core.of("apps_called");
  expect(called?.dependsOn[0]?.length).toBe(DEPENDS_MAX);
  expect(called?.argumentText[0]?.length).toBe(4_096);
  expect(core.of("task_submitted")).toMatchObject([{ appCall: 70 }]);
});
