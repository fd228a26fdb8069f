import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { ManagerEvent } from "../../../manager/core/event.ts";
import { summarize } from "../../../manager/core/summary.ts";
import type { RecordSink, RunRecord } from "../../../manager/monitoring/record.ts";
import { LogLines } from "../../../manager/monitoring/log_lines.ts";
import { RecordDesk } from "../../../manager/monitoring/record_command.ts";
import { Recorder } from "../../../manager/monitoring/recorder.ts";
import {
  TRANSACTIONS_HEADER,
  TransactionsLog,
} from "../../../manager/monitoring/transactions_log.ts";
import { disconnectionOf, resultOf } from "../../../manager/monitoring/vine_format.ts";
import { openVineLogs } from "../../../manager/monitoring/vine_logs.ts";
import { OUTCOMES } from "../../../shared/task.ts";
import { ManagerFixture } from "../core/fixture.ts";
import {
  parsePerformance,
  parseTaskGraph,
  parseTransactions,
  sample,
  shapesOf,
} from "./vine_parser.ts";

/** A call of nothing. */
const CALL = {
  taskKind: "call",
  name: "f",
  command: "digits.f",
  library: "digits",
  function: "f",
  priority: 0,
  requested: {},
} as const;

const NO_MORE = { argumentBytes: [1], tags: [], appCall: [0] };

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tendril-vine-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const read = (name: string) => readFileSync(join(folder, name), "utf8");

/** A core whose facts are recorded, on the clock of this process. */
class Recorded extends ManagerFixture {
  readonly #recorder: Recorder;
  readonly #sinks: readonly RecordSink[];

  constructor({ aheadMs = 0 }: { aheadMs?: number } = {}) {
    super();
    this.nowMs = performance.now();
    const startedAtMs = performance.timeOrigin + this.nowMs + aheadMs;
    this.#sinks = openVineLogs(folder).map(({ sink }) => sink);
    this.#recorder = new Recorder({
      run: () => ({
        runId: "run",
        name: "vine",
        version: "1",
        host: "host",
        user: "user",
        pid: 4321,
        directory: folder,
        startedAtMs,
      }),
      writer: {
        start: () => {},
        write: ({ atMs, records }) => this.#write(atMs, records),
      },
      summarize: () => this.#summarize(),
      tagOf: () => undefined,
      describeFile: (fileId) => ({ kind: "buffer", source: `the "file" \\${fileId}\n` }),
    });
  }

  override feed(...events: ManagerEvent[]): void {
    this.nowMs = Math.max(this.nowMs, performance.now());
    super.feed(...events);
    this.#recorder.hear(this.facts, this.nowMs);
  }

  /** Hands on what waits, without an end. */
  flush(): void {
    this.#recorder.flush();
    for (const sink of this.#sinks) sink.flush();
  }

  /** The run is over. */
  end(): void {
    this.#recorder.close();
    for (const sink of this.#sinks) sink.close();
  }

  #write(atMs: readonly number[], records: readonly RunRecord[]): void {
    for (const [index, record] of records.entries()) {
      for (const sink of this.#sinks) sink.apply(atMs[index] ?? 0, record);
    }
  }

  #summarize() {
    const now = summarize(this.state);
    return {
      ...now,
      submittedTotal: now.submitted,
      succeededTotal: now.succeeded,
      failedTotal: now.failed,
      cancelledTotal: now.cancelled,
      triesStartedTotal: now.triesStarted,
      recoveriesTotal: now.recoveries,
      cores: now.coresTotal,
      memoryBytes: now.memoryTotalBytes,
      diskBytes: now.diskTotalBytes,
      transfers: now.transfersActive,
      schedulingMs: 3,
    };
  }
}

/** What is told of one task, without times and JSON. */
function storyOf(taskId: number): string[] {
  return parseTransactions(read("transactions"))
    .filter(({ format, values }) => format.includes("TASK") && values[2] === String(taskId))
    .map(({ format, values }) => {
      const [, , , , state = ""] = format.split(" ");
      const rest = values.slice(3).filter((value) => !value.startsWith("{"));
      return [state, ...rest].join(" ");
    });
}

/** Everything that the sample has, and what it has not. */
function busyRun(): Recorded {
  const run = new Recorded();
  run.joins("a", { cores: 2 });
  const [input, made, asked] = [run.local("input"), run.temp("made"), run.temp("asked")];
  const maker = run.submits({ inputs: [input], outputs: [made, asked], category: "make it" });
  run.brings("a");
  run.starts("a", maker);
  run.finishes("a", maker, { used: { memoryBytes: 3_000_000, cores: 0.5 } });
  run.finishes("a", run.submits({ inputs: [made] }), { used: {} });
  run.feed({ kind: "file_requested", fileId: asked, requestId: 1 });
  run.delivers(asked);
  run.library("digits", run.local("module"));
  const call = run.submits({ library: "digits" });
  run.brings("a");
  const [instance] = run.state.workers.values().flatMap(({ instances }) => instances.values());
  run.says("a", { kind: "instance_ready", instanceId: instance!.instanceId });
  run.finishes("a", call);
  return run;
}

