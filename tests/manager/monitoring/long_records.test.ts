import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { expect, test } from "bun:test";
import { join } from "@std/path";

import type { RunRecord } from "../../../manager/monitoring/record.ts";
import type { RecordOrder } from "../../../manager/monitoring/record_frame.ts";
import { FrameReader } from "../../../shared/pipe_frame.ts";
import { RecordProcess } from "../../../manager/monitoring/record_process.ts";
import { until } from "../../until.ts";

test("RecordProcess.write() parts what is told at once: a frame has a limit, a burst has none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tendril-frames-"));
  try {
    const path = join(folder, "frames");
    const said: string[] = [];
    const records = new RecordProcess({
      command: () => ["/bin/sh", "-c", 'exec cat > "$1"', "sh", path],
      places: () => ({}),
      onTrouble: (message) => said.push(message),
    });
    records.start();
    const burst = Array.from({ length: 5_000 }, (_, index): RunRecord => {
      return { kind: "note", noteKind: "test", subject: "", text: String(index) };
    });
    records.write({ atMs: burst.map((_, index) => index), records: burst });
    await records.close();
    const orders = [...new FrameReader<RecordOrder>().read(new Uint8Array(readFileSync(path)))];
    const parts = orders.filter((order) => order.kind === "records");
    expect(parts.map(({ records }) => records.length)).toEqual([2_000, 2_000, 1_000]);
    expect(parts.flatMap(({ records }) => records)).toEqual(burst);
    expect(parts.flatMap(({ atMs }) => atMs)).toEqual(burst.map((_, index) => index));
    expect(said).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("RecordProcess.close() lets go of what does not even end when it is killed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tendril-frames-"));
  // As long as this holds the pipes, the process is not over for the manager.
  const hold = 'sleep 100 & echo $! > "$1"; exec sleep 100';
  const path = join(folder, "pid");
  let holder = 0;
  try {
    const said: string[] = [];
    const records = new RecordProcess({
      command: () => ["/bin/sh", "-c", hold, "sh", path],
      places: () => ({}),
      onTrouble: (message) => said.push(message),
      closeMsMax: 10,
    });
    records.start();
    await until(() => existsSync(path) && readFileSync(path, "utf8").endsWith("\n"), "it holds");
    holder = Number(readFileSync(path, "utf8"));
    await records.close();
    expect(said).toEqual(["Cannot record the end of the run: it was not written in 0.01 s"]);
    // It is there yet.
    expect(process.kill(holder, 0)).toBe(true);
  } finally {
    if (holder > 0) process.kill(holder, "SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
});
