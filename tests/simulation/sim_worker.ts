/** A simulated host: the real worker core on a simulated disk, processes and transfers. */

import { fileContentName } from "../../shared/cache_name.ts";
import type { CacheName, InstanceId, TransferId, WorkerId } from "../../shared/ids.ts";
import {
  type DispatchedTask,
  filesOfLibrary,
  type LibraryDefinition,
} from "../../shared/protocol.ts";
import { nextRandom } from "../../shared/random.ts";
import type { CustomResources } from "../../shared/resources.ts";
import type {
  CacheLevel,
  FileFacts,
  Outcome,
  TaskShape,
  TryId,
  TryResult,
} from "../../shared/task.ts";
import type { TimedEvent, WorkerEvent } from "../../worker/core/event.ts";
import type { WorkerInstruction } from "../../worker/core/instruction.ts";
import { checkInvariants } from "../../worker/core/invariants.ts";
import { newWorkerState, type TryKey, tryKey, type WorkerState } from "../../worker/core/state.ts";
import { nextWakeAtMs, step } from "../../worker/core/step.ts";
import { hasLargeValue } from "./awaited.ts";
import { miniDigest } from "./contents.ts";
import type { Connection } from "./network.ts";
import { bare, type ReadFile } from "./truth.ts";
import type { TryPlan, World } from "./world.ts";

/** A file on the simulated disk. */
export interface DiskFile extends ReadFile {
  readonly level: CacheLevel;
}

const NO_BYTES = new Uint8Array(0);
/** How long a transfer takes that is far slower than others. */
const SLOW_MS = 400_000;
/** What of a file is worth being held for the next attempt. */
const PART_BYTES = 1_000_000;
/** What stands for the contents of every small output. */
const SMALL_BYTES = new Uint8Array(1_000);

/** Which host. */
export interface SimWorkerOptions {
  readonly workerId: WorkerId;
  readonly host: string;
  readonly cores: number;
  readonly diskBytes: number;
  readonly memoryBytes: number;
  readonly wallMs: number;
  readonly features?: readonly string[];
  readonly custom?: CustomResources;
}

/** One host. A restart is a new process on the same disk. */
export class SimWorker {
  readonly workerId: WorkerId;
  readonly host: string;
  readonly disk: Map<CacheName, DiskFile> = new Map();
  state: WorkerState | undefined;
  connection: Connection | undefined;
  incarnation = "";
  readonly #world: World;
  readonly #options: SimWorkerOptions;
  /** Grows with each process: callbacks of earlier ones do nothing. */
  #process = 0;
  #running = new Map<TryKey, DispatchedTask>();
  /** Tries that have read what another one wrote. */
  #fooled = new Set<TryKey>();
  #transfers = new Set<TransferId>();
  /** The last contents that it was to send did not arrive, by chance. */
  #hasPutFailed = false;
  /** Files of which a part is held. */
  #parts = new Set<CacheName>();
  #instances = new Map<InstanceId, LibraryDefinition>();
  #queued: WorkerEvent[] = [];
  #wakeAtMs = Infinity;

  constructor(world: World, options: SimWorkerOptions) {
    this.#world = world;
    this.#options = options;
    this.workerId = options.workerId;
    this.host = options.host;
  }

  get isAlive(): boolean {
    return this.state !== undefined;
  }

