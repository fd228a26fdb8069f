import { expect, test } from "bun:test";

import { AppLedger, appTotals, type TriedCall } from "../../manager/app_ledger.ts";
import { NAMES_MAX, OTHER_NAME } from "../../manager/monitoring/metric_names.ts";
import type { TaskId } from "../../shared/ids.ts";
import { AppCore, runFlow } from "./monitoring/recorded_apps.ts";

/** A ledger that hears what happens to a core. */
function follow(core: AppCore, tried: [TaskId, TriedCall][] = []): AppLedger {
  const ledger = new AppLedger((taskId, call) => void tried.push([taskId, call]));
  core.onFeed = () => ledger.hear(core.facts);
  return ledger;
}

test("AppLedger tells how the calls of each app stand, and which tasks are tries of them", () => {
  const core = new AppCore();
  const tried: [TaskId, TriedCall][] = [];
  const ledger = follow(core, tried);
  expect(ledger.rows).toBeUndefined();
  runFlow(core);
  const rows = ledger.rows!;
  expect(rows.map(({ app, calls }) => `${app} ${calls}`)).toEqual(
    ["align 1", "count 4", "broken 1", "total 1", "both 1", "plot 1"],
  );
  expect(Object.entries(rows[1]!.states)).toEqual(
    [["pending", 1], ["exec_done", 1], ["memo_done", 1], ["cancelled", 1]],
  );
  expect(appTotals(rows)).toEqual(
    { calls: 9, ended: 8, failed: 2, memory: 1, cancelled: 1, active: 0 },
  );
  expect(tried.map(([taskId, { callId, app }]) => `${taskId} of ${callId} ${app}`)).toEqual([
    ...["1 of 101 align", "2 of 102 count", "3 of 102 count", "4 of 104 broken"],
  ]);
  const entered = ledger.entered.filter(({ app }) => app === "count");
  expect(Object.fromEntries(entered.map(({ state, count }) => [state, count]))).toMatchObject(
    Object.fromEntries([["pending", 5], ["launched", 2], ["fail_retryable", 1], ["exec_done", 1]]),
  );
});

test("AppLedger tells that a call runs when the task that is its try does", () => {
  const core = new AppCore();
  const ledger = follow(core);
  core.joins("a");
  core.calls(9, "slow");
  const taskId = core.submits({ appCall: 9 as TaskId });
  core.moves(9, "launched", 1, { taskId });
  expect(ledger.rows).toEqual([{ app: "slow", calls: 1, states: { launched: 1 } }]);
  core.starts("a", taskId);
  expect(ledger.rows).toEqual([{ app: "slow", calls: 1, states: { running: 1 } }]);
  core.moves(9, "joining", 1);
  expect(appTotals(ledger.rows!)).toMatchObject({ active: 1, ended: 0 });
});

test("AppLedger tells so many apps apart, and counts the calls of the others together", () => {
  const core = new AppCore();
  const ledger = follow(core);
  core.joins("a");
  for (let index = 0; index < NAMES_MAX + 5; index++) core.calls(1_000 + index, `app ${index}`);
  expect(ledger.rows?.length).toBe(NAMES_MAX + 1);
  expect(ledger.rows?.at(-1)).toEqual({ app: OTHER_NAME, calls: 5, states: { pending: 5 } });
});
