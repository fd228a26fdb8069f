import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { Fact } from "../../manager/core/fact.ts";
import { Manager } from "../../manager/manager.ts";
import { ManagerLog } from "../../manager/manager_log.ts";
import { tell } from "../../manager/notice.ts";
import { ALL_RECORDS } from "../../manager/records_option.ts";
import { RunDirectory } from "../../manager/run_directory.ts";
import type { LogLevel } from "../../shared/log.ts";

/** A folder for runs, and the log of one of them. */
class LoggedRun implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly run: RunDirectory;
  readonly log: ManagerLog;

  constructor(level: LogLevel, hasLogs = true) {
    const config = { runDirectory: this.folder, records: { ...ALL_RECORDS, logs: hasLogs } };
    this.run = new RunDirectory(config, { name: "oak", managerId: "m1" });
    this.log = new ManagerLog({ runDirectory: this.run, name: "oak", level });
  }

  /** Closes the log; its lines, without their times. */
  async lines(): Promise<{ readonly [name: string]: unknown }[]> {
    await this.log.close();
    return linesOf(this.run.path ?? "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function linesOf(path: string): { readonly [name: string]: unknown }[] {
  const text = readFileSync(join(path, "logs", "manager.log"), "utf8");
  return text.trimEnd().split("\n").map((line) => {
    const { time: _time, ...rest } = JSON.parse(line);
    return rest;
  });
}

/** Facts of fields that a log looks at. */
const facts = (...given: object[]): readonly Fact[] => given as unknown as readonly Fact[];

const WORKER = {
  workerId: "w1",
  host: "node7",
  pid: 9,
  resources: { cores: 2, memoryBytes: 4e9, diskBytes: 8e9, gpus: 0 },
  features: ["ssd"],
  urls: [],
};
const TRY = { taskId: 7, try: 2, workerId: "w1" };

test("ManagerLog begins with the first task or worker, and with what was said before", async () => {
  await using at = new LoggedRun("info");
  at.log.hear(facts({ kind: "file_declared", fileId: 1 }, { kind: "policies_set" }));
  tell("something is odd");
  expect(readdirSync(at.folder)).toEqual([]);
  at.log.hear(facts({ kind: "worker_joined", ...WORKER }));
  tell("and \u001b[2Jodder");
  const [started, ...more] = await at.lines();
  expect(started).toMatchObject({ level: "info", event: "started", name: "oak" });
  expect(more).toEqual([
    { level: "warn", event: "said", message: "something is odd" },
    {
      level: "info",
      event: "worker_joined",
      workerId: "w1",
      host: "node7",
      pid: 9,
      cores: 2,
      memoryBytes: 4e9,
      diskBytes: 8e9,
      gpus: 0,
      features: "ssd",
    },
    { level: "warn", event: "said", message: "and [2Jodder" },
  ]);
});

test("ManagerLog tells what failed and why, and of what went well only at debug", async () => {
  const story = facts(
    { kind: "task_submitted", taskId: 7, definition: { body: { kind: "command" } } },
    { kind: "try_dispatched", ...TRY },
    {
      kind: "try_ended",
      ...TRY,
      outcome: "exit",
      result: { message: "it ended with status 3", exitCode: 3 },
    },
    { kind: "task_ended", taskId: 7, outcome: "exit", end: { try: 2, message: "status 3" } },
    { kind: "try_ended", ...TRY, taskId: 8, outcome: "success", result: { message: "" } },
    { kind: "task_ended", taskId: 8, outcome: "success", end: { try: 1, message: "" } },
    {
      kind: "transfer_failed",
      transferId: 4,
      fileId: 5,
      from: "worker",
      sourceId: "w2",
      to: "worker",
      workerId: "w1",
      movedBytes: 10,
      message: "it broke off",
    },
    { kind: "library_instance", library: "digits", instanceId: 1, workerId: "w1", change: "died" },
    { kind: "library_instance", library: "digits", instanceId: 2, workerId: "w1", change: "ready" },
    { kind: "host_blocked", host: "node7", reason: "5 failures", isByHand: false, forMs: 1000 },
    { kind: "worker_left", workerId: "w1", reason: "its connection closed" },
  );
  await using quiet = new LoggedRun("info");
  quiet.log.hear(story);
  const [, ...lines] = await quiet.lines();
  expect(lines.map(({ level, event }) => [level, event])).toEqual([
    ["warn", "try_failed"],
    ["error", "task_failed"],
    ["warn", "transfer_failed"],
    ["warn", "library_died"],
    ["warn", "host_blocked"],
    ["info", "worker_left"],
  ]);
  expect(lines[0]).toMatchObject({ ...TRY, message: "it ended with status 3", exitCode: 3 });
  expect(lines[2]).toMatchObject({ sourceId: "w2", movedBytes: 10, message: "it broke off" });
  await using detailed = new LoggedRun("debug");
  detailed.log.hear(story);
  const events = (await detailed.lines()).map(({ event }) => event);
  expect(events).toContain("task_submitted");
  expect(events).toContain("try_dispatched");
  expect(events).toContain("try_ended");
  expect(events).toContain("library_ready");
});

test("ManagerLog makes the run's folder, and no log where that is switched off", async () => {
  await using at = new LoggedRun("debug", false);
  at.log.hear(facts({ kind: "worker_joined", ...WORKER }));
  await at.log.close();
  expect(readdirSync(at.run.path ?? "")).toEqual(["run.json"]);
});

test("Manager keeps a log of its run, which tells its end, and no folder of one that had none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-test-"));
  try {
    const manager = await Manager.start({ runDirectory: folder });
    expect(manager.runDirectory).toBeUndefined();
    const task = manager.submit({ command: "true" });
    await manager.close();
    expect((await task).outcome).toBe("cancelled");
    const path = manager.runDirectory ?? "";
    expect(linesOf(path).map(({ event }) => event)).toEqual(["started", "ended"]);
    expect(linesOf(path).at(-1)).toMatchObject({ cancelledCount: 1 });
    const runCount = readdirSync(folder).length;
    const idle = await Manager.start({ runDirectory: folder });
    await idle.close();
    expect(readdirSync(folder).length).toBe(runCount);
    expect(existsSync(idle.runDirectory ?? join(folder, "none"))).toBe(false);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
