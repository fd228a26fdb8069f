/** Calls of apps of a real flow, as the records, the status and clients tell of them. */

import { execFile } from "node:child_process";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";

import { expect, test } from "bun:test";
import { join } from "@std/path";

import { app, joinApp, load, Manager, shellApp } from "../../mod.ts";
import { BINARY } from "../binary/built.ts";
import { Scratch } from "./scratch.ts";

test(
  "A flow is seen: calls in the records, the status and the metrics, tries by their calls",
  async () => {
    await using scratch = await Scratch.open();
    const manager = await Manager.start({ workers: 1, runDirectory: scratch.path("runs") });
    const flow = await load({ manager });
    const write = shellApp((text: string) => `echo ${text}; test ${text} != bad`, {
      name: "write",
    });
    const both = app((a: unknown, b: unknown) => [a, b].length, { name: "both" });
    const twice = joinApp((text: string) => [write(text), write(`${text}2`)], { name: "twice" });
    const good = write("good");
    const bad = write.with({ retries: 1 })("bad");
    const after = both(good, bad);
    const joined = twice("j");
    expect(await both(good, joined)).toBe(2);
    await after.catch(() => undefined);
    const run = async (...args: string[]) => {
      const { stdout } = await promisify(execFile)(BINARY, [...args, "--name", manager.name]);
      return stdout;
    };
    expect(manager.status().apps).toMatchObject([
      { app: "write", calls: 4 },
      { app: "both", calls: 2 },
      { app: "twice", calls: 1 },
    ]);
    expect(await run("status")).toContain("app write: 4 calls, 3 exec_done, 1 failed\n");
    const { calls, total } = JSON.parse(await run("calls", "--json", "--failed"));
    expect(total).toBe(2);
    expect(calls).toMatchObject([
      { callId: bad.id, app: "write", state: "failed", try: 2 },
      { callId: after.id, app: "both", state: "dep_fail", try: 0, taskId: null },
    ]);
    expect(calls[1].message).toContain("write");
    expect(await run("calls", "--app", "twice")).toContain("twice");
    expect(JSON.parse(await run("tasks", "--json")).tasks[0]).toMatchObject({ app: "write" });
    const path = join(manager.runDirectory ?? "", "monitoring.db");
    await flow.close();
    await manager.close();
    const db = new DatabaseSync(path, { readOnly: true });
    const rows = (sql: string) => db.prepare(sql).all().map((row) => Object.values(row).join(" "));
    expect(rows("SELECT task_func_name, task_depends FROM task ORDER BY task_id").slice(0, 3))
      .toEqual(["write ", "write ", `both ${good.id},${bad.id}`]);
    expect(rows(`SELECT task_status_name FROM status WHERE task_id = ${bad.id} ORDER BY timestamp`))
      .toEqual([
        ...["pending", "launched", "running", "running_ended", "fail_retryable"],
        ...["pending", "launched", "running", "running_ended", "failed"],
      ]);
    expect(rows(`SELECT task_joins FROM try WHERE task_joins IS NOT NULL`)).toHaveLength(1);
    expect(rows("SELECT tasks_failed_count, tasks_completed_count FROM workflow")).toEqual(["1 5"]);
    const loose = "SELECT task_id FROM task_detail WHERE app_call_id IS NULL";
    expect(rows(loose)).toEqual([]);
    expect(rows("SELECT count(*) FROM task")).toEqual(["7"]);
    db.close();
  },
  30_000,
);
