/** One message or more of every kind of protocol.ts; a kind without a sample does not compile. */

// Kinds are snake_case on the wire.
// deno-lint-ignore-file camelcase

import type {
  CacheName,
  InstanceId,
  KeepId,
  SessionId,
  TaskId,
  TransferId,
  WatchId,
  WorkerId,
} from "../../shared/ids.ts";
import { NO_ARGUMENTS } from "../../shared/library.ts";
import {
  type ManagerMessage,
  PROTOCOL_VERSION,
  type WorkerMessage,
} from "../../shared/protocol.ts";

type Samples<M extends { readonly kind: string }> = {
  readonly [K in M["kind"]]: readonly Extract<M, { readonly kind: K }>[];
};

const taskId = 2 ** 40 as TaskId;
const transferId = 7 as TransferId;
const instanceId = 3 as InstanceId;
const keepId = 8 as KeepId;
const watchId = 9 as WatchId;
const name = "temp-w1-5" as CacheName;
const workerId = "worker-a" as WorkerId;
const digest = "0123456789abcdef".repeat(4);
const tryId = { taskId, try: 2 };
const resources = { cores: 0.5, memoryBytes: 2 ** 33, diskBytes: 0, gpus: 0 };
const shape = {
  resources: { ...resources, custom: { license: 2 } },
  shares: ["memory" as const, "disk" as const],
  hasSeries: true,
  env: { OMP_NUM_THREADS: "4" },
  environments: [name],
  timeoutMs: 0,
};
const file = { name, generation: 1, sizeBytes: 2 ** 35, digest, isDirectory: false };
const fetch = {
  kind: "fetch",
  transferId,
  name,
  generation: 0,
  sizeBytes: -1,
  digest: "",
  isDirectory: false,
  isExecutable: true,
  level: "workflow",
  stallMs: 30_000,
} as const;

/** Manager to worker. */
export const MANAGER_SAMPLES: Samples<ManagerMessage> = {
  welcome: [{
    kind: "welcome",
    managerId: "m",
    epoch: 0,
    session: "s" as SessionId,
    transferKey: new Uint8Array(32),
    heartbeatMs: 5000,
    atMs: 1_790_000_000_000.5,
  }],
  reconcile: [{
    kind: "reconcile",
    tries: [{ ...tryId, verdict: "keep" }],
    results: [{ ...tryId, verdict: "resend" }],
    replicas: [{ name, generation: 1, verdict: "delete" }],
    instances: [{ instanceId, verdict: "stop" }],
  }],
  dispatch: [{
    kind: "dispatch",
    shapes: [shape, { ...shape, library: "digits" }],
    tasks: [
      {
        ...tryId,
        shape: 0,
        priority: -1.5,
        body: { kind: "command", command: "echo hällo" },
        inputs: [
          { mount: "in", name, generation: 0 },
          { mount: "tree", name, generation: 1, isSymlink: true },
          { mount: "", name, generation: 1, pathName: "table.csv" },
        ],
        outputs: [
          { mount: "out", name, generation: 1, level: "task", isReturned: true },
          { mount: "core", name, generation: 1, level: "task", isReturned: true, only: "failure" },
        ],
      },
      {
        ...tryId,
        shape: 1,
        priority: 0,
        body: { kind: "call", function: "f", arguments: new Uint8Array([1, 2]) },
        inputs: [],
        outputs: [],
      },
    ],
  }],
  recall: [{ kind: "recall", ...tryId }],
  kill: [{ kind: "kill", ...tryId }],
  result_ack: [{ kind: "result_ack", tries: [tryId] }],
  fetch: [
    { ...fetch, source: { kind: "inline", bytes: new Uint8Array(10) } },
    { ...fetch, source: { kind: "manager", ticket: "t" } },
    { ...fetch, source: { kind: "worker", workerId, urls: ["http://h:1"], ticket: "t" } },
    { ...fetch, source: { kind: "url", url: "file:///x" } },
    { ...fetch, source: { kind: "url", url: "http://h/x", validator: '"1"' } },
  ],
  make: [{
    kind: "make",
    transferId,
    name,
    level: "forever",
    recipe: { kind: "environment", input: name },
  }, {
    kind: "make",
    transferId,
    name,
    level: "worker",
    recipe: {
      kind: "command",
      command: "curl -O http://host/data",
      env: { A: "b" },
      resources,
      timeoutMs: 1_000,
      mount: "data",
      inputs: [{ mount: "in", name }],
      environments: [name],
    },
  }],
  send: [
    { kind: "send", transferId, name, generation: 1, to: { kind: "manager", ticket: "t" } },
    { kind: "send", transferId, name, generation: 1, to: { kind: "url", url: "http://h/x" } },
  ],
  stop_send: [{ kind: "stop_send", transferId }],
  room_answered: [{ kind: "room_answered" }],
  keep: [{ kind: "keep", keepId, name, generation: 1, level: "forever" }],
  verify: [{ kind: "verify", name, generation: 1 }],
  delete: [{ kind: "delete", name, generation: 1 }],
  start_instance: [{
    kind: "start_instance",
    instanceId,
    library: {
      name: "digits",
      program: { kind: "javascript", module: name },
      mode: "direct",
      context: "",
      contextArguments: NO_ARGUMENTS,
      slots: 2,
      resources,
      env: {},
      environments: [],
      inputs: [],
    },
  }, {
    kind: "start_instance",
    instanceId,
    library: {
      name: "model",
      program: { kind: "python", module: name, moduleName: "model", isPickling: true },
      mode: "fork",
      context: "load",
      contextArguments: Uint8Array.of(0x81, 7),
      slots: 2,
      resources,
      env: { A: "b" },
      environments: [name],
      inputs: [{ mount: "weights", name, generation: 1 }],
    },
  }, {
    kind: "start_instance",
    instanceId,
    library: {
      name: "any",
      program: { kind: "command", command: "./server" },
      mode: "direct",
      context: "",
      contextArguments: NO_ARGUMENTS,
      slots: 1,
      resources,
      env: {},
      environments: [],
      inputs: [{ mount: "server", name, generation: 0 }],
    },
  }],
  stop_instance: [
    { kind: "stop_instance", instanceId },
    { kind: "stop_instance", instanceId, isRetiring: true },
  ],
  watch: [{
    kind: "watch",
    watchId,
    ...tryId,
    source: { kind: "stream", stream: "stderr" },
    fromByte: 2 ** 35,
    creditBytes: 1,
    canSkip: true,
  }, {
    kind: "watch",
    watchId,
    ...tryId,
    source: { kind: "mount", mount: "out/log" },
    fromByte: 0,
    creditBytes: 0,
    canSkip: false,
  }],
  watch_credit: [{ kind: "watch_credit", watchId, bytes: 5 }],
  unwatch: [{ kind: "unwatch", watchId }],
  heartbeat: [{ kind: "heartbeat" }],
  release: [{ kind: "release", reason: "the workflow is over" }],
};

