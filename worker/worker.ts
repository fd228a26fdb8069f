/**
 * A worker: its workspace, its watcher, its cache, its connection, and the core that decides.
 * Everything is opened here in order, and closed in the reverse.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";

import { basename, join } from "@std/path";

import type { LogLevel } from "../shared/log.ts";
import type { ManagerMessage } from "../shared/protocol.ts";
import type { Resources } from "../shared/resources.ts";
import { type CpuPinner, openCpuPinner } from "../shared/runtime/affinity.ts";
import { ownChildEnvironment, selfCommand } from "../shared/runtime/self_command.ts";
import { VERSION } from "../shared/version.ts";
import { Activations } from "./activation.ts";
import { Activity } from "./activity.ts";
import { CacheStore } from "./cache_store.ts";
import { ControlGroups } from "./control_group.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import { newWorkerState, type WorkerTimeEnd } from "./core/state.ts";
import { Engine } from "./engine.ts";
import type { GpuVariable } from "./gpu_devices.ts";
import { Instances } from "./instance.ts";
import { WorkerLog } from "./log.ts";
import type { ManagerAccess, ManagerFinder } from "./manager_finder.ts";
import { Keeps } from "./keep_file.ts";
import { type LinkEnd, ManagerLink } from "./manager_link.ts";
import { peerDoor, type PeerDoorOptions } from "./peer_door.ts";
import { PeerServer } from "./peer_server.ts";
import { TaskProcesses, type TaskProcessesOptions } from "./process.ts";
import { SharedStore } from "./shared_store.ts";
import { Runner } from "./runner.ts";
import { Sandboxes } from "./sandbox.ts";
import { isTailOrder, Tails } from "./tails.ts";
import { type Environment, inheritedEnvironment } from "./task_environment.ts";
import type { TimeLimit } from "./time_limit.ts";
import { Transfers } from "./transfer.ts";
import { newTrees } from "./trees.ts";
import { UsageMeter } from "./usage_meter.ts";
import { Verifications } from "./verification.ts";
import { Watcher } from "./watcher.ts";
import type { Workspace } from "./workspace.ts";

type Order<Kind extends WorkerInstruction["kind"]> = Extract<WorkerInstruction, { kind: Kind }>;

/** What a worker is started with. */
export interface WorkerOptions {
  /** Locked by this process; closed with the worker. */
  readonly workspace: Workspace;
  readonly finder: Pick<ManagerFinder, "manager" | "read" | "watch">;
  readonly peers: PeerDoorOptions;
  readonly resources: Resources;
  readonly features: readonly string[];
  /** As many as its resources say. */
  readonly gpuIds: readonly string[];
  /** By which tasks see the GPUs that they are given; absent when it offers none. */
  readonly gpuVariable?: GpuVariable;
  /** Processors that tries are pinned to; none when they are not. */
  readonly cpus: readonly number[];
  /** Time without a manager after which it ends. */
  readonly idleTimeoutMs: number;
  /** After which it leaves; absent is none. */
  readonly timeLimit?: TimeLimit;
  /** Ends when its manager lets it go, instead of waiting for the next one. */
  readonly isSingle: boolean;
  /** Told once of each time without a manager, and why. */
  readonly waiting: (reason: string) => void;
  /** Tasks and libraries see little of this process's environment (task_environment.ts). */
  readonly hasCleanEnvironment: boolean;
  /** Takes log lines for a person. */
  readonly say?: (line: string) => void;
  /** Where it writes its log. Default: in its workspace. */
  readonly logPath?: string;
  readonly logLevel: LogLevel;
}

/** How a worker ended. */
export interface WorkerEnd {
  /** `gone` is without a manager after it had one; `unmet` and what follows are failures. */
  readonly kind: "left" | LinkEnd["kind"] | "unable" | "bug";
  /** One line for a person. */
  readonly message: string;
}

/** A worker that runs. */
export interface Worker {
  /** Resolves once everything of it is closed. */
  readonly ended: Promise<WorkerEnd>;
  /** Has it hand back what it can and end. */
  leave(reason: string): void;
}

/** The processes of a worker that leaves get this long to go, beyond what its core waits. */
const CLOSE_LIMIT_MS = 1_500;

/** Opens a worker; it dials its manager at once. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const shell = await Shell.open(options);
  return { ended: shell.ended, leave: (reason) => shell.leave(reason) };
}

/** The parts of a worker, in the order in which they are opened. */
interface Parts {
  readonly log: WorkerLog;
  readonly watcher: Watcher;
  /** Absent where this worker may make none. */
  readonly groups: ControlGroups | undefined;
  readonly cache: CacheStore;
  readonly processes: TaskProcesses;
  readonly sandboxes: Sandboxes;
  readonly peers: PeerServer;
  readonly transfers: Transfers;
  readonly verifications: Verifications;
  readonly keeps: Keeps;
  readonly meter: UsageMeter;
  readonly tails: Tails;
  readonly activations: Activations;
  readonly runner: Runner;
  readonly instances: Instances;
}

