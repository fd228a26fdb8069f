import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import { CALL_SORTS } from "../../../manager/dashboard/call_api.ts";
import { AppCore, APPS, runFlow } from "../monitoring/recorded_apps.ts";
import { type Ask, fromDatabase, fromReport } from "./answered_runs.ts";

let folder = "";
let db: DatabaseSync;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tendril-call-answers-"));
  const path = join(folder, "run.db");
  const core = new AppCore();
  runFlow(core);
  core.into(path);
  db = new DatabaseSync(path, { readOnly: true });
});

afterAll(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

const ALL = { kind: "calls", sort: "id", isDescending: false, offset: 0, limit: 100 } as const;

for (const [name, open] of [["database", fromDatabase], ["report", fromReport]] as const) {
  describe(`answers of calls from a ${name}`, () => {
    let ask: Ask;
    beforeAll(() => void (ask = open(db)));

    const found = (more: Partial<Parameters<Ask>[0]>) => {
      return ask({ ...ALL, ...more } as typeof ALL).rows.map(({ callId }) => callId);
    };

    test("calls are found by state, app, words and number, a part at a time", () => {
      expect(found({})).toEqual(Object.values(APPS));
      expect(found({ states: ["failed", "dep_fail"] })).toEqual([APPS.broken, APPS.after]);
      expect(found({ app: "count", states: ["memo_done"] })).toEqual([APPS.again]);
      expect(found({ search: "READS" })).toEqual([APPS.align]);
      expect(found({ search: "def456" })).toEqual([APPS.again]);
      expect(found({ search: "no <such>" })).toEqual([APPS.broken]);
      expect(found({ search: "107" })).toEqual([APPS.local]);
      expect(found({ search: "100%" })).toEqual([]);
      const part = ask({ ...ALL, offset: 2, limit: 3 });
      expect(part.total).toBe(9);
      expect(part.rows.map(({ callId }) => callId)).toEqual([103, 104, 105]);
    });

    test("calls are sorted alike, and what is not known comes last", () => {
      for (const sort of CALL_SORTS) {
        for (const isDescending of [false, true]) {
          expect(found({ sort, isDescending })).toEqual(
            fromDatabase(db)({ ...ALL, sort, isDescending }).rows.map(({ callId }) => callId),
          );
        }
      }
      expect(found({ sort: "state" })[0]).toBe(APPS.pending);
      expect(found({ sort: "host", isDescending: true }).slice(-5)).toEqual(
        [APPS.again, APPS.after, APPS.joined, APPS.stopped, APPS.pending],
      );
    });

    test("a call tells its tries with their tasks, its key, and what it waited for", () => {
      const count = ask({ kind: "call", callId: APPS.count })!;
      expect(count).toMatchObject({
        ...{ app: "count", appKind: "python", state: "exec_done", try: 2, failCost: 0.5 },
        ...{ depends: [APPS.align], joins: [], taskId: 3, causes: [], isPartial: false },
      });
      expect(count.tries).toMatchObject([
        { try: 1, executor: "tendril", host: "host of a", taskId: 2, message: "code 3" },
        { try: 2, executor: "tendril", host: "host of a", taskId: 3, message: null },
      ]);
      expect(count.tries[0]!.launchedAtMs).toBe(count.launchedAtMs!);
      expect(count.tries[1]!.endedAtMs).toBe(count.endedAtMs);
      expect(ask({ kind: "call", callId: APPS.align })).toMatchObject({
        ...{ label: "first", outputs: ["sam"], stdout: "/data/align.txt", isMemoized: true },
        memoKey: "abc123",
      });
      expect(ask({ kind: "call", callId: APPS.joined })).toMatchObject({
        ...{ executor: "", joins: [APPS.align, APPS.again], taskId: null },
        tries: [{ executor: "_parsl_internal", taskId: null }],
      });
      expect(ask({ kind: "call", callId: 1 })).toBeNull();
    });

    test("a call that could not run tells which one failed, and why", () => {
      expect(ask({ kind: "call", callId: APPS.after })?.causes).toEqual([
        { callId: APPS.broken, app: "broken", message: "Error: no <such> thing" },
      ]);
    });

    test("a task tells the call that it is a try of", () => {
      expect(ask({ kind: "task", taskId: 2 })?.appCallId).toBe(APPS.count);
    });

    test("apps are told with their states, also in the overview and by name in the run", () => {
      const apps = ask({ kind: "apps" });
      expect(apps.map(({ app, calls }) => `${app} ${calls}`)).toEqual(
        ["align 1", "count 4", "broken 1", "total 1", "both 1", "plot 1"],
      );
      expect(apps[1]?.states).toEqual(
        Object.fromEntries([["exec_done", 1], ["memo_done", 1], ["cancelled", 1], ["pending", 1]]),
      );
      expect(ask({ kind: "overview", points: 10 }).apps).toEqual(apps);
      expect(ask({ kind: "run" }).apps).toEqual(apps.map(({ app }) => app).toSorted());
    });

    test("the graph has calls with their states, dependencies and joins, or apps", () => {
      const graph = ask({ kind: "graph", grouping: "auto" });
      expect(graph.grouping).toBe("calls");
      expect(graph.nodes.map(({ number, states }) => [number, Object.keys(states)[0]])).toEqual([
        ...[[101, "success"], [102, "success"], [103, "memo"], [104, "failed"]],
        ...[[105, "dep_fail"], [106, "success"], [107, "success"], [108, "cancelled"]],
        [109, "pending"],
      ]);
      const told = graph.edges.map(({ from, to, isJoin }) => {
        return `${from.slice(5)}${isJoin ? " joined by " : " to "}${to.slice(5)}`;
      });
      expect(told).toEqual([
        ...["101 to 102", "104 to 105", "102 to 105", "101 joined by 106", "103 joined by 106"],
        ...["106 to 107", "107 to 109"],
      ]);
      const apps = ask({ kind: "graph", grouping: "apps" });
      expect(apps.nodes.map(({ label }) => label)).toContain("total");
      expect(apps.edges).toContainEqual(
        { from: "app:count", to: "app:both", count: 1, isJoin: true },
      );
      expect(ask({ kind: "graph", grouping: "tasks" }).grouping).toBe("tasks");
    });
  });
}
