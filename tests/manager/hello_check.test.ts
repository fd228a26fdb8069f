import { expect, test } from "bun:test";

import { helloFault, readable } from "../../manager/hello_check.ts";
import type { Hello } from "../../manager/core/event.ts";
import type { CacheName, TaskId, TransferId, WorkerId } from "../../shared/ids.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";

const HONEST: Hello = {
  kind: "hello",
  protocol: PROTOCOL_VERSION,
  version: "0.1.0",
  workerId: "worker" as WorkerId,
  incarnation: "first",
  host: "node-1.cluster",
  pid: 1,
  resources: { cores: 0.5, memoryBytes: 1e12, diskBytes: 0, gpus: 8 },
  features: ["höhe", "python=3"],
  urls: ["http://127.0.0.1:8000", "https://[::1]:9"],
  tries: [],
  results: [],
  replicas: [],
  instances: [],
};

const FACTS = { name: "file" as CacheName, generation: 0, sizeBytes: 1, digest: "" };
const REPLICA = { ...FACTS, isDirectory: false, level: "worker" as const };
const TRY = { taskId: 1 as TaskId, try: 1 };
const { resources } = HONEST;

/** What no honest worker says of itself, by what the refusal tells. */
const FALSE: readonly (readonly [RegExp, Partial<Hello>])[] = [
  [/take 0 as the cores/, { resources: { ...resources, cores: 0 } }],
  [/take 1e\+300 as the cores/, { resources: { ...resources, cores: 1e300 } }],
  [/as bytes of a worker/, { resources: { ...resources, memoryBytes: 1e300 } }],
  [/as bytes of a worker/, { resources: { ...resources, diskBytes: 1e300 } }],
  [/as the GPUs/, { resources: { ...resources, gpus: 1e6 } }],
  [/1001 features/, { features: Array.from({ length: 1001 }, String) }],
  [/65 addresses/, { urls: Array.from({ length: 65 }, (_, port) => `http://a:${port + 1}`) }],
  [/cannot be read/, { host: "node\u001b]0;owned\u0007" }],
  [/cannot be read/, { version: "1\u202e0" }],
  [/cannot be read/, { workerId: "a\nb" as WorkerId }],
  [/cannot be read/, { incarnation: "\u0000" }],
  [/cannot be read/, { features: ["gpu\u001b[2J"] }],
  [/as an address/, { urls: ["file:///etc/passwd"] }],
  [/as an address/, { urls: ["http://169.254.169.254/latest/meta-data"] }],
  [/as an address/, { urls: ["http://user:word@host"] }],
  [/as an address/, { urls: ["nowhere"] }],
  [/one file twice/, { replicas: [REPLICA, { ...REPLICA, generation: 1 }] }],
  [/one try twice/, { results: [TRY, TRY] }],
  [/one try twice/, { results: [TRY], tries: [{ ...TRY, phase: "running" }] }],
];

test("helloFault() has nothing against an honest worker", () => {
  expect(helloFault(HONEST)).toBeUndefined();
});

for (const [index, [fault, lie]] of FALSE.entries()) {
  test(`helloFault() refuses ${Object.keys(lie)} that cannot be (${index})`, () => {
    const told = helloFault({ ...HONEST, ...lie });
    expect(told).toMatch(fault);
    expect(told).not.toMatch(/\p{Cc}|\p{Cf}/u);
  });
}

test("readable() takes what moves a terminal's cursor out of texts for people", () => {
  const message = "line\n\ttab\u001b[2J\u009b\u202eend";
  const clean = "line\n\ttab\ufffd[2J\ufffd\ufffdend";
  const transferId = 1 as TransferId;
  expect(readable({ kind: "leaving", reason: message })).toEqual({
    kind: "leaving",
    reason: clean,
  });
  expect(readable({ kind: "send_failed", transferId, message })).toMatchObject({ message: clean });
  const bytes = new Uint8Array();
  const times = { startedAtMs: 0, stagedMs: 0, ranMs: 0 };
  const bare = {
    ...TRY,
    outcome: "exit",
    stdout: bytes,
    stderr: bytes,
    outputs: [],
    times,
  } as const;
  const result = { ...bare, message, signal: "SIG\u001b" };
  expect(readable({ kind: "result", result })).toMatchObject({
    result: { message: clean, signal: "SIG\ufffd", outcome: "exit" },
  });
});
