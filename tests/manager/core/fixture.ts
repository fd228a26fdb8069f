/**
 * A manager's core with made-up workers: each method is something that happens, the getters are
 * what the core asked for in answer. Invariants are checked after every step.
 *
 * @module
 */

import type { Allocation } from "../../../manager/core/allocation.ts";
import type {
  BoundFile,
  CategoryChange,
  FileOrigin,
  Hello,
  LibrarySpec,
  ManagerEvent,
  TaskDefinition,
  TaskTemplate,
  WorkerReport,
} from "../../../manager/core/event.ts";
import type { Fact } from "../../../manager/core/fact.ts";
import type { FetchOrder, ManagerInstruction, TaskEnd } from "../../../manager/core/instruction.ts";
import { checkInvariants } from "../../../manager/core/invariants.ts";
import { DEFAULT_POLICIES, type Policies } from "../../../manager/core/policy.ts";
import { newManagerState } from "../../../manager/core/new_state.ts";
import {
  type FileRecord,
  type ManagerState,
  type TaskRecord,
  tryKey,
} from "../../../manager/core/state.ts";
import { nextWakeAtMs, step } from "../../../manager/core/step.ts";
import type {
  CacheName,
  FileId,
  InstanceId,
  SessionId,
  TaskId,
  WorkerId,
} from "../../../shared/ids.ts";
import { NO_ARGUMENTS } from "../../../shared/library.ts";
import type { DispatchedTask, ManagerMessage } from "../../../shared/protocol.ts";
import { NO_RESOURCES } from "../../../shared/resources.ts";
import type { FileFacts, Outcome, TryId, TryResult } from "../../../shared/task.ts";
import {
  type EndWish,
  type FileWish,
  helloOf,
  idOf,
  type TaskWish,
  usageOf,
  type WorkerWish,
} from "./wishes.ts";

const NO_BYTES = new Uint8Array(0);
const CONTENT = new Uint8Array(1_000);

/** One manager and its workers. */
export class ManagerFixture {
  readonly state: ManagerState;
  nowMs = 0;
  /** Of the last step. */
  instructions: readonly ManagerInstruction[] = [];
  /** Of the last step. */
  facts: readonly Fact[] = [];
  /** Set to false for the thousands of steps that lead up to what a test is about. */
  checksInvariants = true;
  readonly ends: Map<TaskId, TaskEnd> = new Map();
  readonly #sessions = new Map<string, SessionId>();
  readonly #wishes = new Map<string, WorkerWish>();
  readonly #dispatched = new Map<string, DispatchedTask>();
  readonly #outputs = new Map<string, FileFacts>();
  readonly #orders = new Map<string, FetchOrder[]>();
  readonly #templates = new Map<string, TaskTemplate>();
  #lastFile = 0;
  #lastTask = 0;
  #lastSession = 0;

  constructor(policies: Partial<Policies> = {}) {
    this.state = newManagerState({
      managerId: "manager",
      epoch: 1,
      seed: 1,
      policies: { ...DEFAULT_POLICIES, ...policies },
    });
  }

  /** One step. */
  feed(...events: ManagerEvent[]): void {
    const { instructions, facts } = step(
      this.state,
      events.map((event) => ({ ...event, atMs: this.nowMs })),
    );
    if (this.checksInvariants) checkInvariants(this.state);
    this.instructions = instructions;
    this.facts = facts;
    for (const instruction of instructions) this.#note(instruction);
  }

  /** Lets time pass; what falls due is done on the way. */
  passes(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (let wakeMs = nextWakeAtMs(this.state); wakeMs !== undefined && wakeMs <= endMs;) {
      this.nowMs = Math.max(this.nowMs, wakeMs);
      this.feed({ kind: "tick" });
      wakeMs = nextWakeAtMs(this.state);
    }
    this.nowMs = endMs;
  }

  joins(worker: string, wish: WorkerWish = {}): void {
    this.#wishes.set(worker, wish);
    const session = `${worker}-${++this.#lastSession}` as SessionId;
    this.#sessions.set(worker, session);
    this.feed({ kind: "worker_connected", session, hello: helloOf(worker, wish) });
  }

  /** The connection breaks. */
  breaks(worker: string, { wasSilent = false }: { wasSilent?: boolean } = {}): void {
    const session = this.session(worker);
    this.feed({ kind: "worker_disconnected", workerId: idOf(worker), session, wasSilent });
  }

