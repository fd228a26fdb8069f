import { expect, test } from "bun:test";

import { decodeFrame, encodeFrame } from "../../shared/codec.ts";
import type { CacheName, TaskId } from "../../shared/ids.ts";
import { leanManagerMessages, leanWorkerMessages } from "../../shared/lean_message.ts";
import { type Check, checkMessages } from "../../shared/message_check.ts";
import { managerMessage, workerMessage } from "../../shared/message_shapes.ts";
import { type ManagerMessage, VALUE_BYTES_MAX, type WorkerMessage } from "../../shared/protocol.ts";

const NO_BYTES = new Uint8Array(0);
const id = { taskId: 7 as TaskId, try: 1 };

const dispatch: Extract<ManagerMessage, { kind: "dispatch" }> = {
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

test("leanManagerMessages() leaves out what the check of the worker fills in", () => {
  const [lean] = leanManagerMessages([dispatch]);
  expect(lean?.kind === "dispatch" && Object.keys(lean.tasks[0] ?? {}))
    .toEqual(["taskId", "try", "shape", "body"]);
  expect<unknown>(checkMessages(managerMessage, [structuredClone(lean)])).toEqual([dispatch]);
});

test("leanWorkerMessages() leaves out what the check of the manager fills in", () => {
  const [lean] = leanWorkerMessages([result]);
  expect(lean?.kind === "result" && Object.keys(lean.result))
    .toEqual(["taskId", "try", "outcome", "exitCode", "times"]);
  expect<unknown>(checkMessages(workerMessage, [structuredClone(lean)])).toEqual([result]);
});

test("leanWorkerMessages() keeps what is not usual", () => {
  const stdout = new Uint8Array([104, 105]);
  const said: WorkerMessage = { ...result, result: { ...result.result, stdout, message: "m" } };
  expect(leanWorkerMessages([said])[0]).toMatchObject({ result: { stdout, message: "m" } });
  expect<unknown>(checkMessages(workerMessage, leanWorkerMessages([said]))).toEqual([said]);
});

const shape = dispatch.shapes[0]!;

function call(taskId: number, { name = "f", number = 1, priority = 0, bytes = [taskId] } = {}) {
  return {
    taskId: taskId as TaskId,
    try: number,
    shape: 0,
    priority,
    body: { kind: "call" as const, function: name, arguments: Uint8Array.from(bytes) },
    inputs: [],
    outputs: [],
  };
}

function end(taskId: number, number = 1): Extract<WorkerMessage, { kind: "result" }> {
  return {
    kind: "result",
    result: {
      taskId: taskId as TaskId,
      try: number,
      outcome: "success",
      message: "",
      stdout: NO_BYTES,
      stderr: NO_BYTES,
      value: Uint8Array.from({ length: taskId % 50 }, (_, index) => index),
      outputs: [],
      times: { startedAtMs: 1_790_000_000_000.25 - taskId, stagedMs: 0, ranMs: 0.007 },
    },
  };
}

/** What the other side makes of `messages`. */
function heard<T>(check: Check<T>, messages: readonly { readonly kind: string }[]): readonly T[] {
  return encodeFrame(messages, { compress: false })
    .flatMap((frame) => checkMessages(check, decodeFrame(frame)));
}

test("leanManagerMessages() packs plain calls, which arrive as they were", () => {
  const calls = [
    call(7),
    call(9, { name: "g" }),
    call(2 ** 33, { priority: -1.5 }),
    call(8, { number: 3, bytes: Array.from({ length: 300 }, () => 1) }),
    call(10, { bytes: [] }),
  ];
  const message = { kind: "dispatch", shapes: [shape], tasks: calls } as const;
  const [lean] = leanManagerMessages([message]);
  expect(lean).toMatchObject({
    tasks: { calls: { taskIds: [7, 2, 2 ** 33 - 9, 8 - 2 ** 33, 2] }, others: [] },
  });
  expect<unknown>(heard(managerMessage, leanManagerMessages([message]))).toEqual([message]);
});

test("leanManagerMessages() leaves what is more than a plain call beside them", () => {
  const input = { mount: "", name: "a" as CacheName, generation: 0 };
  const others = [
    ...dispatch.tasks,
    { ...call(6), inputs: [input] },
    { ...call(7), hasValueFile: true },
    { ...call(8), hasOwnInputs: true },
    // A copy of so many bytes would cost more than the keys of a map.
    call(9, { bytes: Array.from({ length: 20_000 }, () => 1) }),
  ];
  const message = { ...dispatch, tasks: [call(1), ...others, call(2)] };
  const [arrived] = heard(managerMessage, leanManagerMessages([message]));
  expect<unknown>(arrived).toEqual({ ...dispatch, tasks: [call(1), call(2), ...others] });
});

test("leanManagerMessages() packs acknowledgements", () => {
  const tries = [{ taskId: 9 as TaskId, try: 1 }, { taskId: 3 as TaskId, try: 2 }];
  const messages = [{ kind: "result_ack", tries }] as const;
  expect(leanManagerMessages(messages)[0])
    .toEqual({ kind: "result_ack", tries: { taskIds: [9, -6], tries: [1, 2] } } as never);
  expect<unknown>(heard(managerMessage, leanManagerMessages(messages))).toEqual(messages);
});

test("leanWorkerMessages() makes one message of plain results that follow one another", () => {
  const beat = { kind: "heartbeat" } as const;
  const failed = { ...end(4), result: { ...end(4).result, outcome: "call_error" as const } };
  const messages: WorkerMessage[] = [end(60), end(3, 2), failed, end(5), beat, end(1), end(2)];
  const arrived = heard(workerMessage, leanWorkerMessages(messages));
  expect(arrived.map(({ kind }) => kind))
    .toEqual(["results", "result", "result", "heartbeat", "results"]);
  const ends = arrived.flatMap((message) => {
    if (message.kind === "results") return message.results;
    return message.kind === "result" ? [message.result] : [];
  });
  expect<unknown>(ends)
    .toEqual([end(60), end(3, 2), failed, end(5), end(1), end(2)].map(({ result }) => result));
});

test("leanWorkerMessages() packs no result that says more than its value", () => {
  const { result } = end(1);
  for (
    const more of [
      { stdout: new Uint8Array(1) },
      { stderr: new Uint8Array(1) },
      { message: "m" },
      { exitCode: 0 },
      { isAmbiguous: true },
      { times: { ...result.times, stagedMs: 1 } },
    ]
  ) {
    const messages = [end(2), { kind: "result", result: { ...result, ...more } } as const, end(3)];
    expect(leanWorkerMessages(messages).map(({ kind }) => kind))
      .toEqual(["result", "result", "result"]);
    expect<unknown>(heard(workerMessage, leanWorkerMessages(messages))).toEqual(messages);
  }
});

test("managerMessage refuses columns that do not fit together", () => {
  const columns = {
    taskIds: [1, 1],
    sorts: [{ shape: 0, function: "f" }],
    sizes: [1, 1],
    arguments: new Uint8Array(2),
  };
  const fault = (calls: object) =>
    managerMessage({ kind: "dispatch", shapes: [shape], tasks: { calls, others: [] } });
  expect(fault({ ...columns })).toBeUndefined();
  const WRONG: readonly (readonly [object, string])[] = [
    [{ taskIds: [1] }, ".sizes are not one for each task"],
    [{ taskIds: [1, -1] }, ".taskIds lead beyond 1 to 9007199254740991"],
    [{ taskIds: [2 ** 53 - 1, 1] }, ".taskIds lead beyond 1 to 9007199254740991"],
    [{ taskIds: [1, 0.5] }, ".taskIds[1] is not a safe integer"],
    [{ tries: [1] }, ".tries are not one for each task"],
    [{ tries: [1, 0] }, ".tries[1] is not a whole number from 1"],
    [{ sizes: [1, 2] }, ".sizes are not those of the bytes"],
    [{ sizes: [0, VALUE_BYTES_MAX + 1] }, `.sizes has one above ${VALUE_BYTES_MAX} bytes`],
    [{ sorts: [] }, ".sorts is empty"],
    [{ sortIndexes: [0] }, ".sortIndexes are not one for each task"],
    [{ sortIndexes: [0, 1] }, ".sortIndexes has one that is not an index of sorts"],
    [{ sorts: [{ shape: 0, function: "" }] }, ".sorts[0].function is empty"],
  ];
  for (const [wrong, said] of WRONG) {
    expect(fault({ ...columns, ...wrong })).toBe(`.tasks.calls${said}`);
  }
  expect(fault({ ...columns, sorts: [{ shape: 1, function: "f" }] }))
    .toBe(".tasks[0].shape is not an index of shapes");
});

test("workerMessage refuses columns that do not fit together", () => {
  const columns = {
    taskIds: [5, -1],
    sizes: [1, 1],
    values: new Uint8Array(2),
    startedAtUs: [10, 5],
    ranUs: [1, 2],
  };
  const fault = (results: object) => workerMessage({ kind: "results", results });
  expect(fault({ ...columns })).toBeUndefined();
  const WRONG: readonly (readonly [object, string])[] = [
    [{ ranUs: [1] }, " has columns of other lengths than .taskIds"],
    [{ startedAtUs: [10, -11] }, ".startedAtUs lead beyond 0 to 8640000000000000"],
    [{ sizes: [1, 2] }, ".sizes are not those of the bytes"],
    [{ taskIds: [5, -5] }, ".taskIds lead beyond 1 to 9007199254740991"],
  ];
  for (const [wrong, said] of WRONG) {
    expect(fault({ ...columns, ...wrong })).toBe(`.results${said}`);
  }
});
