import { expect, test } from "bun:test";

import { describeEnd, describeProgress, viewOf } from "../../manager/progress_text.ts";
import type { ManagerStatus } from "../../manager/status.ts";
import { renderSpans } from "../../shared/span.ts";
import { statusWith } from "./status_sample.ts";

const plain = (spans: Parameters<typeof renderSpans>[0]) => renderSpans(spans, false);

test("describeProgress() tells of tasks, workers, bytes, rate and time left", () => {
  expect(plain(describeProgress(viewOf(statusWith()), { nowMs: 1_002_000 }))).toBe(
    "tasks: 4/10 done, 4 waiting, 2 running, 1 failed; workers: 2; moved: 1.5 MB; 2.0/s; " +
      "about 3 s left",
  );
});

test("describeProgress() leaves out what is less important where there is less room", () => {
  const view = viewOf(statusWith());
  const within = (columns: number) => plain(describeProgress(view, { nowMs: 1_002_000, columns }));
  expect(within(80)).toBe(
    "tasks: 4/10 done, 2 running, 1 failed; workers: 2; 2.0/s; about 3 s left",
  );
  expect(within(60)).toBe("tasks: 4/10 done, 2 running, 1 failed; about 3 s left");
  expect(within(40)).toBe("tasks: 4/10 done, 2 running, 1 failed");
  expect(within(27)).toBe("tasks: 4/10 done, 1 failed");
  expect(within(5)).toBe("tasks: 4/10 done");
});

test("describeProgress() says how to start a worker when none has come", () => {
  const none = {
    connected: 0,
    away: 0,
    cores: 0,
    coresCommitted: 0,
    diskBytes: 0,
    diskUsedBytes: 0,
  };
  const status = { ...statusWith(), workers: none };
  const at = (nowMs: number, workers = none) => {
    return plain(describeProgress(viewOf({ ...status, workers }), { nowMs }));
  };
  expect(at(1_000_100)).toContain("workers: 0;");
  expect(at(1_009_000)).toContain('workers: none, start with "tendril worker --name blast";');
  expect(at(1_009_000, { ...none, away: 1 })).toContain("workers: 0 (1 away);");
});

const APPS: NonNullable<ManagerStatus["apps"]> = [
  { app: "align", calls: 30, states: Object.fromEntries([["exec_done", 8], ["running", 22]]) },
  {
    app: "count",
    calls: 10,
    states: Object.fromEntries([
      ...[["memo_done", 3], ["failed", 1], ["dep_fail", 1], ["cancelled", 1], ["pending", 4]],
    ]),
  },
];

test("describeProgress() tells of calls of apps, where a flow makes them, and not of tasks", () => {
  const view = viewOf({ ...statusWith(), apps: APPS });
  const within = (columns: number) => plain(describeProgress(view, { nowMs: 1_002_000, columns }));
  expect(within(Infinity)).toBe(
    "14 of 40 calls, 3 from memory, 4 waiting, 22 running, 2 failed; workers: 2; " +
      "moved: 1.5 MB; 2.0/s; about 13 s left",
  );
  expect(within(40)).toBe("14 of 40 calls, 22 running, 2 failed");
  expect(plain(describeEnd({ ...statusWith(), apps: APPS }, 1_004_000))).toStartWith(
    "calls: 11 done, 3 of them from memory, 2 failed, 1 cancelled, 26 unfinished; in 4 s",
  );
});

test("describeEnd() tells of bytes by route, and leaves out what did not happen", () => {
  expect(plain(describeEnd(statusWith({ failed: 0, succeeded: 10 }), 1_004_000))).toBe(
    "tasks: 10 succeeded; in 4 s, 2.5/s; " +
      "moved: 1.5 MB (manager to workers 1 MB, between workers 500 kB)",
  );
  expect(plain(describeEnd(statusWith({ cancelled: 2 }), 1_004_000))).toContain(
    "3 succeeded, 1 failed, 2 cancelled, 4 unfinished; in",
  );
});
