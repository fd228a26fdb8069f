/**
 * The shell around the manager's core: owns the engine and everything that an instruction
 * can ask for, and carries instructions out.
 */

import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";

import { join } from "@std/path";

import { unreachable } from "../shared/assert.ts";
import type { FileId, TaskId, WorkerId } from "../shared/ids.ts";
import type { Server } from "../shared/runtime/serve.ts";
import { AppLedger } from "./app_ledger.ts";
import { Catalog } from "./catalog.ts";
import { checkBounds } from "./category.ts";
import { RequestDesk } from "./client_desk.ts";
import { ClientLinks } from "./client_link.ts";
import type { ManagerConfig } from "./config.ts";
import type { CategoryChange, Hello } from "./core/event.ts";
import type { Fact } from "./core/fact.ts";
import type { ManagerInstruction } from "./core/instruction.ts";
import type { Policies } from "./core/policy.ts";
import { countWanted } from "./core/hunger.ts";
import { newManagerState } from "./core/new_state.ts";
import type { ManagerState } from "./core/state.ts";
import { nextWakeAtMs, step } from "./core/step.ts";
import { summarize } from "./core/summary.ts";
import { unplaceableTasks } from "./core/unplaceable.ts";
import type { Right } from "./dashboard/session.ts";
import { DeliveryDesk } from "./delivery.ts";
import { Door } from "./door.ts";
import { Engine } from "./engine.ts";
import type { Explanation } from "./core/explanation.ts";
import { explainTask } from "./explanation.ts";
import { fetchSource } from "./fetch_source.ts";
import { FileStore } from "./file_store.ts";
import { follow } from "./follow.ts";
import { tellHosts } from "./host_change.ts";
import { KeepDesk } from "./keep_desk.ts";
import { ManagerDashboard } from "./manager_dashboard.ts";
import { ManagerMetrics } from "./manager_metrics.ts";
import { tell } from "./notice.ts";
import { OutputLog } from "./output_log.ts";
import { OutputWatches } from "./output_watch.ts";
import { Pace, type PaceCounts } from "./pace.ts";
import type { Place } from "./place.ts";
import { Refusals } from "./refusal.ts";
import type { RunDirectory } from "./run_directory.ts";
import { RunRecords } from "./run_records.ts";
import { startServer } from "./server.ts";
import { type ManagerStatus, statusOf } from "./status.ts";
import { TailDesk } from "./tail_desk.ts";
import { TaskDesk } from "./task_desk.ts";
import { taskStateOf } from "./task_handle.ts";
import { Tickets } from "./tickets.ts";
import { tellUnplaceable } from "./unplaceable_note.ts";
import { WorkerLinks } from "./worker_link.ts";

/** Time that released workers have to hang up before they are cut off. */
const RELEASE_MS = 5000;

/** Workers on this machine of which the process is remembered; far more than it has at a time. */
const PROCESSES_MAX = 10_000;

/** What a shell is made of. */
export interface ShellOptions {
  readonly config: ManagerConfig;
  readonly name: string;
  readonly managerId: string;
  readonly place: Place;
  readonly secrets: { readonly worker: string; readonly client: string; readonly viewer: string };
  /** Folder for contents without a path of their own; made here, removed by the owner. */
  readonly spool: string;
  readonly runDirectory: RunDirectory;
  /** How long clients are waited for; see client_files.ts. */
  readonly clientLimits?: { readonly graceMs?: number; readonly uploadWaitMs?: number };
  /** Told of a bug in the manager, after which nothing moves any more. */
  readonly onBug: (error: unknown) => void;
}

type Fetch = Extract<ManagerInstruction, { kind: "fetch" }>;
type Collect = Extract<ManagerInstruction, { kind: "collect" }>;
type Unspool = Extract<ManagerInstruction, { kind: "unspool" }>;
type FileDelivered = Extract<ManagerInstruction, { kind: "file_delivered" }>;
type FilePruned = Extract<ManagerInstruction, { kind: "file_pruned" }>;

