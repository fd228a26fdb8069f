/**
 * A worker's core: each method is something that happens to it, the getters are what it asked for
 * in answer. Invariants are checked after every step.
 *
 * @module
 */

import type { TimedEvent, WorkerEvent } from "../../../worker/core/event.ts";
import type { WorkerInstruction } from "../../../worker/core/instruction.ts";
import { checkInvariants } from "../../../worker/core/invariants.ts";
import {
  newWorkerState,
  type WorkerState,
  type WorkerTimeEnd,
} from "../../../worker/core/state.ts";
import { nextWakeAtMs, step } from "../../../worker/core/step.ts";
import type {
  CacheName,
  InstanceId,
  SessionId,
  TaskId,
  TransferId,
  WorkerId,
} from "../../../shared/ids.ts";
import { NO_ARGUMENTS } from "../../../shared/library.ts";
import type {
  DispatchedTask,
  FetchSource,
  LibraryDefinition,
  ManagerMessage,
  WorkerMessage,
} from "../../../shared/protocol.ts";
import { type CustomResources, NO_RESOURCES } from "../../../shared/resources.ts";
import type { FileFacts, Outcome, TaskShape, TryResult } from "../../../shared/task.ts";

const NO_BYTES = new Uint8Array(0);

/** One try of the fixture; one core and nothing else unless stated, a call nothing at all. */
export interface TryWish {
  readonly cores?: number;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly gpus?: number;
  readonly custom?: CustomResources;
  readonly try?: number;
  readonly priority?: number;
  readonly timeoutMs?: number;
  readonly library?: string;
  /** Names of inputs, or `[name, generation]`. */
  readonly inputs?: readonly (string | readonly [string, number])[];
  readonly outputs?: readonly string[];
  readonly environments?: readonly string[];
}

/** How a try of the fixture ends; as a success with all its outputs unless stated. */
export interface EndWish {
  readonly outcome?: Outcome;
  readonly try?: number;
  readonly modified?: readonly string[];
  /** Default 1. */
  readonly ranMs?: number;
}

type MessageOf<Kind extends WorkerMessage["kind"]> = Extract<WorkerMessage, { kind: Kind }>;

/** One worker. */
export class WorkerFixture {
  readonly state: WorkerState;
  nowMs = 0;
  /** Of the last step. */
  instructions: readonly WorkerInstruction[] = [];
  readonly #tasks = new Map<string, DispatchedTask>();
  #lastTransfer = 0;

  constructor(
    { cores = 1, cached = [], diskBytes = 2 ** 40, gpuIds = [], cpus = [], custom, end }: {
      cores?: number;
      cached?: readonly FileFacts[];
      diskBytes?: number;
      gpuIds?: readonly string[];
      cpus?: readonly number[];
      custom?: CustomResources;
      end?: WorkerTimeEnd;
    } = {},
  ) {
    this.state = newWorkerState({
      workerId: "a" as WorkerId,
      incarnation: "1",
      version: "0",
      host: "host",
      pid: 1,
      resources: {
        cores,
        memoryBytes: 2 ** 34,
        diskBytes,
        gpus: gpuIds.length,
        ...(custom === undefined ? {} : { custom }),
      },
      features: [],
      gpuIds,
      cpus,
      ...(end === undefined ? {} : { end }),
      cached: cached.map((file) => ({ ...file, level: "workflow" })),
    });
  }

  /** A worker whose manager has accepted it and has no objection to what it holds. */
  static connected(options: ConstructorParameters<typeof WorkerFixture>[0] = {}): WorkerFixture {
    const fixture = new WorkerFixture(options);
    fixture.connects();
    return fixture;
  }

  /** One step. */
  feed(...events: WorkerEvent[]): void {
    const timed = events.map((event): TimedEvent => ({ ...event, atMs: this.nowMs }));
    this.instructions = step(this.state, timed);
    checkInvariants(this.state);
  }

  /** Lets time pass; what falls due is done at the end of it. */
  passes(durationMs: number): void {
    this.nowMs += durationMs;
    const wakeMs = nextWakeAtMs(this.state);
    if (wakeMs !== undefined && wakeMs <= this.nowMs) this.feed({ kind: "tick" });
    else this.instructions = [];
  }

  connects(verdicts: Partial<Extract<ManagerMessage, { kind: "reconcile" }>> = {}): void {
    this.feed({ kind: "connection_opened", peer: { urls: [] } });
    this.hears({
      kind: "welcome",
      managerId: "manager",
      epoch: 1,
      session: "session" as SessionId,
      transferKey: NO_BYTES,
      heartbeatMs: 1_000,
      atMs: 0,
    }, {
      kind: "reconcile",
      tries: [],
      results: [],
      replicas: [],
      instances: [],
      ...verdicts,
    });
  }