  /** The same process is back on a new connection. */
  returns(worker: string, hello: Partial<Hello> = {}): void {
    const wish = this.#wishes.get(worker) ?? {};
    this.joins(worker, { ...wish, hello: { ...wish.hello, ...hello } });
  }

  /** The process of a local worker ends. */
  exits(worker: string): void {
    const incarnation = this.#wishes.get(worker)?.incarnation ?? "1";
    this.feed({ kind: "worker_exited", workerId: idOf(worker), incarnation });
  }

  /** The worker says this on its open connection. */
  says(worker: string, ...messages: WorkerReport[]): void {
    const session = this.session(worker);
    this.feed(...messages.map((message): ManagerEvent => {
      return { kind: "message_received", workerId: idOf(worker), session, message };
    }));
  }

  local(name: string, wish: FileWish = {}): FileId {
    const bound = boundAs(name, wish.sizeBytes ?? 1_000, `digest of ${name}`);
    return this.declares({ kind: "manager" }, wish, bound);
  }

  url(name: string, wish: FileWish & { host?: string } = {}): FileId {
    const { host = "host" } = wish;
    const bound = boundAs(name, wish.sizeBytes ?? -1, "");
    return this.declares(urlOrigin(host, name, false), wish, bound);
  }

  /** An output that is stored at a url. */
  urlOutput(name: string, wish: FileWish & { host?: string } = {}): FileId {
    const { host = "host" } = wish;
    return this.declares(urlOrigin(host, name, true), wish, boundAs(name, -1, ""));
  }

  temp(name: string, wish: FileWish = {}): FileId {
    return this.declares({ kind: "temp" }, wish, boundAs(name, -1, ""));
  }