interface FileRequest {
  readonly fileId: FileId;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** One running manager. */
export class Shell {
  readonly engine: Engine;
  readonly store: FileStore;
  readonly tasks: TaskDesk;
  readonly catalog: Catalog = new Catalog();
  readonly keeps: KeepDesk;
  readonly #apps: AppLedger = new AppLedger((id, call) => this.catalog.noteCall(id, call));
  readonly #options: ShellOptions;
  readonly #refusals: Refusals = new Refusals();
  readonly #door: Door = new Door(this.#refusals.count);
  readonly #state: ManagerState;
  /** What was said of categories, be it in this turn of the event loop. */
  readonly #categories: Map<string, CategoryChange> = new Map();
  readonly #tickets: Tickets;
  readonly #links: WorkerLinks;
  readonly #requestDesk: RequestDesk;
  readonly #clients: ClientLinks;
  readonly #output: OutputLog;
  readonly #tails: TailDesk;
  readonly #watches: OutputWatches;
  readonly #dashboard: ManagerDashboard | undefined;
  readonly #desk: DeliveryDesk;
  /** Undefined where none are wanted. */
  readonly records: RunRecords | undefined;
  readonly #metrics: ManagerMetrics;
  readonly #server: Server;
  readonly #requests: Map<number, FileRequest> = new Map();
  /** `{process id: the worker it is}`, of workers on this machine; who said hello last is last. */
  readonly #workersByPid: Map<number, { workerId: WorkerId; incarnation: string }> = new Map();
  readonly #startedAtMs: number = Date.now();
  readonly #pace: Pace = new Pace({ ended: 0, pending: 0 }, performance.now());
  #lastRequestId = 0;
  #isClosed = false;

