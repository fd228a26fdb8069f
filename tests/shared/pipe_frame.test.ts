import { expect, test } from "bun:test";

import type { RecordOrder } from "../../manager/monitoring/record_frame.ts";
import { FRAME_BYTES_MAX, FrameReader, writeFrame } from "../../shared/pipe_frame.ts";

const ORDERS: readonly RecordOrder[] = [
  { kind: "open", places: { database: "/a", outputs: "/b" } },
  {
    kind: "records",
    atMs: [1.5, 1_800_000_000_000.25],
    records: [
      { kind: "recovery_started", taskId: 2 ** 40 },
      {
        kind: "calls_submitted",
        sorts: [{
          taskKind: "call",
          name: "é",
          command: "",
          category: "",
          priority: -1.5,
          requested: { memoryBytes: Infinity },
        }],
        sort: [0, 0],
        atMs: [1, 2.5],
        taskId: [1, 2],
        argumentBytes: [0, 70_000],
        tags: [[1, "x"]],
        appCall: [0, 9],
      },
    ],
  },
  { kind: "records", atMs: [], records: [] },
  { kind: "ask", questionId: 3, question: { kind: "task", taskId: 7 } },
];

test("FrameReader reads what writeFrame wrote, however it is cut", () => {
  const bytes = ORDERS.flatMap((order) => [...writeFrame(order)]);
  for (const size of [1, 2, 3, 7, 64, bytes.length]) {
    const reader = new FrameReader<RecordOrder>();
    const read: RecordOrder[] = [];
    for (let from = 0; from < bytes.length; from += size) {
      read.push(...reader.read(Uint8Array.from(bytes.slice(from, from + size))));
    }
    expect(read).toEqual([...ORDERS]);
  }
});

test("FrameReader refuses a frame that is larger than any", () => {
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, FRAME_BYTES_MAX + 1, true);
  expect(() => [...new FrameReader().read(header)]).toThrow("as a frame");
});