  /** Many temps, declared in one step. */
  temps(name: string, count: number): FileId[] {
    const fileIds = Array.from({ length: count }, () => ++this.#lastFile as FileId);
    this.feed(...fileIds.map((fileId, index): ManagerEvent => ({
      kind: "file_declared",
      fileId,
      origin: { kind: "temp" },
      level: "workflow",
      peerTransfer: true,
      bound: boundAs(`${name}${index}`, -1, ""),
    })));
    return fileIds;
  }

  environment(name: string, input: FileId): FileId {
    const recipe = { kind: "environment" } as const;
    const origin = { kind: "recipe", recipe, inputs: [input] } as const;
    return this.declares(origin, { peerTransfer: false }, boundAs(name, -1, ""));
  }

  miniTask(name: string, inputs: readonly FileId[], wish: FileWish = {}): FileId {
    const recipe = {
      kind: "command",
      command: "true",
      env: {},
      resources: { ...NO_RESOURCES, cores: 1 },
      timeoutMs: 0,
      mount: "made",
      inputs: inputs.map((fileId, index) => ({ mount: `in${index}`, fileId })),
      environments: [],
    } as const;
    const origin = { kind: "recipe", recipe, inputs } as const;
    return this.declares(origin, { peerTransfer: false, ...wish }, boundAs(name, -1, ""));
  }

  declares(origin: FileOrigin, wish: FileWish, bound?: BoundFile): FileId {
    const fileId = ++this.#lastFile as FileId;
    const { level = "workflow", peerTransfer = true, replicas, isReleasedByUse } = wish;
    this.feed({
      kind: "file_declared",
      fileId,
      origin,
      level,
      peerTransfer,
      ...(bound === undefined ? {} : { bound }),
      ...(replicas === undefined ? {} : { replicas }),
      ...(isReleasedByUse === undefined ? {} : { isReleasedByUse }),
    });
    return fileId;
  }

  library(name: string, module: FileId, wish: Partial<LibrarySpec> = {}): void {
    const library: LibrarySpec = {
      name,
      program: { kind: "javascript", module },
      mode: "direct",
      context: "",
      contextArguments: NO_ARGUMENTS,
      slots: 1,
      instanceCount: 0,
      resources: { ...NO_RESOURCES, cores: 1 },
      env: {},
      environments: [],
      inputs: [],
      ...wish,
    };
    this.feed({ kind: "library_declared", library });
  }

  submits(...wishes: TaskWish[]): TaskId {
    this.feed(...wishes.map((wish): ManagerEvent => {
      return { kind: "task_submitted", task: this.#define(wish) };
    }));
    return this.#lastTask as TaskId;
  }

  /** Submits a task and has `worker` bring what it needs. */
  brought(worker: string, wish: TaskWish): TaskId {
    const taskId = this.submits(wish);
    this.brings(worker);
    return taskId;
  }

  /** What is said of a category from now on. */
  category(name: string, change: Omit<CategoryChange, "name">): void {
    this.feed({ kind: "category_declared", category: { name, ...change } });
  }

  /** What the newest try of the task was given by `worker`. */
  allocated(worker: string, taskId: TaskId): Allocation {
    const { try: number } = this.#tryOf(worker, taskId);
    const attempt = this.state.workers.get(idOf(worker))?.tries.get(
      tryKey({ taskId, try: number }),
    );
    if (attempt?.allocation === undefined) throw new Error(`Task ${taskId} is not at ${worker}`);
    return attempt.allocation;
  }

  cancels(taskId: TaskId): void {
    this.feed({ kind: "task_cancelled", taskId });
  }

  starts(worker: string, ...taskIds: TaskId[]): void {
    const tries = taskIds.map((taskId) => this.#tryOf(worker, taskId));
    this.says(worker, { kind: "tries_started", tries });
  }

  /** The newest try that `worker` was given of the task ends. */
  finishes(worker: string, taskId: TaskId, wish: EndWish = {}): void {
    this.says(worker, { kind: "result", result: this.result(worker, taskId, wish) });
  }

  /** The result of the newest try that `worker` was given of the task. */
  result(worker: string, taskId: TaskId, wish: EndWish = {}): TryResult {
    const { outcome = "success", message = "", isInline = false } = wish;
    const { try: number } = this.#tryOf(worker, taskId);
    const task = this.#dispatched.get(`${worker}/${taskId}.${number}`);
    const wanted = (task?.outputs ?? []).filter(({ only }) => {
      return (only === "failure") === (outcome !== "success");
    });
    const outputs = wanted.map((output) => {
      const { name, generation } = output;
      const digest = wish.digest ?? `${name} by ${taskId}`;
      const facts = { name, generation, digest, sizeBytes: 1_000, isDirectory: false };
      this.#outputs.set(name, facts);
      return isInline ? { ...facts, content: CONTENT } : facts;
    });
    const valueFile = wish.valueBytes === undefined ? undefined : {
      ...factsOf(`value-manager-${taskId}`),
      generation: number,
      digest: wish.digest ?? `value of ${taskId}`,
      sizeBytes: wish.valueBytes,
    };
    return {
      ...(valueFile === undefined ? {} : { valueFile }),
      taskId,
      try: number,
      outcome,
      message,
      stdout: NO_BYTES,
      stderr: NO_BYTES,
      outputs,
      times: { startedAtMs: 1, stagedMs: 0, ranMs: wish.ranMs ?? 1 },
      ...(wish.isAmbiguous === true ? { isAmbiguous: true } : {}),
      ...(wish.used === undefined ? {} : { used: usageOf(wish.used) }),
      ...(wish.exceeded === undefined ? {} : { exceeded: wish.exceeded }),
    };
  }

  /** An output as the newest result that has one of that name told it. */
  lastFacts(name: string): FileFacts {
    const facts = this.#outputs.get(name);
    if (facts === undefined) throw new Error(`Nothing made ${name}`);
    return facts;
  }

  /** Policies change while the workflow runs. */
  tunes(policies: Partial<Policies>): void {
    this.feed({ kind: "policies_set", policies: { ...this.state.policies, ...policies } });
  }

  /** The worker has brought or made everything that it was told to. */
  brings(worker: string, movedBytes: number = 1_000): void {
    const orders = this.#orders.get(worker) ?? [];
    this.#orders.delete(worker);
    this.says(
      worker,
      ...orders.map((order): WorkerReport => {
        const { transferId, name, generation, digest, isDirectory } = order;
        const sizeBytes = order.sizeBytes < 0 ? 1_000 : order.sizeBytes;
        const file = { name, generation, digest, sizeBytes, isDirectory };
        return { kind: "replica_ready", transferId, file, movedBytes };
      }),
    );
  }

  /** The worker could not bring what it was told to. */
  failsToBring(
    worker: string,
    { canRetry = true, ...how }: {
      canRetry?: boolean;
      isUnreachable?: boolean;
      isCorrupt?: boolean;
      isDiskFull?: boolean;
      isSourceFault?: boolean;
      movedBytes?: number;
    } = {},
  ): void {
    const orders = this.#orders.get(worker) ?? [];
    this.#orders.delete(worker);
    this.says(
      worker,
      ...orders.map((order): WorkerReport => {
        const { transferId, name, generation } = order;
        return {
          kind: "transfer_failed",
          transferId,
          name,
          generation,
          message: "broken",
          canRetry,
          ...how,
        };
      }),
    );
  }

  /** Its files and tasks hold that much of its disk now. */
  holds(worker: string, usedBytes: number): void {
    this.says(worker, { kind: "disk_used", usedBytes });
  }

  session(worker: string): SessionId {
    return this.#sessions.get(worker) ?? "none" as SessionId;
  }

  /** What the last step told `worker`, fetches apart. */
  told(worker: string): ManagerMessage[] {
    const told: ManagerMessage[] = [];
    for (const instruction of this.instructions) {
      if (instruction.kind !== "send" || instruction.workerId !== worker) continue;
      told.push(...instruction.messages);
    }
    return told;
  }

  /** The message of that kind that the last step told `worker`. */
  toldOf<Kind extends ManagerMessage["kind"]>(
    worker: string,
    kind: Kind,
  ): Extract<ManagerMessage, { kind: Kind }> | undefined {
    const isOf = (message: ManagerMessage): message is Extract<ManagerMessage, { kind: Kind }> =>
      message.kind === kind;
    return this.told(worker).find(isOf);
  }

  /** Tries that the last step gave to workers, as `WORKER TASK.TRY`. */
  get dispatched(): string[] {
    const tries: string[] = [];
    for (const instruction of this.instructions) {
      if (instruction.kind !== "send") continue;
      for (const message of instruction.messages) {
        if (message.kind !== "dispatch") continue;
        for (const task of message.tasks) {
          tries.push(`${instruction.workerId} ${task.taskId}.${task.try}`);
        }
      }
    }
    return tries;
  }

  /** Fetches that the last step ordered, as `WORKER NAME from SOURCE`. */
  get fetches(): string[] {
    const fetches: string[] = [];
    for (const instruction of this.instructions) {
      if (instruction.kind !== "fetch") continue;
      const { from, workerId, order } = instruction;
      const source = from.kind === "worker" ? from.workerId : from.kind;
      fetches.push(`${workerId} ${order.name} from ${source}`);
    }
    return fetches;
  }

  /** Tries of which the last step asked what they cost, as `TASK.TRY OUTCOME`. */
  get asked(): string[] {
    return this.#instructionsOf("ask_retry").map(({ end }) => {
      return `${end.taskId}.${end.try} ${end.outcome}`;
    });
  }

  /** PUTs that the last step ordered, as `NAME from WORKER`. */
  get collects(): string[] {
    return this.#instructionsOf("collect").map(({ file, workerId }) => {
      return `${file.name} from ${workerId}`;
    });
  }

  /** Copies that the last step had removed. */
  get unspooled(): FileId[] {
    return this.#instructionsOf("unspool").map(({ fileId }) => fileId);
  }

  /** The PUT of the file that is on its way arrives, or does not. */
  delivers(fileId: FileId, message = ""): void {
    for (const { deliveryId, file } of this.state.deliveries.values()) {
      if (file.fileId !== fileId) continue;
      const isDelivered = message === "";
      return this.feed({ kind: "delivery_ended", deliveryId, isDelivered, message });
    }
    throw new Error(`File ${fileId} is not on its way to the manager`);
  }

  #instructionsOf<Kind extends ManagerInstruction["kind"]>(kind: Kind) {
    return this.instructions.filter(
      (instruction): instruction is Extract<ManagerInstruction, { kind: Kind }> =>
        instruction.kind === kind,
    );
  }

  /** The outcome of a task that has settled. */
  outcome(taskId: TaskId): Outcome | undefined {
    return this.ends.get(taskId)?.outcome;
  }

  task(taskId: TaskId): TaskRecord {
    const task = this.state.tasks.get(taskId);
    if (task === undefined) throw new Error(`Task ${taskId} is not in the table`);
    return task;
  }

  file(fileId: FileId): FileRecord {
    const file = this.state.files.get(fileId);
    if (file === undefined) throw new Error(`File ${fileId} is not in the table`);
    return file;
  }

  #define(wish: TaskWish): TaskDefinition {
    const mounts = (fileIds: readonly FileId[] = []) =>
      fileIds.map((fileId, index) => ({ mount: `mount${index}`, fileId }));
    return {
      taskId: ++this.#lastTask as TaskId,
      template: this.#templateOf(wish),
      environments: wish.environments ?? [],
      features: wish.features ?? [],
      body: wish.library === undefined
        ? { kind: "command", command: "true" }
        : { kind: "call", function: "f", arguments: NO_BYTES },
      inputs: mounts(wish.inputs).map((input) => {
        return wish.strict?.includes(input.fileId) ? { ...input, isStrict: true } : input;
      }),
      outputs: [
        ...mounts(wish.outputs),
        ...(wish.failureOutputs ?? []).map((fileId, index) => {
          return { mount: `failure${index}`, fileId, only: "failure" as const };
        }),
      ],
      priority: wish.priority ?? 0,
      retries: wish.retries ?? 0,
      workerLosses: wish.workerLosses ?? 5,
      ...(wish.startsAtMs === undefined ? {} : { startsAtMs: wish.startsAtMs }),
      ...(wish.endsAtMs === undefined ? {} : { endsAtMs: wish.endsAtMs }),
      ...(wish.awaits === undefined ? {} : { awaits: wish.awaits }),
      ...(wish.appCall === undefined ? {} : { appCall: wish.appCall }),
    };
  }

  /** Tasks alike share a template, as they do in production. */
  #templateOf(wish: TaskWish): TaskTemplate {
    const { cores = 1, gpus = 0, diskBytes = 0, library } = wish;
    const { memoryBytes = 0, category = library ?? "default", minTimeMs = 0 } = wish;
    const { retry, placement } = wish;
    const request = wish.request ?? { cores, gpus, diskBytes, memoryBytes };
    const key = JSON.stringify([request, library, category, minTimeMs, retry, placement]);
    let template = this.#templates.get(key);
    if (template === undefined) {
      const rule = retry === undefined ? {} : { retry };
      const place = placement === undefined ? {} : { placement };
      const bare = { request, category, env: {}, timeoutMs: 0, minTimeMs, ...rule, ...place };
      template = library === undefined ? bare : { ...bare, request: wish.request ?? {}, library };
      this.#templates.set(key, template);
    }
    return template;
  }

  #tryOf(worker: string, taskId: TaskId): TryId {
    for (let number = 99; number > 0; number--) {
      if (this.#dispatched.has(`${worker}/${taskId}.${number}`)) return { taskId, try: number };
    }
    throw new Error(`Task ${taskId} was never given to ${worker}`);
  }

  #note(instruction: ManagerInstruction): void {
    if (instruction.kind === "settle") {
      const { end } = instruction;
      if (this.ends.has(end.taskId)) throw new Error(`Task ${end.taskId} settles twice`);
      this.ends.set(end.taskId, end);
    } else if (instruction.kind === "fetch") {
      this.#order(instruction.workerId, instruction.order);
    } else if (instruction.kind === "send") {
      for (const message of instruction.messages) this.#noteMessage(instruction.workerId, message);
    }
  }

  #noteMessage(worker: WorkerId, message: ManagerMessage): void {
    if (message.kind === "make") {
      const { transferId, name, level } = message;
      const made = {
        sizeBytes: -1,
        digest: "",
        isDirectory: true,
        isExecutable: false,
        stallMs: 1,
      };
      this.#order(worker, { kind: "fetch", transferId, name, level, generation: 0, ...made });
    }
    if (message.kind !== "dispatch") return;
    for (const task of message.tasks) {
      this.#dispatched.set(`${worker}/${task.taskId}.${task.try}`, task);
    }
  }

  #order(worker: string, order: FetchOrder): void {
    const orders = this.#orders.get(worker) ?? [];
    // A repeated order takes the place of the first.
    this.#orders.set(worker, [...orders.filter(({ name }) => name !== order.name), order]);
  }
}

/** The facts of a file as a worker tells them. */
export function factsOf(name: string, generation = 0, digest = `digest of ${name}`): FileFacts {
  return { name: name as CacheName, generation, digest, sizeBytes: 1_000, isDirectory: false };
}

/** The number of the only instance at `worker`. */
export function instanceAt(fixture: ManagerFixture, worker: string): InstanceId {
  const instances = [...fixture.state.workers.get(idOf(worker))?.instances.keys() ?? []];
  if (instances.length !== 1) throw new Error(`${worker} has ${instances.length} instances`);
  return instances[0]!;
}

function urlOrigin(host: string, name: string, isOutput: boolean): FileOrigin {
  return { kind: "url", url: `http://${host}/${name}`, host, isOutput };
}

function boundAs(name: string, sizeBytes: number, digest: string): BoundFile {
  return {
    name: name as CacheName,
    sizeBytes,
    digest,
    isDirectory: false,
    isExecutable: false,
  };
}