/** What is open before the others can be. */
interface OpenedParts extends Pick<Parts, "log" | "watcher" | "groups" | "processes"> {
  readonly store: SharedStore;
  readonly given: Pick<TaskProcessesOptions, "gpuVariable" | "pinner">;
}

/** What tasks and libraries see of this process's environment. */
function taskEnvironment({ hasCleanEnvironment }: WorkerOptions): Environment {
  return inheritedEnvironment(process.env, { isClean: hasCleanEnvironment });
}

function endOfTime({ timeLimit }: WorkerOptions): WorkerTimeEnd | undefined {
  if (timeLimit === undefined) return undefined;
  const { leftMs, reason } = timeLimit;
  return { atMs: performance.now() + leftMs, reason };
}

async function openPinner(): Promise<CpuPinner> {
  const pinner = await openCpuPinner();
  if (pinner !== undefined) return pinner;
  throw new Error(
    "Cannot pin tasks to CPUs, as --pin-cores says: this system does not let a process choose its own",
  );
}

function openLog({ workspace, logPath, logLevel, say }: WorkerOptions): WorkerLog {
  const path = logPath ?? join(workspace.path, "logs", "worker.log");
  return new WorkerLog({ path, level: logLevel, say });
}

class Shell {
  readonly #options: WorkerOptions;
  readonly #parts: Parts;
  readonly #end = Promise.withResolvers<WorkerEnd>();
  /** When its time is over. */
  readonly #timeEnd: WorkerTimeEnd | undefined;
  /** One for each manager served. */
  #engine: Engine;
  #link: ManagerLink | undefined;
  #isEnding = false;

  static async open(options: WorkerOptions): Promise<Shell> {
    const { gpuVariable } = options;
    // Before anything is started: where it cannot be had, the worker is refused.
    const pinner = options.cpus.length === 0 ? undefined : await openPinner();
    const given = {
      ...(gpuVariable === undefined ? {} : { gpuVariable }),
      ...(pinner === undefined ? {} : { pinner }),
    };
    const log = openLog(options);
    const { mark, sandboxesPath } = options.workspace;
    // Before there are children, which would stay where they are.
    const groups = ControlGroups.open({ mark });
    const watcher = new Watcher({
      command: selfCommand(["internal-watch"]),
      mark,
      sandboxesPath,
      onTrouble: (message) => log.write("warn", "watcher_trouble", { message }),
    });
    const env = taskEnvironment(options);
    const processes = await TaskProcesses.open({ mark, env, watcher, groups, ...given });
    const { path, storePath } = options.workspace;
    const store = new SharedStore(storePath, { user: basename(path) });
    await store.sweep();
    return new Shell(options, { log, watcher, groups, processes, store, given });
  }

  private constructor(options: WorkerOptions, opened: OpenedParts) {
    const { log, watcher, groups, processes, given } = opened;
    const { workspace } = options;
    const { trash, mark } = workspace;
    this.#options = options;
    this.#timeEnd = endOfTime(options);
    const trees = newTrees(mark);
    const cache = new CacheStore(workspace.cachePath, opened.store);
    const sandboxes = new Sandboxes(join(workspace.sandboxesPath, "tries"), trash);
    const peers = new PeerServer({ workerId: workspace.workerId, cache, trees });
    const push: Engine["push"] = (event) => this.#engine.push(event);
    const managerUrl = () => this.#link?.managerUrl;
    const managerCertificate = () => this.#link?.managerCertificate;
    const verifications = new Verifications({ cache, trees, push });
    const keeps = new Keeps({ cache, mark, push });
    const meter = new UsageMeter({ resources: options.resources, push });
    const activations = new Activations({ env: taskEnvironment(options), mark });
    const tails = new Tails((messages) => this.#link?.send(messages));
    const runner = new Runner({
      cache,
      trees,
      sandboxes,
      processes,
      meter,
      tails,
      activations,
      push,
    });
    const supply = { managerUrl, managerCertificate };
    const transfers = new Transfers({ cache, trees, runner, ...supply, push });
    const instances = new Instances({
      cache,
      trees,
      mounts: sandboxes.mounts,
      activations,
      directory: join(workspace.sandboxesPath, "instances"),
      trash,
      env: ownChildEnvironment(taskEnvironment(options)),
      mark,
      hostCommand: selfCommand(["internal-library-host"]),
      ...given,
      meter,
      processes,
      push,
    });
    this.#parts = {
      log,
      watcher,
      groups,
      cache,
      processes,
      sandboxes,
      peers,
      transfers,
      verifications,
      keeps,
      meter,
      tails,
      activations,
      runner,
      instances,
    };
    this.#engine = this.#newEngine();
    this.#link = this.#newLink();
    const { workerId, path } = workspace;
    log.write("info", "started", { workerId, workspace: path, pid: process.pid });
  }

  get ended(): Promise<WorkerEnd> {
    return this.#end.promise;
  }

  leave(reason: string): void {
    this.#engine.push({ kind: "leave_requested", reason });
  }

