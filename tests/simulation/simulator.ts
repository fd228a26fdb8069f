/**
 * Joins the real cores of the manager and its workers by a simulated network,
 * clock and disks. One seed is one run; a failure is reported by its seed.
 *
 * @module
 */

import type { ManagerEvent, TimedEvent } from "../../manager/core/event.ts";
import type { ManagerInstruction } from "../../manager/core/instruction.ts";
import { checkInvariants } from "../../manager/core/invariants.ts";
import { DEFAULT_POLICIES } from "../../manager/core/policy.ts";
import { newManagerState } from "../../manager/core/new_state.ts";
import type { ManagerState } from "../../manager/core/state.ts";
import { nextWakeAtMs, step } from "../../manager/core/step.ts";
import { valueFileId } from "../../manager/core/value_file.ts";
import { helloFault } from "../../manager/hello_check.ts";
import type { SessionId, TaskId, TransferId, WorkerId } from "../../shared/ids.ts";
import type { DispatchedTask } from "../../shared/protocol.ts";
import { newRandom, nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import type { FileFacts, Outcome } from "../../shared/task.ts";
import type { WorkerInstruction } from "../../worker/core/instruction.ts";
import { Awaited } from "./awaited.ts";
import { Clock } from "./clock.ts";
import { digestOf } from "./contents.ts";
import { disturb, noteExit } from "./disturbance.ts";
import { checkEmpty, isOver } from "./emptiness.ts";
import { planHostChanges } from "./host_changes.ts";
import { newLibraries } from "./libraries.ts";
import { KeptFiles } from "./kept.ts";
import { ExplanationCheck } from "./explained.ts";
import { answerTo, callingOff, withRules } from "./control.ts";
import { Connection, welcomeOf } from "./network.ts";
import { Population } from "./population.ts";
import type { Chance, Outcomes, Scenario, UseSums } from "./scenario.ts";
import { RecordCheck } from "./recorded.ts";
import { RoomCount } from "./room_count.ts";
import { ShiftCount } from "./shift_count.ts";
import { sourceOf } from "./sources.ts";
import { describeStuck } from "./stuck.ts";
import { isKeeper, type SimWorker } from "./sim_worker.ts";
import type { TryPlan, UseEnd, World } from "./world.ts";
import { newSkewed } from "./skewed.ts";
import { newStages } from "./stages.ts";
import { bare, type ReadFile, Truth } from "./truth.ts";
import { newTurns } from "./turns.ts";
import { newWorkload, type Workload } from "./workload.ts";

/** Disturbances stop after this, so that every run can come to its end. */
const FAULTS_END_MS = 20_000;

/** How long hosts are parted that cannot reach each other for a while. */
const PARTITION_MS = 3_000;

/** When users change their minds about categories. */
const REDECLARED_AT_MS = 2_500;

/** Simulated time after which a run that has not ended is stuck. */
const RUN_MS_MAX = 3_600_000;

/** Runs `scenario` to its end, checking invariants after each event. */
export function simulate(scenario: Scenario): Outcomes {
  const simulation = new Simulation(scenario);
  simulation.run();
  return simulation.result();
}

class Simulation implements World {
  readonly clock: Clock = new Clock();
  readonly random: RandomState;
  readonly #scenario: Scenario;
  readonly #state: ManagerState;
  readonly #workload: Workload;
  readonly #population: Population;
  readonly #connections = new Map<SessionId, { connection: Connection; worker: SimWorker }>();
  readonly #collecting = new Map<TransferId, number>();
  readonly #abandoned = new Set<number>();
  /** What the manager can serve of what tasks made. */
  readonly #here = new Map<string, FileFacts>();
  /** What urls have of what tasks made. */
  readonly #stored = new Map<string, FileFacts>();
  #storedCount = 0;
  /** Fetches from urls of what no task makes. */
  #urlFetchCount = 0;
  #sent = 0;
  readonly #room = new RoomCount();
  readonly #shifts = new ShiftCount();
  readonly #explained = new ExplanationCheck();
  readonly #records: RecordCheck | undefined;
  readonly #awaited: Awaited = new Awaited();
  readonly #kept: KeptFiles;
  readonly #outcomes = new Map<TaskId, Outcome>();
  readonly #messages = new Map<TaskId, string>();
  readonly #story: string[] = [];
  readonly truth: Truth;
  readonly #use: UseSums = { repeatedCount: 0, allocatedByteMs: 0, usedByteMs: 0 };
  readonly #endedAt = new Map<TaskId, number>();
  readonly #instances = { started: 0, retired: 0 };
  #endedAtMs = 0;
  #eventCount = 0;
  #sessionCount = 0;
  #wakeAtMs = Infinity;
  #pendingRequests = new Set<number>();
  #delivered = 0;
  #isClosing = false;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.random = newRandom(scenario.seed);
    this.#population = new Population(this, scenario);
    const isForgiving = scenario.failChance === 0;
    this.#workload = scenario.graph === "stages"
      ? newStages(scenario)
      : scenario.graph === "turns"
      ? newTurns(this.random, { isRanked: false, ...scenario })
      : scenario.graph === "libraries"
      ? newLibraries(this.random, scenario)
      : scenario.graph === "skewed"
      ? newSkewed({ request: {}, ...scenario })
      : newWorkload(this.random, {
        taskCount: scenario.taskCount,
        strictChance: scenario.strictChance ?? 0,
        timedChance: scenario.timedChance ?? 0,
        retries: scenario.retries ?? (isForgiving ? 100 : 1),
        workerLosses: isForgiving ? 100 : 2,
        hasCategories: scenario.hasCategories ?? false,
        isVaried: scenario.isVaried ?? false,
      });
    this.#kept = new KeptFiles(this, this.#workload);
    const { isNondeterministic = false } = scenario;
    this.truth = new Truth(this.#workload, { isNondeterministic });
    this.#state = newManagerState({
      managerId: "manager",
      epoch: 1,
      seed: scenario.seed,
      policies: {
        ...DEFAULT_POLICIES,
        recoveryTries: 100,
        libraryRetries: 50,
        ...scenario.policies,
      },
    });
    if (scenario.records !== undefined) this.#records = new RecordCheck(this.#state, scenario);
  }

  get workers(): ReadonlyMap<WorkerId, SimWorker> {
    return this.#population.workers;
  }

  faultChance = (): number => this.clock.nowMs < FAULTS_END_MS ? this.#scenario.faultChance : 0;

  run(): void;
  run(task: DispatchedTask): TryPlan;
  run(task?: DispatchedTask): void | TryPlan {
    if (task !== undefined) return this.#runTask(task);
    this.#start();
    while (this.clock.advance()) {
      const isDone = this.#outcomes.size === this.#scenario.taskCount &&
        this.#pendingRequests.size === 0 && this.#kept.isOver;
      if (isDone && !this.#isClosing && this.clock.nowMs > FAULTS_END_MS) this.#close();
      if (this.#isClosing && this.#population.isGone() && isOver(this.#state)) {
        this.#records?.end();
        return checkEmpty(this.#state);
      }
      if (this.clock.nowMs > RUN_MS_MAX) {
        throw new Error(
          `The run is stuck: ${describeStuck(this.#state, this.#pendingRequests.size)}`,
        );
      }
    }
    if (!this.#isClosing) {
      throw new Error(
        `Nothing happens any more: ${describeStuck(this.#state, this.#pendingRequests.size)}`,
      );
    }
  }

  result(): Outcomes {
    return {
      outcomes: this.#outcomes,
      messages: this.#messages,
      state: this.#state,
      story: this.#story,
      delivered: this.#delivered,
      sent: this.#sent,
      stored: this.#storedCount,
      urlFetches: this.#urlFetchCount,
      room: this.#room,
      shifts: this.#shifts,
      use: this.#use,
      endedAt: this.#endedAt,
      instances: this.#instances,
      endedAtMs: this.#endedAtMs,
      explained: this.#explained.counts,
      kept: this.#kept.counts,
    };
  }

  connect(worker: SimWorker): Connection | undefined {
    const session = `session-${this.nextSession()}` as SessionId;
    const { workerId } = worker;
    const slowCount = this.#scenario.slowWorkerCount ?? 0;
    const isSlow = Number(workerId.split("-")[1]) <= slowCount;
    const connection: Connection = new Connection({
      session,
      clock: this.clock,
      latencyMs: () => (isSlow ? 1_000 : 0.2) + nextRandom(this.random) * 15,
      ends: {
        toManager: (messages) => {
          for (const message of messages) {
            const fault = message.kind === "hello" ? helloFault(message) : undefined;
            if (fault !== undefined) throw new Error(fault);
          }
          this.feed(
            messages.map((message): ManagerEvent =>
              message.kind === "hello"
                ? { kind: "worker_connected", session, hello: message }
                : { kind: "message_received", workerId, session, message }
            ),
          );
        },
        toWorker: (messages) => {
          if (worker.connection !== connection) return;
          worker.feed(messages.map((message) => ({ kind: "message_received", message })));
        },
        managerClosed: (wasSilent) => {
          this.feed([{ kind: "worker_disconnected", workerId, session, wasSilent }]);
        },
        workerClosed: () => worker.disconnected(connection),
      },
    });
    this.#connections.set(session, { connection, worker });
    return connection;
  }

  read(
    order: Extract<WorkerInstruction, { kind: "fetch" }>["order"],
    reader: SimWorker,
  ): ReadFile | "unreachable" | undefined {
    const { name, generation, source } = order;
    if (source.kind === "worker") {
      if (!this.#canReach(reader.workerId, source.workerId)) return "unreachable";
      const holder = this.workers.get(source.workerId);
      const file = holder?.isAlive === true ? holder.disk.get(name) : undefined;
      const isThere = file?.generation === generation && holder !== reader;
      if (holder === undefined || file === undefined || !isThere) return undefined;
      if (order.digest !== "" && file.digest !== order.digest) {
        throw new Error(`Two makings of ${name} were mixed: ${file.digest}, not ${order.digest}`);
      }
      const isDamaged = file.isDamaged === true || isKeeper(holder) && this.#happens("rotChance");
      if (isDamaged) holder.disk.set(name, { ...file, isDamaged });
      return { ...bare(file), isDamaged };
    }
    const isMade = /^(?:temp|value|file-sha256)-/.test(name);
    if (source.kind === "manager" && isMade) return this.#readHere(order);
    if (source.kind === "url" && name.startsWith("temp-")) return this.#readStored(order);
    const digest = this.truth.declared(name);
    return {
      name,
      generation,
      sizeBytes: Math.max(order.sizeBytes, 10),
      digest,
      isDirectory: false,
    };
  }

  /** An output that is in place at the manager, or a copy that is there for a time. */
  #readHere(
    { name, generation }: Extract<WorkerInstruction, { kind: "fetch" }>["order"],
  ): FileFacts | undefined {
    const file = this.#here.get(name);
    return file?.generation === generation ? file : undefined;
  }

  /** An output that a worker has stored at its url, of whichever making: the digest decides. */
  #readStored(
    { name, generation, digest }: Extract<WorkerInstruction, { kind: "fetch" }>["order"],
  ): FileFacts | undefined {
    const file = this.#stored.get(name);
    if (file === undefined) throw new Error(`The url of ${name} is asked before it has it`);
    return file.digest === digest ? { ...file, generation } : undefined;
  }

  put(transferId: TransferId, file: FileFacts | undefined): void {
    const deliveryId = this.#collecting.get(transferId);
    if (deliveryId === undefined || this.#abandoned.has(deliveryId)) return;
    this.#collecting.delete(transferId);
    const isDelivered = file !== undefined;
    if (isDelivered) this.#here.set(file.name, bare(file));
    this.#sent += 1;
    this.feed([{ kind: "delivery_ended", deliveryId, isDelivered, message: "" }]);
  }

  store(file: FileFacts): void {
    this.#stored.set(file.name, bare(file));
    this.#storedCount += 1;
  }

  exited(worker: SimWorker): void {
    const { workerId, incarnation } = worker;
    if (nextRandom(this.random) < 0.5) {
      this.clock.after(3, () => this.feed([{ kind: "worker_exited", workerId, incarnation }]));
    }
    if (this.#isClosing) return;
    this.clock.after(500, () => {
      if (!worker.isAlive) worker.start();
    });
  }

  startPlan(library: string, { host }: SimWorker): { ranMs: number; isBad: boolean } {
    const { startMs = 20, badHostChance = 0 } = this.#scenario;
    return {
      ranMs: startMs * (0.5 + this.#drawn(`start ${library}`) / 2),
      isBad: this.clock.nowMs < FAULTS_END_MS &&
        this.#drawn(`bad ${library} ${host}`) < badHostChance,
    };
  }

  used({ shape, ranMs, peakBytes, isDone }: UseEnd): void {
    this.#use.allocatedByteMs += shape.resources.memoryBytes * ranMs;
    if (isDone) this.#use.usedByteMs += peakBytes * ranMs;
    else this.#use.repeatedCount += 1;
  }

  #runTask({ taskId }: DispatchedTask): TryPlan {
    const { random } = this;
    const plan = this.#workload.plans.get(taskId);
    if (plan !== undefined) return plan;
    const { failChance, longChance = 0 } = this.#scenario;
    if (this.#happens("hangChance")) return { outcome: "success", ranMs: RUN_MS_MAX };
    const isLong = nextRandom(random) < longChance;
    const isSlow = nextRandom(random) < 0.1;
    const ranMs = isLong ? 5_000 : isSlow ? 2_000 : 1 + nextRandom(random) * 300;
    if (this.#happens("fullChance")) return { outcome: "disk_full", ranMs };
    if (this.#happens("meddleChance")) return { outcome: "input_modified", ranMs };
    const fails = nextRandom(random) < failChance;
    const writtenBytes = this.#happens("growChance") ? nextRandomBelow(random, 20_000_000) : 0;
    return { outcome: fails ? "exit" : "success", ranMs, writtenBytes };
  }

  /** True with the scenario's chance of it, while there are faults. */
  #happens(chance: Chance): boolean {
    const value = this.#scenario[chance] ?? 0;
    return value > 0 && this.clock.nowMs < FAULTS_END_MS && nextRandom(this.random) < value;
  }

  isDiskFull = (): boolean => this.#happens("fullChance");

  isStalled = (): boolean => this.#happens("stallChance");

  isSlow = (): boolean => this.#happens("slowChance");

  isFlipped = (): boolean => this.#happens("flipChance");

  /** The same for the same hosts at the same time, and not the same in both directions. */
  #canReach(reader: WorkerId, holder: WorkerId): boolean {
    const { partitionChance = 0, wallChance = 0, hiddenChance = 0 } = this.#scenario;
    const pair = `${reader}/${holder}`;
    if (this.#drawn(`wall ${pair}`) < wallChance) return false;
    if (this.#drawn(`hidden ${holder}`) < hiddenChance) return false;
    const period = Math.floor(this.clock.nowMs / PARTITION_MS);
    if (this.clock.nowMs >= FAULTS_END_MS) return true;
    return this.#drawn(`partition ${period} ${pair}`) >= partitionChance;
  }

  /** A number from 0 to 1 that stands for `what` in this run. */
  #drawn(what: string): number {
    const text = digestOf(`${this.#scenario.seed}/${what}`).slice(0, 6);
    return Number.parseInt(text, 16) / 2 ** 24;
  }

  #start(): void {
    const { scenario, random } = { scenario: this.#scenario, random: this.random };
    for (let index = 0; index < scenario.workerCount; index++) {
      this.clock.after(nextRandom(random) * 500, () => this.#population.addWorker());
    }
    for (let index = 0; index < (scenario.keeperCount ?? 0); index++) {
      this.#population.addKeeper();
    }
    const { killEachMs = 0 } = scenario;
    for (let atMs = killEachMs; killEachMs > 0 && atMs < FAULTS_END_MS; atMs += killEachMs) {
      this.clock.after(atMs, () => this.#replaceOne());
    }
    this.feed((scenario.categories ?? []).map((category): ManagerEvent => {
      return { kind: "category_declared", category };
    }));
    this.feed(this.#workload.declarations);
    for (const { atMs, event } of this.#workload.later) {
      this.clock.after(atMs, () => this.feed([event]));
    }
    for (const task of withRules(this.#workload.tasks, scenario)) {
      const delayMs = nextRandom(random) < 0.5 ? 0 : nextRandom(random) * 10;
      this.clock.after(Number(task.taskId) * 10 + delayMs, () => {
        this.feed(this.#awaited.submit(task));
      });
    }
    for (let index = 0; index < scenario.cancelCount; index++) {
      const taskId = (1 + nextRandomBelow(random, scenario.taskCount)) as TaskId;
      this.clock.after(nextRandom(random) * 5_000, () => {
        this.feed([{ kind: "task_cancelled", taskId }]);
      });
    }
    if (scenario.isControlled === true) {
      this.clock.after(300, () => this.feed([callingOff(scenario.taskCount)]));
    }
    for (let index = 0; index < scenario.disturbanceCount; index++) {
      this.clock.after(nextRandom(random) * FAULTS_END_MS * 0.6, () => {
        if (!this.#isClosing) disturb(this);
      });
    }
    planHostChanges(this, scenario, FAULTS_END_MS * 0.6);
    this.#requestTemps();
    if (scenario.keepsFiles === true) this.#kept.start();
    this.#tune();
    this.clock.after(REDECLARED_AT_MS, () => {
      this.feed((scenario.redeclared ?? []).map((category): ManagerEvent => {
        return { kind: "category_declared", category };
      }));
    });
    // The end is looked for when something happens.
    this.clock.after(FAULTS_END_MS + 1, () => this.feed([{ kind: "tick" }]));
  }

  /** Policies change, and users see to the copies of some temps themselves. */
  #tune(): void {
    const { tunedTo } = this.#scenario;
    if (tunedTo === undefined) return;
    this.clock.after(4_000, () => {
      const policies = { ...this.#state.policies, ...tunedTo };
      this.feed([{ kind: "policies_set", policies }]);
    });
    for (const [index, fileId] of this.#workload.temps.entries()) {
      this.clock.after(2_000 + nextRandom(this.random) * 9_000, () => {
        const event: ManagerEvent = index % 3 === 0
          ? { kind: "file_replicated", fileId, count: 1 + index % 4 }
          : { kind: "file_pruned", fileId, requestId: index };
        this.feed([event]);
      });
    }
  }

  /** Users ask for some temps, and let go of others, while the workflow runs. */
  #requestTemps(): void {
    for (const [index, fileId] of this.#workload.temps.entries()) {
      if (index % 5 === 0) {
        const requestId = index + 1;
        this.#pendingRequests.add(requestId);
        this.clock.after(6_000 + nextRandom(this.random) * 6_000, () => {
          this.feed([{ kind: "file_requested", fileId, requestId }]);
        });
      } else if (index % 5 === 1) {
        this.clock.after(15_000, () => this.feed([{ kind: "file_undeclared", fileId }]));
      }
    }
  }

  /** Another one comes for a worker that is killed for good. */
  #replaceOne(): void {
    const killed = this.#isClosing ? undefined : this.#population.killOne();
    if (killed === undefined) return;
    noteExit(this, killed);
    this.#population.addInstead(killed);
  }

  nextSession(): number {
    this.#sessionCount += 1;
    return this.#sessionCount;
  }

  feed(events: readonly ManagerEvent[]): void {
    if (events.length === 0) return;
    const atMs = this.clock.nowMs;
    for (const event of events) {
      this.#story.push(`${atMs.toFixed(3)} ${event.kind}`);
      if (event.kind === "message_received") this.#room.note(event.message);
    }
    const timed = events.map((event): TimedEvent => ({ ...event, atMs }));
    const { instructions, facts } = step(this.#state, timed);
    for (const fact of facts) {
      if (fact.kind !== "library_instance") continue;
      if (fact.change === "starting") this.#instances.started += 1;
      if (fact.change === "retiring") this.#instances.retired += 1;
    }
    this.#eventCount += 1;
    if (this.#eventCount % (this.#scenario.checkEach ?? 1) === 0) checkInvariants(this.#state);
    this.#shifts.note(this.#state.upkeep.shifts);
    this.#explained.note(this.#state);
    for (const instruction of instructions) {
      if (instruction.kind === "settle") this.#records?.settle(instruction.end);
    }
    this.#records?.hear(facts);
    for (const instruction of instructions) this.#carryOut(instruction);
    const wakeAtMs = nextWakeAtMs(this.#state);
    if (wakeAtMs === undefined || wakeAtMs >= this.#wakeAtMs) return;
    this.#wakeAtMs = wakeAtMs;
    this.clock.after(Math.max(0, wakeAtMs - atMs), () => {
      this.#wakeAtMs = Infinity;
      this.feed([{ kind: "tick" }]);
    });
  }

  #carryOut(instruction: ManagerInstruction): void {
    switch (instruction.kind) {
      case "welcome":
        return this.#connections.get(instruction.session)?.connection
          .sendToWorker([welcomeOf(instruction.session)]);
      case "send":
        return this.#connections.get(instruction.session)?.connection
          .sendToWorker(instruction.messages);
      case "fetch": {
        const { from, order } = instruction;
        if (from.kind === "url" && !order.name.startsWith("temp-")) this.#urlFetchCount += 1;
        const message = { ...instruction.order, source: sourceOf(instruction.from) };
        return this.#connections.get(instruction.session)?.connection.sendToWorker([message]);
      }
      case "collect": {
        const { deliveryId, transferId, session, file: { name, generation } } = instruction;
        this.#collecting.set(transferId, deliveryId);
        const to = { kind: "manager", ticket: "" } as const;
        const message = { kind: "send", transferId, name, generation, to } as const;
        return this.#connections.get(session)?.connection.sendToWorker([message]);
      }
      case "store": {
        const { deliveryId, file } = instruction;
        this.clock.after(2, () => {
          if (this.#abandoned.has(deliveryId)) return;
          this.#here.set(file.name, bare(file));
          this.feed([{ kind: "delivery_ended", deliveryId, isDelivered: true, message: "" }]);
        });
        return;
      }
      case "refused":
        throw new Error(`An honest worker is said to lie: ${instruction.what}`);
      case "unspool": {
        const { fileId } = instruction;
        const name = this.#workload.names.get(fileId) ?? this.#awaited.nameOf(fileId) ??
          this.#kept.files.get(fileId);
        const here = name && this.#here.get(name);
        if (here?.generation !== instruction.generation) {
          throw new Error(`The manager has no copy of ${name} to remove`);
        }
        this.#here.delete(here.name);
        return;
      }
      case "abandon":
        return void this.#abandoned.add(instruction.deliveryId);
      case "ask_retry": {
        const { afterMs, event } = answerTo(instruction.end, this.random);
        return this.clock.after(afterMs, () => this.feed([event]));
      }
      case "settle":
        return this.#settle(instruction);
      case "file_kept":
        return this.#kept.answer(instruction);
      case "file_delivered":
        if (!this.#pendingRequests.delete(instruction.requestId)) {
          throw new Error(`Request ${instruction.requestId} is answered twice`);
        }
        if (instruction.isDelivered) this.#delivered += 1;
        return;
      case "disconnect": {
        const open = this.#connections.get(instruction.session);
        open?.connection.break({ lostMs: 0, managerMs: 0, workerMs: 10, wasSilent: false });
        return;
      }
    }
  }

  #settle({ end }: Extract<ManagerInstruction, { kind: "settle" }>): void {
    const { taskId, outcome } = end;
    if (this.#kept.settle(end)) return;
    if (this.#outcomes.has(taskId)) throw new Error(`Task ${taskId} is returned twice`);
    this.#outcomes.set(taskId, outcome);
    this.#endedAt.set(taskId, this.clock.nowMs);
    this.#endedAtMs = this.clock.nowMs;
    this.#messages.set(taskId, end.message);
    this.truth.checkEnd(end);
    const events = this.#awaited.end(end);
    if (events.length > 0) this.clock.after(0, () => this.feed(events));
    if (end.result?.valueFile === undefined || taskId % 2 === 0) return;
    // Its user has no use for it after a while.
    this.clock.after(8_000, () => {
      this.feed([{ kind: "file_undeclared", fileId: valueFileId(taskId) }]);
    });
  }

  #close(): void {
    this.#isClosing = true;
    for (
      const fileId of [
        ...this.#workload.names.keys(),
        ...this.#awaited.values,
        ...this.#kept.files.keys(),
      ]
    ) {
      this.feed([{ kind: "file_undeclared", fileId }]);
    }
    this.feed([{ kind: "closed", reason: "done" }]);
  }
}