  hears(...messages: ManagerMessage[]): void {
    this.feed(...messages.map((message): WorkerEvent => ({ kind: "message_received", message })));
  }

  /** The manager dispatches tries of the tasks 1, 2, … of the wishes' order, from `first` on. */
  isGiven(first: number, ...wishes: TryWish[]): void {
    const shapes: TaskShape[] = [];
    const tasks = wishes.map((wish, index) => {
      const { library, environments = [] } = wish;
      const { cores = library === undefined ? 1 : 0, memoryBytes = 0, diskBytes = 0 } = wish;
      const { gpus = 0, custom, timeoutMs = 0 } = wish;
      const resources = { ...NO_RESOURCES, cores, memoryBytes, diskBytes, gpus };
      const named = custom === undefined ? resources : { ...resources, custom };
      const bare = { resources: named, env: {}, timeoutMs };
      const shape = { ...bare, environments: environments as readonly CacheName[] };
      shapes.push(library === undefined ? shape : { ...shape, library });
      return this.#newTask(first + index, index, wish);
    });
    for (const task of tasks) this.#tasks.set(`${task.taskId}.${task.try}`, task);
    this.hears({ kind: "dispatch", shapes, tasks });
  }

  kills(taskId: number, number = 1): void {
    this.hears({ kind: "kill", taskId: taskId as TaskId, try: number });
  }

  /** The process of a try ends. */
  finishes(taskId: number, wish: EndWish = {}): void {
    const modified = (wish.modified ?? []) as readonly CacheName[];
    this.feed({ kind: "task_ended", result: this.result(taskId, wish), modified });
  }

  /** A look into the sandbox of a try finds that much. */
  measures(taskId: number, bytes: number): void {
    this.feed({ kind: "sandbox_measured", taskId: taskId as TaskId, try: 1, bytes });
  }

  /** A look at the processes of a try finds that much in memory. */
  findsInMemory(taskId: number, bytes: number): void {
    this.feed({ kind: "memory_measured", taskId: taskId as TaskId, try: 1, bytes });
  }

  /** A look at an instance finds that much. */
  measuresInstance(instanceId: number, resource: "memory" | "disk", bytes: number): void {
    const id = instanceId as InstanceId;
    this.feed({ kind: "instance_measured", instanceId: id, resource, bytes });
  }

  /** A call in an instance ends. */
  answers(taskId: number, wish: EndWish = {}): void {
    const result = this.result(taskId, wish);
    const { try: number } = result;
    this.feed({ kind: "calls_ended", ends: [{ taskId: taskId as TaskId, try: number, result }] });
  }

  result(taskId: number, wish: EndWish = {}): TryResult {
    const { outcome = "success", try: number = 1 } = wish;
    const outputs = this.#tasks.get(`${taskId}.${number}`)?.outputs ?? [];
    return {
      taskId: taskId as TaskId,
      try: number,
      outcome,
      message: "",
      stdout: NO_BYTES,
      stderr: NO_BYTES,
      outputs: outcome === "success"
        ? outputs.map(({ name, generation }) => factsOf(name, generation))
        : [],
      times: { startedAtMs: 1, stagedMs: 0, ranMs: wish.ranMs ?? 1 },
    };
  }

  /** The manager has it fetch a file; returns the number of the transfer. */
  fetches(
    name: string,
    generation = 0,
    source: FetchSource = { kind: "manager", ticket: "" },
  ): TransferId {
    const transferId = ++this.#lastTransfer as TransferId;
    this.hears({
      ...factsOf(name, generation),
      kind: "fetch",
      transferId,
      isExecutable: false,
      level: "workflow",
      stallMs: 30_000,
      source,
    });
    return transferId;
  }

  /** The manager has it make an environment; returns the number of the transfer. */
  makes(name: string, input: string): TransferId {
    const transferId = ++this.#lastTransfer as TransferId;
    const recipe = { kind: "environment", input: input as CacheName } as const;
    const level = "workflow";
    this.hears({ kind: "make", transferId, name: name as CacheName, level, recipe });
    return transferId;
  }

  /** The manager has it make a file by a command; returns the number of the transfer. */
  makesByCommand(
    name: string,
    { inputs = [], cores = 1, memoryBytes = 0, diskBytes = 0 }: {
      inputs?: readonly string[];
      cores?: number;
      memoryBytes?: number;
      diskBytes?: number;
    } = {},
  ): TransferId {
    const transferId = ++this.#lastTransfer as TransferId;
    const recipe = {
      kind: "command",
      command: "true",
      env: {},
      resources: { ...NO_RESOURCES, cores, memoryBytes, diskBytes },
      timeoutMs: 0,
      mount: "made",
      inputs: inputs.map((input) => ({ mount: input, name: input as CacheName })),
      environments: [],
    } as const;
    const level = "workflow";
    this.hears({ kind: "make", transferId, name: name as CacheName, level, recipe });
    return transferId;
  }