  /** Starts a process on what the disk holds. */
  start(): void {
    this.#process += 1;
    this.incarnation = `${this.workerId}#${this.#process}`;
    this.#running.clear();
    this.#fooled.clear();
    this.#transfers.clear();
    this.#parts.clear();
    this.#instances.clear();
    this.#queued = [];
    this.#wakeAtMs = Infinity;
    const { cores, memoryBytes, diskBytes, wallMs, custom, features = [] } = this.#options;
    const common = { cores, memoryBytes, diskBytes, gpus: 0 };
    this.state = newWorkerState({
      workerId: this.workerId,
      incarnation: this.incarnation,
      version: "0",
      host: this.host,
      pid: this.#process,
      resources: custom === undefined ? common : { ...common, custom },
      features,
      gpuIds: [],
      // Tries are pinned, so that what they hold of processors is looked at too.
      cpus: Array.from({ length: Math.ceil(cores) }, (_, cpu) => cpu),
      cached: [...this.disk.values()],
      ...(wallMs === 0 ? {} : { end: this.#endOf(this.#world.clock.nowMs) }),
    });
    this.dial();
  }

  /** Kills the process: nothing of it is heard any more. */
  crash(): void {
    this.#process += 1;
    this.state = undefined;
    const lostMs = nextRandom(this.#world.random) * 20;
    this.connection?.break({ lostMs, managerMs: 5, workerMs: 0, wasSilent: false });
    this.connection = undefined;
  }

  /** Dials until it is connected. */
  dial(): void {
    if (this.state === undefined || this.connection !== undefined) return;
    this.connection = this.#world.connect(this);
    if (this.connection === undefined) return this.#later(100, () => this.dial());
    this.feed([{ kind: "connection_opened", peer: { urls: [`http://${this.workerId}`] } }]);
  }

  /** The connection broke on this end. */
  disconnected(connection: Connection): void {
    if (this.connection !== connection || this.state === undefined) return;
    this.connection = undefined;
    this.feed([{ kind: "connection_closed" }]);
    this.#later(nextRandom(this.#world.random) * 600, () => this.dial());
  }

  /** Gives events to the core and carries out what it asks for. */
  feed(events: readonly WorkerEvent[]): void {
    const { state } = this;
    if (state === undefined) return;
    const atMs = this.#world.clock.nowMs;
    const instructions = step(state, events.map((event): TimedEvent => ({ ...event, atMs })));
    checkInvariants(state);
    for (const instruction of instructions) this.#carryOut(instruction);
    const wakeAtMs = nextWakeAtMs(state);
    if (this.state === undefined || wakeAtMs === undefined || wakeAtMs >= this.#wakeAtMs) return;
    this.#wakeAtMs = wakeAtMs;
    this.#later(Math.max(0, wakeAtMs - atMs), () => {
      this.#wakeAtMs = Infinity;
      this.feed([{ kind: "tick" }]);
    });
  }

  /** Processes end at times of their own, some before they could run much. */
  #endOf(startedAtMs: number): { readonly atMs: number; readonly reason: string } {
    const wallMs = this.#options.wallMs * (0.5 + nextRandom(this.#world.random));
    return { atMs: startedAtMs + wallMs, reason: "its wall time is over" };
  }

  #later(delayMs: number, run: () => void): void {
    const process = this.#process;
    this.#world.clock.after(delayMs, () => {
      if (this.#process === process) run();
    });
  }

  #carryOut(instruction: WorkerInstruction): void {
    switch (instruction.kind) {
      case "send":
        this.connection?.sendToManager(instruction.messages);
        return;
      case "run_task":
        return this.#runTask(instruction);
      case "stop_task":
        return this.#stop(instruction, (result) => {
          this.feed([{ kind: "task_ended", result, modified: [] }]);
        });
      case "fetch":
        return this.#fetch(instruction.order);
      case "make":
        return this.#make(instruction.order);
      case "stop_transfer":
        return this.#endTransfer(instruction.transferId, undefined);
      case "forget_part":
        if (!this.#parts.delete(instruction.name)) {
          throw new Error(`There is no part of ${instruction.name} to forget`);
        }
        return;
      case "put":
        return this.#put(instruction.order);
      case "verify_file": {
        const { name, generation } = instruction;
        const file = this.disk.get(name);
        const isIntact = file?.generation === generation && file.isDamaged !== true;
        const delayMs = 1 + nextRandom(this.#world.random) * 40;
        this.#later(
          delayMs,
          () => this.feed([{ kind: "file_verified", name, generation, isIntact }]),
        );
        return;
      }
      case "keep_file":
        return this.#keep(instruction.order);
      case "delete_file":
        if (this.disk.get(instruction.name)?.generation === instruction.generation) {
          this.disk.delete(instruction.name);
        }
        return;
      case "session_opened":
        return;
      case "start_instance":
        return this.#startInstance(instruction.instanceId, instruction.library);
      case "stop_instance":
        return this.#endInstance(instruction.instanceId, "stopped");
      case "call":
        for (const [index, call] of instruction.calls.entries()) {
          this.#call(instruction.instanceId, call, instruction.shapes[index]);
        }
        return;
      case "stop_call":
        return this.#stopCall({ ...instruction, reason: "cancelled" });
      case "leave":
        this.crash();
        this.#world.exited(this);
        return;
    }
  }

  #runTask({ task, shape }: Extract<WorkerInstruction, { kind: "run_task" }>): void {
    const key = tryKey(task);
    const inputDigests = this.#readInputs(task);
    this.#running.set(key, task);
    const plan = enforced(this.#world.run(task), shape);
    const { outcome, ranMs, writtenBytes: bytes = 0, use } = plan;
    if (bytes > 0) {
      const { taskId, try: number } = task;
      this.#later(ranMs / 2, () => {
        this.feed([{ kind: "sandbox_measured", taskId, try: number, bytes }]);
      });
    }
    this.#later(ranMs, () => {
      if (!this.#running.delete(key)) return;
      const modified = outcome === "input_modified" ? this.#meddle(task) : [];
      // Without an input there is nothing to write to.
      const isDone = outcome === "success" || outcome === "input_modified" && modified.length === 0;
      const isFooled = this.#fooled.delete(key);
      const read = isFooled ? ["what another task wrote"] : inputDigests;
      const isFailed = outcome === "exit";
      const outputs = isDone || isFailed ? this.#writeOutputs(task, { read, isDone }) : [];
      const ended = isDone ? "success" as const : outcome;
      const result = newResult(task, { outcome: ended, ranMs, outputs });
      if (use.used !== undefined) {
        this.#world.used({ shape, ranMs, peakBytes: plan.peakBytes ?? 0, isDone });
      }
      this.feed([{ kind: "task_ended", result: { ...result, ...use }, modified }]);
    });
  }

  /** Writes to the first input: every try that runs on it here now reads something else. */
  #meddle(task: DispatchedTask): CacheName[] {
    const name = task.inputs[0]?.name;
    if (name === undefined) return [];
    this.disk.delete(name);
    for (const [key, other] of this.#running) {
      if (other.body.kind === "command" && other.inputs.some((input) => input.name === name)) {
        this.#fooled.add(key);
      }
    }
    return [name];
  }

  /** A try must find what it was promised, in the making it was promised. */
  #readInputs(task: DispatchedTask): string[] {
    const files = task.inputs.map(({ name }) => this.disk.get(name));
    this.#world.truth.checkRead(task, files);
    return files.map((file) => file?.digest ?? "");
  }

  #writeOutputs(
    task: DispatchedTask,
    { read: inputDigests, isDone }: { readonly read: readonly string[]; readonly isDone: boolean },
  ): TryResult["outputs"] {
    const wanted = task.outputs.filter(({ only }) => isDone !== (only === "failure"));
    return wanted.map((output) => {
      const { name, generation, level, isReturned } = output;
      const digest = this.#world.truth.make(task, output, inputDigests);
      const sizeBytes = task.taskId % 3 === 0 ? 1_000_000 : SMALL_BYTES.length;
      const facts = { name, generation, digest, sizeBytes, isDirectory: false };
      const before = this.disk.get(name);
      if (before === undefined || before.generation <= generation) {
        this.disk.set(name, { ...facts, level });
      }
      return isReturned && sizeBytes < 64 * 1024 ? { ...facts, content: SMALL_BYTES } : facts;
    });
  }

  #stop(
    order: Pick<
      Extract<WorkerInstruction, { kind: "stop_task" }>,
      "taskId" | "try" | "reason" | "exceeded"
    >,
    end: (result: TryResult) => void,
  ): void {
    const key = tryKey(order);
    this.#later(5, () => {
      const task = this.#running.get(key);
      if (task === undefined) return;
      this.#running.delete(key);
      const { reason: outcome, exceeded } = order;
      const result = newResult(task, { outcome, ranMs: 5, outputs: [] });
      end(exceeded === undefined ? result : { ...result, exceeded });
    });
  }

  #fetch(order: Extract<WorkerInstruction, { kind: "fetch" }>["order"]): void {
    this.#transfers.add(order.transferId);
    this.#parts.delete(order.name);
    const isStalled = this.#world.isStalled();
    const quickMs = 1 + nextRandom(this.#world.random) * 80;
    const delayMs = isStalled ? order.stallMs : this.#world.isSlow() ? SLOW_MS : quickMs;
    const begun = this.#world.read(order, this);
    this.#later(delayMs, () => {
      if (!this.#transfers.has(order.transferId)) return;
      const isFaulty = isStalled || nextRandom(this.#world.random) < this.#world.faultChance();
      const isFull = this.#world.isDiskFull();
      const found = isFaulty || isFull ? undefined : this.#world.read(order, this);
      const isUnreachable = found === "unreachable";
      const came = isUnreachable || begun === "unreachable" ? undefined : joined(begun, found);
      const isCorrupt = came !== undefined &&
        (came.isDamaged === true || this.#world.isFlipped());
      const file = isCorrupt ? undefined : came;
      // An older making never takes the place of a newer one.
      const isNewest = (this.disk.get(order.name)?.generation ?? -1) <= order.generation;
      if (file !== undefined && isNewest) this.disk.set(file.name, { ...file, level: order.level });
      const keptBytes = isFaulty && !isFull ? this.#keepPart(order) : 0;
      const isSourceFault = isFaulty;
      const how = { canRetry: !isFull, isUnreachable, isCorrupt, isSourceFault, keptBytes };
      this.#endTransfer(order.transferId, file, order, how);
    });
  }

  #keepPart({ name, sizeBytes }: { name: CacheName; sizeBytes: number }): number {
    if (sizeBytes < PART_BYTES || nextRandom(this.#world.random) < 0.5) return 0;
    this.#parts.add(name);
    return PART_BYTES;
  }

  #make(order: Extract<WorkerInstruction, { kind: "make" }>["order"]): void {
    this.#transfers.add(order.transferId);
    this.#later(1 + nextRandom(this.#world.random) * 80, () => {
      if (!this.#transfers.has(order.transferId)) return;
      const isFaulty = order.recipe.kind === "command" &&
        nextRandom(this.#world.random) < this.#world.faultChance();
      const digest = isFaulty ? undefined : this.#digestOfMade(order);
      const file = digest === undefined
        ? undefined
        : { name: order.name, generation: 0, sizeBytes: 5_000, digest, isDirectory: true };
      if (file !== undefined) this.disk.set(file.name, { ...file, level: order.level });
      this.#endTransfer(order.transferId, file, order);
    });
  }

  /** What a recipe makes of what is on the disk now; undefined when something is missing. */
  #digestOfMade(order: Extract<WorkerInstruction, { kind: "make" }>["order"]): string | undefined {
    const { name, recipe } = order;
    const inputs = recipe.kind === "command"
      ? recipe.inputs.map((input) => this.disk.get(input.name)?.digest)
      : [this.disk.get(recipe.input)?.digest];
    const digests = inputs.filter((digest) => digest !== undefined);
    if (digests.length < inputs.length) return undefined;
    return recipe.kind === "command" ? miniDigest(name, digests) : `made-of-${digests[0]}`;
  }

  #endTransfer(
    transferId: TransferId,
    file: FileFacts | undefined,
    order?: { name: CacheName; generation?: number },
    how: {
      canRetry: boolean;
      isUnreachable?: boolean;
      isCorrupt?: boolean;
      isSourceFault?: boolean;
      keptBytes?: number;
    } = { canRetry: true },
  ): void {
    const known = this.state?.transfers.get(transferId)?.order ?? order;
    if (!this.#transfers.delete(transferId) || known === undefined) return;
    const outcome = file === undefined
      ? { kind: "failed", message: "simulated", ...how } as const
      : { kind: "ready", file } as const;
    const generation = ("generation" in known ? known.generation : undefined) ?? 0;
    const movedBytes = file?.sizeBytes ?? 0;
    const { name } = known;
    const event = {
      kind: "transfer_ended",
      transferId,
      name,
      generation,
      movedBytes,
      outcome,
    } as const;
    this.#later(0, () => this.feed([event]));
  }

  #put(order: Extract<WorkerInstruction, { kind: "put" }>["order"]): void {
    this.#later(1 + nextRandom(this.#world.random) * 80, () => {
      const file = this.disk.get(order.name);
      const isThere = file !== undefined && file.generation === order.generation;
      if (isThere && file.isDamaged === true) {
        const { name, generation } = file;
        this.feed([{ kind: "file_verified", name, generation, isIntact: false }]);
      }
      // Few are tried: that all of them fail by chance would be a failure as it should be.
      const isFaulty = nextRandom(this.#world.random) < this.#world.faultChance() &&
        !this.#hasPutFailed;
      this.#hasPutFailed = isFaulty;
      const { transferId } = order;
      if (!isThere || file.isDamaged === true || isFaulty) {
        this.feed([{ kind: "send_failed", transferId, message: "simulated", isFinal: false }]);
      } else if (order.to.kind === "url") {
        this.#world.store(file);
        this.feed([{ kind: "stored", transferId }]);
      } else {
        this.#world.put(transferId, file);
      }
    });
  }

  #keep(
    { keepId, name, generation, level }: Extract<WorkerInstruction, { kind: "keep_file" }>["order"],
  ): void {
    this.#later(1 + nextRandom(this.#world.random) * 40, () => {
      const made = this.disk.get(name);
      const isThere = made?.generation === generation;
      if (!isThere || nextRandom(this.#world.random) < this.#world.faultChance()) {
        const outcome = { kind: "failed", message: "simulated" } as const;
        return this.feed([{ kind: "file_kept", keepId, outcome }]);
      }
      const file = { ...bare(made), name: fileContentName(made.digest), generation: 0 };
      this.disk.set(file.name, { ...made, ...file, level });
      const source = { name, generation };
      const outcome = { kind: "kept", file, level, isFound: false, source } as const;
      this.feed([{ kind: "file_kept", keepId, outcome }]);
    });
  }

  #startInstance(instanceId: InstanceId, library: LibraryDefinition): void {
    for (const name of filesOfLibrary(library)) {
      if (!this.disk.has(name)) throw new Error(`Instance ${instanceId} does not find ${name}`);
    }
    for (const { name, generation } of library.inputs) {
      const found = this.disk.get(name)?.generation;
      if (found === generation) continue;
      throw new Error(`Instance ${instanceId} finds ${name} of ${found}, not ${generation}`);
    }
    this.#instances.set(instanceId, library);
    const { ranMs, isBad } = this.#world.startPlan(library.name, this);
    this.#later(ranMs, () => {
      if (!this.#instances.has(instanceId)) return;
      if (isBad || nextRandom(this.#world.random) < this.#world.faultChance() / 4) {
        return this.#endInstance(instanceId, "start_failed");
      }
      this.feed([{ kind: "instance_ready", instanceId }]);
    });
  }

  #endInstance(instanceId: InstanceId, reason: "stopped" | "start_failed" | "died"): void {
    if (!this.#instances.delete(instanceId)) return;
    for (const record of this.state?.instances.get(instanceId)?.running ?? []) {
      this.#running.delete(record.key);
    }
    this.#later(0, () => {
      this.feed([{ kind: "instance_gone", instanceId, reason, message: "simulated" }]);
    });
  }

  #call(instanceId: InstanceId, task: DispatchedTask, shape?: TaskShape): void {
    const { timeoutMs = 0, valuePrefix = "" } = shape ?? {};
    const key = tryKey(task);
    const inputDigests = this.#readInputs(task);
    this.#running.set(key, task);
    if (timeoutMs > 0) {
      const { taskId, try: number } = task;
      this.#later(timeoutMs, () => this.#stopCall({ taskId, try: number, reason: "timeout" }));
    }
    const { outcome, ranMs } = this.#world.run(task);
    this.#later(ranMs, () => {
      if (!this.#running.has(key)) return;
      if (nextRandom(this.#world.random) < this.#world.faultChance() / 4) {
        return this.#endInstance(instanceId, "died");
      }
      this.#running.delete(key);
      const result = newResult(task, { outcome, ranMs, outputs: [] });
      const isLarge = hasLargeValue(task.taskId) || task.hasValueFile === true;
      if (outcome !== "success" || !isLarge) return this.#endCall(result);
      const name = `${valuePrefix}${task.taskId}` as CacheName;
      this.#endCall({ ...result, valueFile: this.#writeValue(task, name, inputDigests) });
    });
  }

  #writeValue(
    task: DispatchedTask,
    name: CacheName,
    inputDigests: readonly string[],
  ): FileFacts {
    const { try: generation } = task;
    const output = { mount: "", name, generation, level: "workflow", isReturned: false } as const;
    const digest = this.#world.truth.make(task, output, inputDigests);
    const facts = { name, generation, digest, sizeBytes: 2_000_000, isDirectory: false };
    const before = this.disk.get(name);
    if (before === undefined || before.generation <= generation) {
      this.disk.set(name, { ...facts, level: output.level });
    }
    return facts;
  }

  #stopCall(order: TryId & { readonly reason: "cancelled" | "timeout" }): void {
    this.#stop(order, (result) => this.#endCall(result));
  }

  #endCall(result: TryResult): void {
    const { taskId, try: number } = result;
    this.feed([{ kind: "calls_ended", ends: [{ taskId, try: number, result }] }]);
  }
}

