import { expect, test } from "bun:test";

import { FileStore } from "../../manager/file_store.ts";
import { readCall } from "../../manager/call_option.ts";
import { type CallOptions, isForMany, TaskMaker } from "../../manager/task_definition.ts";
import type { TaskId } from "../../shared/ids.ts";

const store = new FileStore({
  workflowId: "w",
  push: () => {},
  request: () => Promise.reject(new Error("Not asked for")),
  prune: () => Promise.reject(new Error("Not asked for")),
  countReplicas: () => 0,
});
const body = { kind: "call", function: "f", arguments: new Uint8Array(1) } as const;

test("isForMany() is false of options that are another call's tomorrow", () => {
  const plot = store.declare({
    source: { kind: "temp" },
    level: "workflow",
    peerTransfer: true,
  });
  const read = (options: CallOptions) => isForMany(readCall(options, store));
  expect(read({})).toBe(true);
  expect(read({ timeout: "1m", priority: 3, retries: 2, tag: "a", features: ["x"] })).toBe(true);
  expect(read({ startAfter: "1h" })).toBe(false);
  expect(read({ endBy: "1h" })).toBe(false);
  expect(read({ outputs: { plot } })).toBe(false);
});

test("TaskMaker.make() gives calls of the same options one template, and others theirs", () => {
  const maker = new TaskMaker();
  const plain = readCall({}, store);
  const timed = readCall({ timeout: "1m" }, store);
  const make = (id: number, call: typeof plain, library: string) =>
    maker.make(id as TaskId, { call, body }, { library }).template;
  const first = make(1, plain, "a");
  expect(make(2, plain, "a")).toBe(first);
  expect(make(3, timed, "a").timeoutMs).toBe(60_000);
  expect(make(4, plain, "b").library).toBe("b");
  expect(make(5, readCall({}, store), "a")).toBe(first);
});