/** Worker to manager. */
export const WORKER_SAMPLES: Samples<WorkerMessage> = {
  hello: [{
    kind: "hello",
    protocol: PROTOCOL_VERSION,
    version: "0.1.0",
    workerId,
    incarnation: "i",
    session: "s" as SessionId,
    host: "node-1",
    pid: 12,
    resources,
    features: ["avx512"],
    urls: ["http://127.0.0.1:4000"],
    tries: [{ ...tryId, phase: "staging" }],
    results: [tryId],
    replicas: [{ ...file, level: "worker" }],
    instances: [{ instanceId, library: "digits", isReady: true }],
  }],
  tries_started: [{ kind: "tries_started", tries: [tryId] }],
  recalled: [{ kind: "recalled", ...tryId }],
  result: [{
    kind: "result",
    result: {
      ...tryId,
      outcome: "success",
      message: "",
      exitCode: 0,
      stdout: new Uint8Array([104, 105]),
      stderr: new Uint8Array(0),
      value: new Uint8Array([1]),
      outputs: [{ ...file, content: new Uint8Array([1]) }],
      times: { startedAtMs: 1_790_000_000_000, stagedMs: 0.25, ranMs: 12.5 },
    },
  }],
  results: [{
    kind: "results",
    results: [{
      ...tryId,
      outcome: "success",
      message: "",
      stdout: new Uint8Array(0),
      stderr: new Uint8Array(0),
      value: new Uint8Array([1]),
      outputs: [],
      times: { startedAtMs: 1_790_000_000_000, stagedMs: 0, ranMs: 12.5 },
    }],
  }],
  replica_ready: [{ kind: "replica_ready", transferId, file, movedBytes: 10 }],
  transfer_failed: [{
    kind: "transfer_failed",
    transferId,
    name,
    generation: 1,
    message: "no route",
    canRetry: true,
  }],
  room_wanted: [{ kind: "room_wanted", files: [{ name, generation: 1 }] }],
  disk_used: [{ kind: "disk_used", usedBytes: 2 ** 40 }],
  replica_gone: [{ kind: "replica_gone", name, generation: 1 }],
  kept: [{
    kind: "kept",
    keepId,
    file: { ...file, name: `file-sha256-${digest}-x` as CacheName, isExecutable: true },
    level: "worker",
  }],
  keep_failed: [{ kind: "keep_failed", keepId, message: "not here" }],
  replica_verified: [{ kind: "replica_verified", name, generation: 1 }],
  stored: [{ kind: "stored", transferId }],
  send_failed: [{ kind: "send_failed", transferId, message: "gone" }],
  instance_ready: [
    { kind: "instance_ready", instanceId },
    { kind: "instance_ready", instanceId, startMs: 60_000 },
  ],
  instance_gone: [{ kind: "instance_gone", instanceId, reason: "died", message: "" }],
  piece: [{ kind: "piece", watchId, atByte: 2 ** 35, bytes: new Uint8Array(3) }],
  watch_ended: [{ kind: "watch_ended", watchId, reason: "replaced" }],
  heartbeat: [{ kind: "heartbeat" }],
  leaving: [{ kind: "leaving", reason: "SIGTERM" }],
};