  /** Cores that the commands which the last step started may use, as `NAME CORES`. */
  get making(): string[] {
    return this.instructions.flatMap((each) => {
      if (each.kind !== "make" || each.order.recipe.kind !== "command") return [];
      return [`${each.order.name} ${each.order.recipe.resources.cores}`];
    });
  }

  /** A transfer ends, with the file unless `message` says why not. */
  brings(
    transferId: TransferId,
    file: FileFacts,
    message?: string,
    modified: readonly CacheName[] = [],
  ): void {
    const { name, generation } = file;
    const outcome = message === undefined
      ? { kind: "ready", file } as const
      : { kind: "failed", message, canRetry: true } as const;
    const movedBytes = message === undefined ? file.sizeBytes : 0;
    const ended = { transferId, name, generation, movedBytes, outcome, modified };
    this.feed({ kind: "transfer_ended", ...ended });
  }

  /** The manager doubts a file. */
  isAsked(name: string, generation = 0): void {
    this.hears({ kind: "verify", name: name as CacheName, generation });
  }

  /** The bytes of a file were looked at. */
  verifies(name: string, isIntact: boolean, generation = 0): void {
    this.feed({ kind: "file_verified", name: name as CacheName, generation, isIntact });
  }

  deletes(name: string, generation = 0): void {
    this.hears({ kind: "delete", name: name as CacheName, generation });
  }

  startsInstance(instanceId: number, wish: Partial<LibraryDefinition> = {}): void {
    const library: LibraryDefinition = {
      name: "digits",
      program: { kind: "javascript", module: "module" as CacheName },
      mode: "direct",
      context: "",
      contextArguments: NO_ARGUMENTS,
      slots: 1,
      resources: { ...NO_RESOURCES, cores: 1 },
      env: {},
      environments: [],
      inputs: [],
      ...wish,
    };
    this.hears({ kind: "start_instance", instanceId: instanceId as InstanceId, library });
  }

  /** What the last step told the manager. */
  get told(): WorkerMessage[] {
    return this.instructions.flatMap((each) => each.kind === "send" ? each.messages : []);
  }

  toldOf<Kind extends WorkerMessage["kind"]>(kind: Kind): MessageOf<Kind>[] {
    return this.told.filter((message): message is MessageOf<Kind> => message.kind === kind);
  }

  /** Instructions of the last step in few words, `send` apart. */
  get orders(): string[] {
    return this.instructions.flatMap((each): string[] => {
      switch (each.kind) {
        case "send":
          return [];
        case "run_task":
          return [`run ${each.task.taskId}.${each.task.try}`];
        case "stop_task":
          return [`stop ${each.taskId}.${each.try} as ${each.reason}`];
        case "call":
          return [`call ${each.calls.map(({ taskId }) => taskId).join()} in ${each.instanceId}`];
        case "stop_call":
          return [`stop call ${each.taskId}.${each.try}`];
        case "fetch":
        case "make":
          return [`${each.kind} ${each.order.name}`];
        case "verify_file":
          return [`verify ${each.name} ${each.generation}`];
        case "keep_file":
          return [`keep ${each.order.name} ${each.order.generation} as ${each.order.level}`];
        case "delete_file":
          return [`delete ${each.name} ${each.generation}`];
        case "stop_transfer":
          return [`stop transfer ${each.transferId}${each.goesOn ? " for another" : ""}`];
        case "forget_part":
          return [`forget the part of ${each.name}`];
        case "start_instance":
        case "stop_instance":
          return [`${each.kind.replace("_", " ")} ${each.instanceId}`];
        case "put":
          return [`put ${each.order.name}`];
        case "leave":
          return ["leave"];
        case "session_opened":
          return [];
      }
    });
  }

  #newTask(taskId: number, shape: number, wish: TryWish): DispatchedTask {
    const number = wish.try ?? 1;
    return {
      taskId: taskId as TaskId,
      try: number,
      shape,
      priority: wish.priority ?? 0,
      body: wish.library === undefined
        ? { kind: "command", command: "true" }
        : { kind: "call", function: "f", arguments: NO_BYTES },
      inputs: (wish.inputs ?? []).map((input) => {
        const [name, generation] = typeof input === "string" ? [input, 0] : input;
        return { mount: name, name: name as CacheName, generation };
      }),
      outputs: (wish.outputs ?? []).map((name) => ({
        mount: name,
        name: name as CacheName,
        generation: number,
        level: "workflow",
        isReturned: false,
      })),
    };
  }
}

/** The facts of a file. */
export function factsOf(name: string, generation = 0): FileFacts {
  const digest = `digest of ${name}`;
  return { name: name as CacheName, generation, digest, sizeBytes: 1_000, isDirectory: false };
}