test("TaskVine's logs begin as the sample does, and have its columns", () => {
  busyRun().end();
  const comments = (text: string) => text.split("\n").filter((line) => line.startsWith("#"));
  for (const name of ["transactions", "performance", "taskgraph"] as const) {
    expect(comments(read(name))).toEqual(comments(sample(name)));
  }
  expect(read("transactions").split("\n")[16]).toMatch(/^\d+ 4321 MANAGER 4321 START 0$/);
});

test("TransactionsLog writes every kind of line that the sample has, with its keys", () => {
  busyRun().end();
  const wanted = shapesOf(parseTransactions(sample("transactions")));
  const found = shapesOf(parseTransactions(read("transactions")));
  expect([...wanted.keys()].filter((format) => !found.has(format))).toEqual([]);
  for (const [format, keys] of found) {
    // What was asked for, and what is known of who was lost, is as much as there is.
    if (!format.includes("READY")) expect([format, wanted.get(format)]).toEqual([format, keys]);
  }
});

test("TransactionsLog tells of each task in order, as of times that do not go back", () => {
  busyRun().end();
  const lines = parseTransactions(read("transactions"));
  const instants = lines.map(({ values }) => Number(values[0]));
  expect(instants).toEqual(instants.toSorted((a, b) => a - b));
  expect(storyOf(1)).toEqual([
    "READY make_it FIRST_RESOURCES 1",
    "RUNNING worker-a FIRST_RESOURCES",
    "WAITING_RETRIEVAL worker-a",
    "RETRIEVED SUCCESS 0",
    "DONE SUCCESS 0",
  ]);
  const end = lines.find(({ format, values }) => format.includes("RETRIEVED") && values[2] === "1");
  expect(end?.values.at(-1)).toContain('"memory":[3,"MB"],"disk":[0,"MB"],"gpus":[0,"gpus"]');
});

test("TransactionsLog counts attempts anew after failures, losses and recoveries", () => {
  const run = new Recorded();
  run.joins("a", { cores: 2 });
  const made = run.temp("made");
  const task = run.submits({ retries: 2, outputs: [made] });
  run.finishes("a", task, {
    outcome: "resources_exhausted",
    exceeded: { resource: "memory", limit: 2 ** 20 * 5, used: 2 ** 23 },
  });
  run.starts("a", task);
  run.exits("a");
  run.joins("b", { cores: 2 });
  run.finishes("b", task, { used: {} });
  run.exits("b");
  run.joins("c");
  const reader = run.submits({ inputs: [made] });
  run.finishes("c", task, { used: {} });
  run.cancels(reader);
  run.end();
  expect(storyOf(task)).toEqual([
    "READY default FIRST_RESOURCES 1",
    "RUNNING worker-a FIRST_RESOURCES",
    "WAITING_RETRIEVAL worker-a",
    "RETRIEVED RESOURCE_EXHAUSTION -1",
    "READY default MAX_RESOURCES 2",
    "RUNNING worker-a MAX_RESOURCES",
    "READY default MAX_RESOURCES 3",
    "RUNNING worker-b MAX_RESOURCES",
    "WAITING_RETRIEVAL worker-b",
    "RETRIEVED SUCCESS 0",
    "DONE SUCCESS 0",
    "READY default FIRST_RESOURCES 4",
    "RUNNING worker-c FIRST_RESOURCES",
    "WAITING_RETRIEVAL worker-c",
    "RETRIEVED SUCCESS 0",
    "DONE SUCCESS 0",
  ]);
  expect(storyOf(reader).at(-1)).toBe("DONE UNKNOWN -1");
  expect(read("transactions")).toContain('-1 {"memory":[5,"MB"]} {"time_worker_start"');
  expect(read("transactions").match(/DISCONNECTION \w+/g)).toEqual([
    "DISCONNECTION FAILURE",
    "DISCONNECTION FAILURE",
    "DISCONNECTION EXPLICIT",
  ]);
});

test("TransactionsLog begins with the start of the manager, though its clock was set back", () => {
  const run = new Recorded({ aheadMs: 60_000 });
  run.joins("a");
  run.end();
  const formats = parseTransactions(read("transactions")).map(({ format }) => format);
  expect([formats[0], formats.at(-1)]).toEqual([
    "US PID MANAGER PID START 0",
    "US PID MANAGER PID END US",
  ]);
  expect(parsePerformance(read("performance")).rows[0]?.["workers_joined"]).toBe(0);
});