/** How a try goes whose memory is limited, unless what it was given is a share. */
function enforced(
  plan: TryPlan,
  { resources, shares = [] }: TaskShape,
): TryPlan & { readonly use: Pick<TryResult, "used" | "exceeded"> } {
  const { peakBytes } = plan;
  if (peakBytes === undefined) return { ...plan, use: {} };
  const limit = resources.memoryBytes;
  const usage = { cores: 0.9, diskBytes: 0, processCount: 1, cpuMs: plan.ranMs };
  if (shares.includes("memory") || limit === 0 || peakBytes <= limit) {
    return { ...plan, use: { used: { ...usage, memoryBytes: peakBytes } } };
  }
  // Seen a little too late, as it would be.
  const used = Math.min(peakBytes, limit * 1.02);
  return {
    ...plan,
    outcome: "resources_exhausted",
    ranMs: plan.ranMs * limit / peakBytes,
    use: {
      used: { ...usage, memoryBytes: used },
      exceeded: { resource: "memory", limit, used },
    },
  };
}

/** What a transfer brings that begins with one read and ends with another. */
function joined(begun: ReadFile | undefined, ended: ReadFile | undefined): ReadFile | undefined {
  if (begun === undefined || ended === undefined) return undefined;
  const isSame = begun.digest === ended.digest && begun.isDamaged !== true;
  return isSame ? ended : { ...ended, isDamaged: true };
}

function newResult(
  task: DispatchedTask,
  end: { outcome: Outcome; ranMs: number; outputs: TryResult["outputs"] },
): TryResult {
  return {
    taskId: task.taskId,
    try: task.try,
    outcome: end.outcome,
    message: "",
    stdout: NO_BYTES,
    stderr: NO_BYTES,
    outputs: end.outputs,
    times: { startedAtMs: 1, stagedMs: 0, ranMs: end.ranMs },
  };
}

/** How the names of workers begin that only keep copies. */
export const KEEPER = "keeper-";

/** True of a worker that only keeps copies. */
export function isKeeper({ workerId }: SimWorker): boolean {
  return workerId.startsWith(KEEPER);
}
