/**
 * The manager's core alone: no-op tasks and calls through simulated workers that answer at
 * once. Run as a program it prints one JSON line; the memory of a pending task is
 * measured before the workers join.
 *
 * @module
 */

import { newManagerState } from "../../manager/core/new_state.ts";
import { step } from "../../manager/core/step.ts";
import { DEFAULT_POLICIES } from "../../manager/core/policy.ts";
import type { TaskDefinition, TaskTemplate, TimedEvent } from "../../manager/core/event.ts";
import type { ManagerInstruction } from "../../manager/core/instruction.ts";
import type { CacheName, FileId, SessionId, TaskId, WorkerId } from "../../shared/ids.ts";
import { NO_ARGUMENTS } from "../../shared/library.ts";

/** What one run measured. */
export interface CoreFigures {
  readonly tasksPerSecond: number;
  readonly bytesPerPendingTask: number;
  /** Function calls of one library, with four instances of it. */
  readonly callsPerSecond: number;
}

/** What is run: tasks alike, and workers alike. */
interface Load {
  readonly taskCount: number;
  readonly workerCount: number;
  readonly cores: number;
  readonly template: TaskTemplate;
}

const ONE_CORE = { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 };

const COMMAND: TaskTemplate = {
  request: { cores: 1 },
  category: "default",
  env: {},
  timeoutMs: 0,
  minTimeMs: 0,
};

const CALL: TaskTemplate = { ...COMMAND, request: {}, category: "library", library: "library" };

const NO_BYTES = new Uint8Array(0);

/** Runs no-op tasks on many workers of 4 cores, then no-op calls on 4 workers of 1 core. */
export function measureCore(taskCount: number, workerCount: number): CoreFigures {
  const tasks = measure({ taskCount, workerCount, cores: 4, template: COMMAND });
  const calls = measure({ taskCount, workerCount: 4, cores: 1, template: CALL });
  return { ...tasks, callsPerSecond: calls.tasksPerSecond };
}

function measure(load: Load): Omit<CoreFigures, "callsPerSecond"> {
  const { taskCount, template } = load;
  const state = newManagerState({
    managerId: "bench",
    epoch: 1,
    seed: 1,
    policies: DEFAULT_POLICIES,
  });
  if (template === CALL) step(state, declaring());
  Bun.gc(true);
  const heapBefore = process.memoryUsage().heapUsed;
  const startedMs = performance.now();
  for (let first = 1; first <= taskCount; first += 1_000) {
    const events: TimedEvent[] = [];
    for (let id = first; id < first + 1_000 && id <= taskCount; id++) {
      events.push({ kind: "task_submitted", atMs: 0, task: newTask(id, template) });
    }
    step(state, events);
  }
  const submittedMs = performance.now() - startedMs;
  Bun.gc(true);
  const bytesPerPendingTask = (process.memoryUsage().heapUsed - heapBefore) / taskCount;
  const resumedMs = performance.now();
  let instructions = step(state, joining(load)).instructions;
  let settled = 0;
  while (settled < taskCount) {
    const events: TimedEvent[] = [];
    for (const instruction of instructions) {
      if (instruction.kind === "settle") settled += 1;
      answer(instruction, events);
    }
    if (events.length === 0 && settled < taskCount) throw new Error("The core is stuck");
    instructions = [];
    // The shell gives a step at most a thousand events.
    for (let first = 0; first < events.length; first += 1_000) {
      instructions.push(...step(state, events.slice(first, first + 1_000)).instructions);
    }
  }
  const elapsedMs = submittedMs + performance.now() - resumedMs;
  return { tasksPerSecond: taskCount / elapsedMs * 1_000, bytesPerPendingTask };
}

/** A no-op task, or call. */
export function newTask(id: number, template: TaskTemplate): TaskDefinition {
  return {
    taskId: id as TaskId,
    template,
    environments: [],
    features: [],
    body: template === CALL
      ? { kind: "call", function: "f", arguments: NO_BYTES }
      : { kind: "command", command: "true" },
    inputs: [],
    outputs: [],
    priority: 0,
    retries: 0,
    workerLosses: 5,
  };
}

/** The library whose calls are measured. */
function declaring(): TimedEvent[] {
  const module = 1 as FileId;
  const bound = { sizeBytes: 1, digest: "", isDirectory: false, isExecutable: false };
  return [{
    kind: "file_declared",
    atMs: 0,
    fileId: module,
    origin: { kind: "manager" },
    level: "workflow",
    peerTransfer: true,
    bound: { name: "module" as CacheName, ...bound },
  }, {
    kind: "library_declared",
    atMs: 0,
    library: {
      name: "library",
      program: { kind: "javascript", module },
      mode: "direct",
      context: "",
      contextArguments: NO_ARGUMENTS,
      slots: 1,
      instanceCount: 0,
      resources: ONE_CORE,
      env: {},
      environments: [],
      inputs: [],
    },
  }];
}

/** Workers alike join. */
export function joining({ workerCount, cores }: Pick<Load, "workerCount" | "cores">): TimedEvent[] {
  return Array.from({ length: workerCount }, (_, index) => ({
    kind: "worker_connected",
    atMs: 0,
    session: `session-${index}` as SessionId,
    hello: {
      kind: "hello",
      protocol: 2,
      version: "0",
      workerId: `worker-${index}` as WorkerId,
      incarnation: "1",
      host: "host",
      pid: 1,
      resources: { cores, memoryBytes: 2 ** 34, diskBytes: 2 ** 40, gpus: 0 },
      features: [],
      urls: [],
      tries: [],
      results: [],
      replicas: [],
      instances: [],
    },
  }));
}

/** A simulated worker: every try succeeds in a millisecond. */
export function answer(instruction: ManagerInstruction, events: TimedEvent[]): void {
  if (instruction.kind !== "send") return;
  const { workerId, session } = instruction;
  for (const message of instruction.messages) {
    if (message.kind !== "dispatch") continue;
    for (const { taskId, try: number } of message.tasks) {
      events.push({
        kind: "message_received",
        atMs: 0,
        workerId,
        session,
        message: {
          kind: "result",
          result: {
            taskId,
            try: number,
            outcome: "success",
            message: "",
            exitCode: 0,
            stdout: NO_BYTES,
            stderr: NO_BYTES,
            outputs: [],
            times: { startedAtMs: 1, stagedMs: 0, ranMs: 1 },
          },
        },
      });
    }
  }
}

if (import.meta.main) {
  measureCore(20_000, 100);
  process.stdout.write(`${JSON.stringify(measureCore(100_000, 1_000))}\n`);
}
