/** A worker's hands without its head: real sandboxes and processes in a folder of their own. */

import { mkdtempSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

import { join } from "@std/path";

import { NO_RESOURCES } from "../../shared/resources.ts";
import type { CpuPinner } from "../../shared/runtime/affinity.ts";
import type { Subreaper } from "../../shared/runtime/subreaper.ts";
import type { TaskId } from "../../shared/ids.ts";
import { ControlGroups } from "../../worker/control_group.ts";
import type { Input } from "../../worker/mount.ts";
import { listProcesses, readVariable } from "../../worker/process_table.ts";
import {
  type TaskCommand,
  type TaskEnd,
  type TaskProcess,
  TaskProcesses,
} from "../../worker/process.ts";
import { type Sandbox, Sandboxes } from "../../worker/sandbox.ts";
import {
  type Activation,
  NO_ACTIVATION,
  WORKER_MARK_VARIABLE,
} from "../../worker/task_environment.ts";
import { removeTree, Trash } from "../../worker/trash.ts";

/** Bound on every wait for a condition. */
const WAIT_LIMIT_MS = 40_000;

/** A folder that is gone when the scope ends. */
export class TemporaryFolder {
  readonly path: string = realpathSync(mkdtempSync(join(tmpdir(), "tendril-test-")));

  async [Symbol.asyncDispose](): Promise<void> {
    await removeTree(this.path);
    await rm(this.path, { recursive: true, force: true });
  }
}

/** What a test says of a task. */
export interface TaskOptions {
  readonly env?: { readonly [name: string]: string };
  readonly cores?: number;
  readonly memoryBytesMax?: number;
  /** To be pinned to; only of a fixture that was opened with a pinner. */
  readonly cpus?: readonly number[];
  readonly activation?: Partial<Activation>;
  readonly inputs?: readonly Input[];
  readonly outputs?: readonly string[];
}

/** A task that runs, and its sandbox. */
export interface StartedTask {
  readonly sandbox: Sandbox;
  readonly process: TaskProcess;
}

/** Sandboxes and processes of a worker. */
export class TaskFixture {
  readonly mark: string = crypto.randomUUID();
  readonly folder: TemporaryFolder = new TemporaryFolder();
  readonly sandboxes: Sandboxes;
  readonly groups: Set<number> = new Set();
  #processes: TaskProcesses | undefined;
  controlGroups: ControlGroups | undefined;
  #taskCount = 0;

  constructor() {
    const trash = new Trash(join(this.folder.path, "trash"));
    this.sandboxes = new Sandboxes(join(this.folder.path, "sandboxes"), trash);
  }

  /** With `subreaper: undefined` the way of systems that cannot adopt orphans is taken. */
  static async open(
    { pinner, ...options }: {
      readonly subreaper?: Subreaper | undefined;
      readonly pinner?: CpuPinner;
    } = {},
  ): Promise<TaskFixture> {
    const fixture = new TaskFixture();
    const watcher = {
      groupStarted: (groupId: number) => void fixture.groups.add(groupId),
      groupEnded: (groupId: number) => void fixture.groups.delete(groupId),
    };
    const env = { ...process.env, BUN_SECRET: "x", TENDRIL_SECRET: "x", DISPLAY: ":0" };
    const isAdopting = !("subreaper" in options);
    fixture.controlGroups = isAdopting ? ControlGroups.open({ mark: fixture.mark }) : undefined;
    const groups = fixture.controlGroups;
    const parts = { mark: fixture.mark, env, watcher, groups, ...(pinner && { pinner }) };
    fixture.#processes = isAdopting ? await TaskProcesses.open(parts) : new TaskProcesses(parts);
    return fixture;
  }

  async start(command: string, options: TaskOptions = {}): Promise<StartedTask> {
    const id = { taskId: ++this.#taskCount as TaskId, try: 1 };
    const { inputs = [], outputs = [] } = options;
    const sandbox = await this.sandboxes.create({ ...id, inputs, outputs });
    const task: TaskCommand = {
      ...id,
      command,
      directory: sandbox.directory,
      temporaryDirectory: sandbox.temporaryDirectory,
      stdout: sandbox.descriptor("stdout"),
      stderr: sandbox.descriptor("stderr"),
      env: options.env ?? {},
      activation: { ...NO_ACTIVATION, ...options.activation },
      resources: { ...NO_RESOURCES, cores: options.cores ?? 0 },
      memoryBytesMax: options.memoryBytesMax ?? Infinity,
      devices: { gpus: [], cpus: options.cpus ?? [] },
    };
    return { sandbox, process: this.#processes!.start(task) };
  }

  /** Runs a command to its end and removes its sandbox. */
  async run(
    command: string,
    options: TaskOptions = {},
  ): Promise<{ end: TaskEnd; stdout: string; stderr: string }> {
    const { sandbox, process: started } = await this.start(command, options);
    const end = await started.ended;
    const stdout = readText(sandbox, "stdout");
    const stderr = readText(sandbox, "stderr");
    await sandbox.remove({ hasSurvivors: end.hasSurvivors });
    return { end, stdout, stderr };
  }

  /** Ends what is no try's. */
  async endStrays(): Promise<void> {
    await this.#processes?.endStrays();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes?.close();
    this.controlGroups?.close();
    await this.sandboxes.close();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** What a task wrote, as text. */
export function readText(sandbox: Sandbox, stream: "stdout" | "stderr"): string {
  return new TextDecoder().decode(sandbox.readStream(stream, 64 * 1024));
}

/** Living processes that carry a worker's mark. */
export function markedProcesses(mark: string): number[] {
  return listProcesses()
    .filter((entry) => !entry.isZombie)
    .filter(({ processId }) => readVariable(processId, WORKER_MARK_VARIABLE) === mark)
    .map((entry) => entry.processId);
}

/** Resolves with the first result that is neither undefined nor false. */
export async function until<Result>(
  what: string,
  look: () => Result | undefined | false,
): Promise<Result> {
  const endAtMs = performance.now() + WAIT_LIMIT_MS;
  while (true) {
    const result = look();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > endAtMs) throw new Error(`Cannot wait longer for ${what}`);
    await delay(5);
  }
}