  private constructor(options: ShellOptions) {
    const { managerId, config, spool } = options;
    this.#options = options;
    this.#state = newManagerState({
      managerId,
      epoch: 1,
      seed: randomBytes(4).readUInt32LE(),
      policies: config.policies,
    });
    const state = this.#state;
    this.engine = new Engine({
      core: { step: (events) => step(state, events), nextWakeAtMs: () => nextWakeAtMs(state) },
      carryOut: (instruction) => this.#carryOut(instruction),
      endTurn: () => this.#links.flush(),
      onBug: (error) => this.#onBug(error),
    });
    const push = this.engine.push.bind(this.engine);
    this.#tickets = new Tickets(managerId, randomBytes(32));
    this.store = new FileStore({
      workflowId: managerId,
      push,
      request: (id) => this.#request(id, "file_requested"),
      prune: (id) => this.#request(id, "file_pruned"),
      countReplicas: (id) => state.files.get(id)?.readyCount ?? this.#countHeld(id),
    });
    this.keeps = new KeepDesk({ state, engine: this.engine });
    this.#output = new OutputLog({
      folder: join(spool, "output"),
      onFailure: tell,
    });
    this.#tails = this.#newTailDesk();
    this.#watches = new OutputWatches({ tails: this.#tails, spool });
    this.#dashboard = config.hasDashboard ? this.#newDashboard() : undefined;
    this.tasks = new TaskDesk({
      store: this.store,
      push,
      catalog: this.catalog,
      output: this.#output,
      watches: this.#watches,
      follow: (id, source) => follow(this.#tails, { taskId: id, source }),
      stateOf: (id) => taskStateOf(state.tasks.get(id)),
      explain: (id) => this.#explain(id),
    });
    this.engine.subscribe((facts) => this.#forgetFiles(facts));
    this.engine.subscribe((facts) => this.catalog.hear(facts));
    this.engine.subscribe((facts) => this.#apps.hear(facts));
    this.engine.subscribe(() => this.#pace.note(this.#paceCounts(), this.engine.nowMs()));
    this.engine.subscribe(tellHosts);
    this.engine.subscribe(tellUnplaceable);
    this.records = this.#newRecords();
    this.#desk = new DeliveryDesk({ store: this.store, spool, push });
    // This may fail, and what comes after it has timers, which would keep the process from ending.
    this.#server = this.#startServer();
    this.#metrics = this.#newMetrics();
    this.#links = this.#newWorkerLinks();
    for (const category of config.categories) this.declareCategory(category);
    this.#requestDesk = this.#newRequestDesk();
    this.#clients = this.#newClientLinks();
  }

  /** Starts a manager that listens. */
  static async start(options: ShellOptions): Promise<Shell> {
    await mkdir(options.spool, { recursive: true, mode: 0o700 });
    return new Shell(options);
  }

  /** Base urls of the server, best first. */
  get urls(): readonly string[] {
    return this.#options.place.urls(this.#server.port);
  }

  /** The best of `urls`. */
  get url(): string {
    return this.urls[0] ?? "";
  }

  /** The policies in force. */
  get policies(): Policies {
    return this.#state.policies;
  }

  /** Puts other policies in force. */
  tune(policies: Policies): void {
    this.engine.push({ kind: "policies_set", policies });
  }

  /** What is said of a category from now on. */
  declareCategory(category: CategoryChange): void {
    const said = { ...this.#categories.get(category.name), ...category };
    // A first guess above the max is no mistake by now: it is capped.
    checkBounds({ ...said, first: {} });
    this.#categories.set(category.name, said);
    this.engine.push({ kind: "category_declared", category });
  }

  /** Tasks that are wanted beside those that wait. */
  hungry(): number {
    return countWanted(this.#state, this.tasks.takenCount - this.#state.counters.submitted);
  }

  /** The manager in numbers. */
  status(): ManagerStatus {
    const { name } = this.#options;
    const startedAtMs = this.#startedAtMs;
    const refused = this.#refusals.counts();
    const { url, urls } = this;
    const unplaceable = unplaceableTasks(this.#state);
    const endedPerSecond = this.#pace.perSecond(this.engine.nowMs());
    const { rows } = this.#apps;
    const apps = rows === undefined ? {} : { apps: rows };
    const said = { name, url, urls, startedAtMs, endedPerSecond, refused, unplaceable, ...apps };
    return statusOf(said, summarize(this.#state));
  }

  /** True when it serves one. */
  get hasDashboard(): boolean {
    return this.#dashboard !== undefined;
  }

  /**
   * What follows the url of the dashboard in a link that opens it once, with that right.
   *
   * @throws {Error} When there is no dashboard.
   */
  dashboardFragment(right: Right): string {
    if (this.#dashboard !== undefined) return this.#dashboard.newFragment(right);
    throw new Error("Cannot make a link to the dashboard: this manager has none");
  }

  #paceCounts(): PaceCounts {
    const { submitted, succeeded, failed, cancelled } = this.#state.counters;
    const ended = succeeded + failed + cancelled;
    return { ended, pending: submitted - ended };
  }

  /** True when the process of that id has said hello as a worker. */
  hasJoined(pid: number): boolean {
    return this.#workersByPid.has(pid);
  }

  /** A local worker's process has ended: it need not be waited for. False if it never came. */
  noteExit(pid: number): boolean {
    const worker = this.#workersByPid.get(pid);
    this.#workersByPid.delete(pid);
    if (worker !== undefined) this.engine.push({ kind: "worker_exited", ...worker });
    return worker !== undefined;
  }

  /** Tells all workers to leave; what is pending ends as cancelled. */
  release(reason: string): void {
    this.engine.push({ kind: "closed", reason });
    this.engine.close();
    this.#links.flush();
    this.#tails.close();
    this.tasks.close(`The manager was closed: ${reason}`);
    for (const request of this.#requests.values()) {
      request.reject(new Error("Cannot have the file: the manager was closed"));
    }
    this.#requests.clear();
    this.keeps.close();
  }

  /** Closes what `release` has left, when the workers have hung up. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.store.close();
    this.#metrics[Symbol.dispose]();
    await this.#links.close(RELEASE_MS);
    this.#dashboard?.close();
    this.#clients.close();
    this.#requestDesk.close();
    await this.#desk.close();
    await this.#watches.close();
    await this.#output.close();
    await this.#server.close();
    await this.store.unlinkAll();
  }

  #newMetrics(): ManagerMetrics {
    return new ManagerMetrics({
      engine: this.engine,
      state: this.#state,
      refused: () => this.#refusals.counts(),
      apps: () => this.#apps.entered,
      records: () => this.records?.counts,
    });
  }

  #newWorkerLinks(): WorkerLinks {
    const state = this.#state;
    const { managerId, secrets } = this.#options;
    return new WorkerLinks({
      managerId,
      epoch: state.epoch,
      workerSecret: secrets.worker,
      tickets: this.#tickets,
      workerTimeoutMs: () => state.policies.workerTimeoutMs,
      push: (event) => this.engine.push(event),
      onHello: (hello) => this.#noteHello(hello),
      onTail: (workerId, report) => this.#tails.take(workerId, report),
      onPeerRefusals: (count) => this.#refusals.count("ticket", count),
      door: this.#door,
    });
  }

  #newRecords(): RunRecords | undefined {
    const { config, name, runDirectory, spool } = this.#options;
    if (!runDirectory.isRecording && !config.hasDashboard) return undefined;
    const { engine, store, catalog } = this;
    const state = this.#state;
    const about = { config, name, runDirectory, folder: spool };
    return new RunRecords({ ...about, engine, state, store, catalog });
  }

  #newTailDesk(): TailDesk {
    return new TailDesk({
      state: this.#state,
      send: (session, message) => {
        this.#links.send(session, [message]);
        this.#links.flush();
      },
      subscribe: (listener) => this.engine.subscribe(listener),
    });
  }

  #newDashboard(): ManagerDashboard {
    return new ManagerDashboard({
      secrets: this.#options.secrets,
      state: this.#state,
      catalog: this.catalog,
      output: this.#output,
      tails: this.#tails,
      stateOf: (id) => taskStateOf(this.#state.tasks.get(id)),
      nowMs: () => this.engine.nowMs(),
      push: (event) => this.engine.push(event),
      status: () => this.status(),
      metrics: (accept) => this.#metrics.render(accept),
      ask: (question) => this.records?.isRecording ? this.records.ask(question) : undefined,
      recordedAtMs: () => this.records?.recordedAtMs ?? 0,
    });
  }

  #newRequestDesk(): RequestDesk {
    return new RequestDesk({
      ...this.#options.clientLimits,
      state: this.#state,
      store: this.store,
      tasks: this.tasks,
      catalog: this.catalog,
      nowMs: () => this.engine.nowMs(),
      output: this.#output,
      tails: this.#tails,
      desk: this.#desk,
      tickets: this.#tickets,
      status: () => this.status(),
      askRecords: (question) => this.records?.isRecording ? this.records.ask(question) : undefined,
      dashboardFragment: (right) => this.dashboardFragment(right),
      tune: (policies) => this.tune(policies),
      push: (event) => this.engine.push(event),
      declareCategory: (category) => this.declareCategory(category),
      onBug: (error) => this.#onBug(error),
    });
  }

  #newClientLinks(): ClientLinks {
    return new ClientLinks({
      host: hostname(),
      secrets: this.#options.secrets,
      desk: this.#requestDesk,
      door: this.#door,
      onBug: (error) => this.#onBug(error),
    });
  }

  #startServer(): Server {
    const { place, managerId } = this.#options;
    return startServer({
      place,
      managerId,
      ticketKey: this.#tickets.managerKey,
      store: this.store,
      desk: this.#desk,
      door: this.#door,
      acceptWorker: () => this.#links.accept(),
      acceptClient: () => this.#clients.accept(),
      dashboard: this.#dashboard?.routes,
    });
  }

  #carryOut(instruction: ManagerInstruction): void {
    switch (instruction.kind) {
      case "welcome":
        return this.#links.welcome(instruction.session, instruction.workerId);
      case "send":
        return this.#links.send(instruction.session, instruction.messages);
      case "fetch":
        return this.#sendFetch(instruction);
      case "collect":
        return this.#collect(instruction);
      case "store":
        return this.#desk.store(instruction);
      case "refused":
        return this.#refusals.count("lie");
      case "unspool":
        return this.#unspool(instruction);
      case "abandon":
        return this.#desk.abandon(instruction.deliveryId);
      case "settle":
        this.#tails.end(instruction.end);
        return this.tasks.settle(instruction.end);
      case "ask_retry":
        return this.tasks.askRetry(instruction.end);
      case "file_delivered":
        return this.#answerRequest(instruction);
      case "file_pruned":
        return this.#answerPrune(instruction);
      case "file_kept":
        return this.keeps.answer(instruction);
      case "disconnect":
        return this.#links.disconnect(instruction.session, instruction.reason);
      default:
        return unreachable(instruction);
    }
  }

  #sendFetch(instruction: Fetch): void {
    const { session, order } = instruction;
    const source = fetchSource(instruction, {
      store: this.store,
      tickets: this.#tickets,
      peerOf: (workerId) => this.#links.peerOf(workerId),
    });
    if (!(source instanceof Promise)) {
      this.#links.send(session, [{ ...order, source }]);
      return;
    }
    source.then((found) => {
      if (found.kind === "failed") {
        const { transferId } = order;
        return this.engine.push({ kind: "fetch_failed", transferId, message: found.message });
      }
      this.#links.send(session, [{ ...order, source: found }]);
      this.#links.flush();
    }).catch((error: unknown) => this.#onBug(error));
  }

  #unspool({ fileId, generation }: Unspool): void {
    // What cannot be removed is in the spool, which goes with the manager.
    this.store.unspool(fileId, generation).catch(() => {});
  }

  #collect(order: Collect): void {
    const { transferId, session, workerId, file } = order;
    this.#desk.expect(order);
    const { name, generation } = file;
    const ticket = this.#tickets.put(file, workerId);
    const to = { kind: "manager", ticket } as const;
    this.#links.send(session, [{ kind: "send", transferId, name, generation, to }]);
  }

  #request(fileId: FileId, kind: "file_requested" | "file_pruned"): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#lastRequestId += 1;
    const requestId = this.#lastRequestId;
    this.#requests.set(requestId, { fileId, resolve, reject });
    this.engine.push({ kind, fileId, requestId });
    return promise;
  }

  #answerRequest({ requestId, fileId, isDelivered, message }: FileDelivered): void {
    const request = this.#requests.get(requestId);
    this.#requests.delete(requestId);
    if (request === undefined) return;
    if (!isDelivered) return request.reject(new Error(message));
    // Two declarations of one file are one for the core: the contents are with either.
    const [asked, held] = [this.store.get(request.fileId), this.store.get(fileId)];
    if (asked !== undefined && held?.place !== undefined) {
      held.place = { ...held.place, isPassing: false };
      asked.place = held.place;
    }
    request.resolve();
  }

  /** Of a file that the core has not heard of yet: workers may have what has its name. */
  #countHeld(id: FileId): number {
    const { filesByName, unclaimed } = this.#state;
    const name = this.store.boundOf(id)?.name;
    if (name === undefined) return 0;
    return filesByName.get(name)?.readyCount ?? unclaimed.get(name)?.size ?? 0;
  }

  #answerPrune({ requestId, message }: FilePruned): void {
    const request = this.#requests.get(requestId);
    this.#requests.delete(requestId);
    if (message === "") request?.resolve();
    else request?.reject(new Error(message));
  }

  #explain(id: TaskId): Explanation | undefined {
    const { catalog } = this;
    return explainTask({ state: this.#state, catalog, nowMs: () => this.engine.nowMs() }, id);
  }

  #forgetFiles(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.kind !== "file_forgotten") continue;
      this.store.forget(fact.fileId).catch((error: unknown) => this.#onBug(error));
    }
  }

  #noteHello(hello: Hello): void {
    const { pid, workerId, incarnation, host } = hello;
    if (host !== hostname()) return;
    this.#workersByPid.delete(pid);
    this.#workersByPid.set(pid, { workerId, incarnation });
    // Those that this manager has not started end without a word to it.
    const [oldest] = this.#workersByPid.keys();
    const isTooMany = this.#workersByPid.size > PROCESSES_MAX;
    if (isTooMany && oldest !== undefined) this.#workersByPid.delete(oldest);
  }

  #onBug(error: unknown): void {
    this.tasks.close(`The manager failed: ${error instanceof Error ? error.message : error}`);
    this.#options.onBug(error);
  }
}