test("PerformanceLog has a row at the start, at each sample and at the end", () => {
  busyRun().end();
  const { rows } = parsePerformance(read("performance"));
  expect(rows[0]).toMatchObject({ workers_connected: 0, tasks_submitted: 0, bandwidth: 1 });
  expect(rows.at(-2)).toMatchObject({
    workers_connected: 1,
    workers_idle: 1,
    tasks_submitted: 3,
    tasks_dispatched: 3,
    tasks_done: 3,
    tasks_successful: 3,
    time_execute: 3_000,
    time_execute_good: 3_000,
    bytes_sent: 2_000,
    bytes_received: 1_000,
    total_cores: 2,
    max_memory: 16_384,
    min_memory: 16_384,
  });
  expect(rows.at(-1)).toMatchObject({
    workers_connected: 0,
    workers_removed: 1,
    workers_released: 1,
    tasks_done: 3,
    total_cores: 0,
  });
});

test("TaskGraphLog tells of files and of what reads and makes them", () => {
  busyRun().end();
  const { files, tasks } = parseTaskGraph(read("taskgraph"));
  expect(files).toEqual(["input", "made", "asked", "module"]);
  expect(tasks).toEqual([
    { id: "T1", program: "true", inputs: ["input"], outputs: ["made", "asked"] },
    { id: "T2", program: "true", inputs: ["made"], outputs: [] },
    { id: "T3", program: "f", inputs: [], outputs: [] },
  ]);
  expect(parseTaskGraph(sample("taskgraph")).tasks.length).toBe(7);
  expect(read("taskgraph")).toContain(`FILE input "the 'file' /1 " 1000\n`);
});

test("TaskVine's logs are whole lines after each flush, whatever comes of the manager then", () => {
  const run = busyRun();
  run.submits({ cores: 9 });
  run.flush();
  expect(parseTransactions(read("transactions")).at(-1)?.format).toContain("READY");
  expect(parsePerformance(read("performance")).rows.length).toBeGreaterThan(1);
  expect(parseTaskGraph(read("taskgraph")).tasks.length).toBe(3);
  run.end();
});

test("TransactionsLog leaves calls out once it is too large, and says so", () => {
  const log = new TransactionsLog({ path: join(folder, "transactions"), bytesMax: 4_000 });
  const sorts = [{ ...CALL, category: "c" }];
  for (let batch = 0; batch < 5; batch++) {
    const row = { sort: [0], atMs: [batch], taskId: [batch] };
    const filling = { ...row, ...NO_MORE, sorts: [{ ...CALL, category: "x".repeat(900) }] };
    log.apply(batch, { kind: "calls_submitted", ...filling });
    log.flush();
  }
  log.apply(9, { kind: "calls_submitted", sorts, sort: [0], atMs: [9], taskId: [9], ...NO_MORE });
  log.apply(10, { kind: "run_ended" });
  log.close();
  const text = read("transactions");
  expect(text.match(/APPLICATION t.*/g)).toEqual([
    "APPLICATION tendril leaves out calls: the log is too large",
  ]);
  expect(text).not.toContain(" TASK 9 ");
  expect(text).toContain(" MANAGER 0 END ");
});

test("LogLines throws when the disk is full, and takes nothing more", () => {
  const lines = new LogLines({ path: "/dev/full" });
  lines.add(1, "one");
  expect(() => lines.flush()).toThrow(/no space left/i);
  lines.add(2, "two");
  lines.flush();
  lines[Symbol.dispose]();
});

test("resultOf() has one of TaskVine's words for every outcome", () => {
  const words = /DONE \(([^)]*)\)/.exec(TRANSACTIONS_HEADER.join(" "))?.[1]?.split("|") ?? [];
  for (const outcome of OUTCOMES) {
    for (const hasRun of [true, false]) {
      const [word = ""] = resultOf(outcome, { end: undefined, hasRun }).split(" ");
      expect(words).toContain(word);
    }
  }
  const end = {
    exitCode: 3,
    startedAtMs: 1,
    stagedMs: 0,
    ranMs: 1,
    stdoutBytes: 0,
    stderrBytes: 0,
  };
  expect(resultOf("exit", { end: { ...end, outputBytes: 0 }, hasRun: true })).toBe("SUCCESS  3");
});

test("disconnectionOf() tells idle workers, lost ones and those that left apart", () => {
  const reasons = ["it was idle for 5 minutes", "it was silent for too long", "It was sent away"];
  expect(reasons.map(disconnectionOf)).toEqual(["IDLE_OUT", "FAILURE", "EXPLICIT"]);
});

test("RecordDesk writes TaskVine's logs where there is no database", () => {
  const replies: unknown[] = [];
  const desk = new RecordDesk((reply) => replies.push(reply));
  desk.take({ kind: "open", places: { vineLogs: join(folder, "vine-logs") } });
  desk.take({ kind: "records", atMs: [5], records: [{ kind: "run_ended" }] });
  desk.close();
  expect(read("vine-logs/taskgraph").endsWith("# end\n")).toBe(true);
  expect(read("vine-logs/transactions")).toContain("5000 0 MANAGER 0 END 5000\n");
  expect(parsePerformance(read("vine-logs/performance")).rows.length).toBe(1);
  expect(replies).toEqual([]);
});
