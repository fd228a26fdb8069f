import { expect, test } from "bun:test";

import type { TaskId } from "../../shared/ids.ts";
import { leanManagerMessage, leanWorkerMessage } from "../../shared/lean_message.ts";
import { checkMessages } from "../../shared/message_check.ts";
import { managerMessage, workerMessage } from "../../shared/message_shapes.ts";
import type { ManagerMessage, WorkerMessage } from "../../shared/protocol.ts";

const NO_BYTES = new Uint8Array(0);
const id = { taskId: 7 as TaskId, try: 1 };

const dispatch: ManagerMessage = {
  kind: "dispatch",
  shapes: [{
    resources: { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 },
    env: {},
    environments: [],
    timeoutMs: 0,
  }],
  tasks: [{
    ...id,
    shape: 0,
    priority: 0,
    body: { kind: "command", command: "true" },
    inputs: [],
    outputs: [],
  }],
};

const result: WorkerMessage = {
  kind: "result",
  result: {
    ...id,
    outcome: "success",
    message: "",
    exitCode: 0,
    stdout: NO_BYTES,
    stderr: NO_BYTES,
    outputs: [],
    times: { startedAtMs: 1, stagedMs: 2, ranMs: 3 },
  },
};

test("leanManagerMessage() leaves out what the check of the worker fills in", () => {
  const lean = leanManagerMessage(dispatch);
  expect(lean.kind === "dispatch" && Object.keys(lean.tasks[0] ?? {}))
    .toEqual(["taskId", "try", "shape", "body"]);
  expect<unknown>(checkMessages(managerMessage, [structuredClone(lean)])).toEqual([dispatch]);
});

test("leanWorkerMessage() leaves out what the check of the manager fills in", () => {
  const lean = leanWorkerMessage(result);
  expect(lean.kind === "result" && Object.keys(lean.result))
    .toEqual(["taskId", "try", "outcome", "exitCode", "times"]);
  expect<unknown>(checkMessages(workerMessage, [structuredClone(lean)])).toEqual([result]);
});

test("leanWorkerMessage() keeps what is not usual", () => {
  const stdout = new Uint8Array([104, 105]);
  const said: WorkerMessage = { ...result, result: { ...result.result, stdout, message: "m" } };
  expect(leanWorkerMessage(said)).toMatchObject({ result: { stdout, message: "m" } });
  expect<unknown>(checkMessages(workerMessage, [leanWorkerMessage(said)])).toEqual([said]);
});
