import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import process from "node:process";
import { tmpdir } from "node:os";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import type { RunRecord } from "../../../manager/monitoring/record.ts";
import { RecordProcess } from "../../../manager/monitoring/record_process.ts";
import { selfCommand } from "../../../shared/runtime/self_command.ts";
import { smallDisk } from "../../integration/small_disk.ts";
import { until } from "../../until.ts";
import { EPOCH_MS, RUN_STARTED } from "./recorded_run.ts";

let folder = "";
let count = 0;

beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "tendril-records-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A process of a database of its own, with what it complained of. */
function newProcess(
  options: Partial<ConstructorParameters<typeof RecordProcess>[0]> = {},
): { records: RecordProcess; path: string; said: string[] } {
  const path = join(folder, `${count += 1}`, "monitoring.db");
  const said: string[] = [];
  const records = new RecordProcess({
    command: () => selfCommand(["internal-records"]),
    places: () => ({ database: path }),
    onTrouble: (message) => said.push(message),
    ...options,
  });
  return { records, path, said };
}

/** Stops the process until this is disposed of. */
function stop({ processId }: RecordProcess): Disposable {
  if (processId === undefined) throw new Error("There is no process");
  process.kill(processId, "SIGSTOP");
  return {
    [Symbol.dispose]() {
      try {
        process.kill(processId, "SIGCONT");
      } catch {
        // It was killed.
      }
    },
  };
}

const note = (text: string): RunRecord => ({ kind: "note", noteKind: "test", subject: "", text });

const write = (records: RecordProcess, ...written: RunRecord[]) =>
  records.write({ atMs: written.map((_, index) => EPOCH_MS + index), records: written });

function notesOf(path: string): unknown[] {
  const database = new DatabaseSync(path, { readOnly: true });
  const rows = database.prepare("SELECT text FROM note ORDER BY note_id").all();
  database.close();
  return rows.map(({ text }) => text);
}

test("RecordProcess writes a database, answers from it, and ends with everything written", async () => {
  const { records, path, said } = newProcess();
  const heard: number[] = [];
  records.onRecorded((atMs) => heard.push(atMs));
  records.start();
  write(records, RUN_STARTED, note("one"));
  // What is not committed yet is in the answer.
  const answer = JSON.parse(new TextDecoder().decode(await records.ask({ kind: "run" })));
  expect(answer).toMatchObject({ runId: "1", host: "here", notes: [{ text: "one" }] });
  await until(() => records.recordedAtMs === EPOCH_MS + 1, "it is recorded");
  expect(heard).toEqual([EPOCH_MS + 1]);
  write(records, note("two"), { kind: "run_ended" });
  await records.close();
  expect(notesOf(path)).toEqual(["one", "two"]);
  expect([said, existsSync(`${path}-journal`)]).toEqual([[], false]);
  await expect(records.ask({ kind: "run" })).rejects.toThrow("Cannot ask the records");
});

test("RecordProcess starts nothing before it is told to", async () => {
  const { records, path } = newProcess();
  await expect(records.ask({ kind: "run" })).rejects.toThrow("there are none");
  await records.close();
  expect([records.processId, existsSync(path)]).toEqual([undefined, false]);
});

test("RecordProcess outlives signals to everybody, and ends with its manager", async () => {
  const { records, path } = newProcess();
  records.start();
  write(records, RUN_STARTED);
  const pid = records.processId!;
  await records.ask({ kind: "run" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(pid, signal);
  write(records, note("after"));
  await records.close();
  expect(notesOf(path)).toEqual(["after"]);
});

test("RecordProcess says once that its process died, and lets those go who wait", async () => {
  const { records, said } = newProcess();
  records.start();
  write(records, RUN_STARTED);
  await records.ask({ kind: "run" });
  const asked = records.ask({ kind: "run" });
  process.kill(records.processId!, "SIGKILL");
  await asked.catch((error: unknown) => expect(String(error)).toContain("Cannot ask the records"));
  await until(() => said.length > 0, "it is told of");
  expect(said).toEqual(["Cannot record the run: its process ended with SIGKILL"]);
  write(records, note("lost"));
  await records.close();
  expect(said.length).toBe(1);
});

test("RecordProcess says why there is none, and the run goes on", async () => {
  const missing = newProcess({
    command: () => {
      throw new Error("no program is there");
    },
  });
  missing.records.start();
  write(missing.records, RUN_STARTED);
  await missing.records.close();
  expect(missing.said).toEqual(["Cannot record the run: no program is there"]);
});

test("RecordProcess goes on without a database that cannot be made, and says so", async () => {
  const { records, said } = newProcess({ places: () => ({ database: "/dev/null/x/run.db" }) });
  records.start();
  write(records, RUN_STARTED);
  await expect(records.ask({ kind: "run" })).rejects.toThrow("there are no records");
  await records.close();
  expect(said.length).toBe(1);
  expect(said[0]).toMatch(/^Cannot write database "\/dev\/null\/x\/run.db": /);
});

test("RecordProcess leaves details out that nobody reads in time, and says how many", async () => {
  const { records, path } = newProcess({ backlogBytesMax: 500_000 });
  records.start();
  write(records, RUN_STARTED);
  await records.ask({ kind: "run" });
  using stopped = stop(records);
  const detail = (): RunRecord => ({
    kind: "replica_gone",
    fileId: 1,
    workerId: "w".repeat(1_000),
  });
  for (let round = 0; round < 200; round++) write(records, ...Array.from({ length: 10 }, detail));
  expect(records.leftOutCount).toBeGreaterThan(100);
  write(records, note("kept"), detail());
  const leftOut = records.leftOutCount;
  stopped[Symbol.dispose]();
  await records.ask({ kind: "run" });
  write(records, note("later"));
  await records.close();
  expect(notesOf(path)).toEqual([
    "kept",
    `${leftOut} details are not recorded: the disk was too slow for them`,
    "later",
  ]);
});

test("RecordProcess.close() does not wait for ever", async () => {
  const { records, said } = newProcess({ closeMsMax: 10 });
  records.start();
  write(records, RUN_STARTED);
  await records.ask({ kind: "run" });
  using _ = stop(records);
  await records.close();
  expect(said).toEqual(["Cannot record the end of the run: it was not written in 0.01 s"]);
});

test("RecordProcess stops with what a full disk has taken, and says so once", async () => {
  const mount = join(folder, "small");
  using disk = smallDisk(mount, 1_000_000);
  if (disk === undefined) return;
  const path = join(mount, "monitoring.db");
  const { records, said } = newProcess({ places: () => ({ database: path }) });
  records.start();
  write(records, RUN_STARTED, note("kept"));
  await until(() => records.recordedAtMs > 0, "it is recorded");
  for (let round = 0; said.length === 0 && round < 100; round++) {
    write(records, ...Array.from({ length: 100 }, (_, index) => note(`${index}`.repeat(100))));
    await records.ask({ kind: "run" }).catch(() => {});
    const { recordedAtMs } = records;
    await until(() => said.length > 0 || records.recordedAtMs >= recordedAtMs, "an answer");
  }
  await until(() => said.length > 0, "the disk is full");
  write(records, note("lost"));
  // Whoever looks on keeps what there is.
  const answer = JSON.parse(new TextDecoder().decode(await records.ask({ kind: "run" })));
  expect(answer.notes).toContainEqual(expect.objectContaining({ text: "kept" }));
  await records.close();
  expect(said.length).toBe(1);
  expect(said[0]).toMatch(/^Cannot write database ".*" any more: .*full; the run goes on without$/);
  expect(notesOf(path)[0]).toBe("kept");
});