  #newEngine(): Engine {
    const { workspace, resources, features, gpuIds, cpus } = this.#options;
    const end = this.#timeEnd;
    const { cache, log, transfers, verifications, keeps, runner, instances } = this.#parts;
    const activity = new Activity(log);
    const state = newWorkerState({
      workerId: workspace.workerId,
      incarnation: randomUUID(),
      version: VERSION,
      host: hostname(),
      pid: process.pid,
      resources,
      features,
      gpuIds,
      cpus,
      ...(end === undefined ? {} : { end }),
      cached: cache.files().map(({ facts, level, isOwn }) => ({ ...facts, level, isOwn })),
    });
    const engine = new Engine({
      state,
      parts: {
        cache,
        transfers,
        verifications,
        keeps,
        runner,
        instances,
        link: { send: (messages) => this.#link?.send(messages) },
        session: {
          open: (order) => this.#openSession(order),
          leave: (order) => this.#leave(order),
        },
      },
      note: (instruction) => activity.note(instruction),
      onBug: (error) => {
        const message = error instanceof Error ? error.stack ?? error.message : String(error);
        this.#close({ kind: "bug", message });
      },
    });
    // From here on it wakes when the core has something to do, though nothing else happens.
    engine.push({ kind: "tick" });
    return engine;
  }

  #newLink(): ManagerLink {
    const { log, peers } = this.#parts;
    const { finder, idleTimeoutMs, waiting } = this.#options;
    return new ManagerLink({
      manager: finder.manager,
      access: () => finder.read(),
      watch: (changed) => finder.watch(changed),
      prepare: (access) => this.#openPeers(access),
      goneMsMax: idleTimeoutMs,
      waiting: (reason) => {
        log.write("info", "waiting", { reason });
        waiting(reason);
      },
      opened: () => {
        log.write("info", "connected", { manager: this.#link?.managerUrl });
        this.#engine.push({ kind: "connection_opened", peer: peers.address });
      },
      takeRefused: () => {
        const count = peers.takeRefused();
        if (count > 0) log.write("warn", "peers_refused", { requests: count });
        return count;
      },
      received: (messages: readonly ManagerMessage[]) => {
        for (const message of messages) {
          if (isTailOrder(message)) this.#parts.tails.take(message);
          else this.#engine.push({ kind: "message_received", message });
        }
      },
      closed: (reason) => {
        log.write("info", "disconnected", { reason });
        this.#parts.tails.clear();
        this.#engine.push({ kind: "connection_closed" });
      },
      ended: (end: LinkEnd) => this.#close(end),
    });
  }

  /** Listens as the workers of this manager do, which need not be as those of the last one did. */
  async #openPeers({ publishedUrls }: ManagerAccess): Promise<void> {
    try {
      await this.#parts.peers.open(peerDoor(publishedUrls, this.#options.peers));
    } catch (error) {
      const found = error instanceof Error ? error.message : String(error);
      this.#close({ kind: "unable", message: `Cannot serve files to other workers: ${found}` });
    }
  }

  #openSession({ welcome }: Order<"session_opened">): void {
    this.#link?.keepAlive(welcome.heartbeatMs);
    const clockOffsetMs = welcome.atMs - Date.now();
    this.#parts.peers.openSession({ transferKey: welcome.transferKey, clockOffsetMs });
  }

  #leave({ reason, isReleased, keep }: Order<"leave">): void {
    const { cache, log, transfers } = this.#parts;
    cache.deleteBelow(keep);
    transfers.forgetParts();
    if (!isReleased || this.#options.isSingle) {
      return this.#close({ kind: "left", message: reason });
    }
    // The next manager of that name finds the files that are kept, and nothing else.
    log.write("info", "released", { reason });
    this.#engine.close();
    this.#engine = this.#newEngine();
    this.#link?.release(reason);
  }

  #close(end: WorkerEnd): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#closeParts(end).then(
      () => this.#end.resolve(end),
      (error: unknown) => {
        const found = error instanceof Error ? error.message : String(error);
        this.#end.resolve({ kind: "bug", message: `Cannot close the worker: ${found}` });
      },
    );
  }

  async #closeParts(end: WorkerEnd): Promise<void> {
    const parts = this.#parts;
    parts.meter.close();
    parts.tails.clear();
    this.#link?.close(end.message);
    this.#engine.close();
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, CLOSE_LIMIT_MS);
    // What is stuck beyond the limit is ended by the watcher, which is told nothing then.
    let isQuiet = false;
    const quiet = async () => {
      parts.activations.close();
      await Promise.all([
        parts.transfers.close(),
        parts.verifications.close(),
        parts.keeps.close(),
        parts.instances.close(),
        parts.processes.close(),
      ]);
      await parts.processes.endStrays();
      await parts.runner.close();
      await parts.peers.close();
      await parts.sandboxes.close();
      await parts.cache.close();
      isQuiet = true;
    };
    await Promise.race([quiet(), limit.promise]);
    clearTimeout(timer);
    parts.log.write("info", "ended", { how: end.kind, message: end.message });
    if (isQuiet) await parts.watcher.close();
    await parts.log.close();
    parts.groups?.close();
    await this.#options.workspace.close();
  }
}
