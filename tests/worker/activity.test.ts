import { expect, test } from "bun:test";

import { LOG_LEVELS, type LogFields, type LogLevel } from "../../shared/log.ts";
import { Activity } from "../../worker/activity.ts";
import type { WorkerInstruction } from "../../worker/core/instruction.ts";

/** What an activity tells a log of that level of these instructions, of fields that it looks at. */
function told(level: LogLevel, ...instructions: object[]): unknown[][] {
  const lines: unknown[][] = [];
  const keeps = (asked: LogLevel): boolean =>
    LOG_LEVELS.indexOf(asked) >= LOG_LEVELS.indexOf(level);
  const write = (level: LogLevel, event: string, fields: LogFields = {}): void => {
    const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
    if (keeps(level)) lines.push([level, event, Object.fromEntries(kept)]);
  };
  const activity = new Activity({ keeps, write });
  for (const instruction of instructions) activity.note(instruction as WorkerInstruction);
  return lines;
}

const send = (...messages: object[]): object => ({ kind: "send", messages });

const RESULT = { taskId: 7, try: 1, message: "", times: { ranMs: 12.7 } };

test("Activity tells of tries that failed and of those that were killed, with their reasons", () => {
  const results = [
    { ...RESULT, outcome: "exit", exitCode: 3, message: "it ended with status 3" },
    { ...RESULT, taskId: 8, outcome: "success", exitCode: 0 },
    { ...RESULT, taskId: 9, outcome: "cancelled" },
  ];
  const exceeded = { resource: "memory", limit: 100, used: 200 };
  const stop = { kind: "stop_task", taskId: 9, try: 1 };
  expect(told(
    "info",
    send({ kind: "results", results }, { kind: "result", result: results[0] }),
    { ...stop, reason: "cancelled" },
    { ...stop, reason: "resources_exhausted", exceeded },
  )).toEqual([
    ...Array(2).fill(["warn", "try_failed", {
      taskId: 7,
      try: 1,
      outcome: "exit",
      message: "it ended with status 3",
      exitCode: 3,
      ranMs: 13,
    }]),
    ["info", "try_killed", { taskId: 9, try: 1, reason: "cancelled" }],
    ["warn", "try_killed", {
      taskId: 9,
      try: 1,
      reason: "resources_exhausted",
      resource: "memory",
      limitBytes: 100,
      usedBytes: 200,
    }],
  ]);
});

test("Activity tells evictions, which make room on a full disk, from other deletions", () => {
  const file = { name: "temp-1", generation: 1 };
  const remove = { kind: "delete_file", ...file };
  const story = [remove, send({ kind: "room_wanted", files: [file] }), remove];
  expect(told("info", ...story)).toEqual([
    ["info", "disk_full", { filesOffered: 1 }],
    ["info", "file_evicted", { file: "temp-1", generation: 1 }],
  ]);
  expect(told("debug", ...story)[0]).toEqual(
    ["debug", "file_deleted", { file: "temp-1", generation: 1 }],
  );
});

test("Activity tells of starts and deaths of libraries, and of transfers that failed", () => {
  const gone = { kind: "instance_gone", instanceId: 4 };
  expect(told(
    "info",
    { kind: "start_instance", instanceId: 4, library: { name: "digits", env: { KEY: "secret" } } },
    send({ kind: "instance_ready", instanceId: 4, startMs: 80 }),
    send({ ...gone, reason: "stopped", message: "" }),
    send({ ...gone, reason: "died", message: "Killed" }),
    {
      kind: "stop_instance",
      instanceId: 4,
      stop: { outcome: "disk_full", message: "it wrote too much", isAmbiguous: false },
    },
    send({
      kind: "transfer_failed",
      transferId: 2,
      name: "temp-1",
      generation: 1,
      message: "it broke off",
      canRetry: true,
    }),
  )).toEqual([
    ["info", "library_starting", { library: "digits", instanceId: 4 }],
    ["info", "library_ready", { instanceId: 4, startMs: 80 }],
    ["info", "library_stopped", { instanceId: 4 }],
    ["warn", "library_died", { instanceId: 4, message: "Killed" }],
    ["warn", "library_killed", {
      instanceId: 4,
      reason: "disk_full",
      message: "it wrote too much",
    }],
    ["warn", "transfer_failed", {
      transferId: 2,
      file: "temp-1",
      message: "it broke off",
      canRetry: true,
    }],
  ]);
});

test("Activity tells at debug of what comes by the thousand, and never of tickets or variables", () => {
  const source = { kind: "worker", urls: ["http://w"], ticket: "TICKET" };
  const story = [
    { kind: "run_task", task: { taskId: 7, try: 1, body: { command: "c", env: { K: "SECRET" } } } },
    { kind: "call", instanceId: 4, calls: [{}, {}] },
    { kind: "fetch", order: { transferId: 2, name: "temp-1", source } },
    send(
      { kind: "replica_ready", transferId: 2, file: { name: "temp-1" }, movedBytes: 9 },
      { kind: "disk_used", usedBytes: 1 },
    ),
  ];
  expect(told("info", ...story)).toEqual([]);
  const lines = told("debug", ...story);
  expect(lines.map(([, event]) => event)).toEqual([
    "try_started",
    "calls_given",
    "transfer_started",
    "transfer_ended",
  ]);
  expect(JSON.stringify(lines)).not.toMatch(/TICKET|SECRET/);
});
