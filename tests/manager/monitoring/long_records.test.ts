import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

import { expect, test } from "bun:test";
import { join } from "@std/path";

import type { RunRecord } from "../../../manager/monitoring/record.ts";
import { FrameReader, type RecordOrder } from "../../../manager/monitoring/record_frame.ts";
import { RecordProcess } from "../../../manager/monitoring/record_process.ts";

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
