/** A flow: the calls of apps between `load` and its end. */

import process from "node:process";

import { resolve } from "@std/path";

import type { TaskId } from "../../shared/ids.ts";
import type { ManagerOptions, PolicyOptions } from "../config.ts";
import type { AppFact } from "../core/fact.ts";
import { Manager } from "../manager.ts";
import { tell } from "../notice.ts";
import {
  type Closable,
  noteClosed,
  noteOpenedBeside,
  noteUnseenFailure,
} from "../open_managers.ts";
import type { AppFuture } from "./future.ts";
import type { Executor } from "./executor.ts";
import { unseenLine, waitForCalls } from "./flow_end.ts";
import {
  type CheckedFlow,
  checkFlow,
  checkUnmanaged,
  type FlowOptions,
  readFlow,
} from "./flow_options.ts";
import type { FlowMemory } from "./flow_memory.ts";
import { openMemory } from "./open_memory.ts";
import { Kernel } from "./kernel.ts";
import { LOCAL_STAGING } from "./local_staging.ts";
import { ManagerExecutor } from "./manager_executor.ts";
import { Monitors } from "./monitor.ts";
import { Packing } from "./packing.ts";
import { PlacedFile } from "./placed_file.ts";
import { type Recipe, recipeOf } from "./recipe.ts";
import { Stager, type StagingTask } from "./stager.ts";
import { streamsOf } from "./stream_option.ts";
import { TryFiles } from "./try_files.ts";
import { URL_STAGING } from "./url_staging.ts";
import { ZIP_STAGING } from "./zip_staging.ts";

/** Flows that are open, the newest at the end: apps are called in that one. */
const flows: Flow[] = [];

/** Where streams go that the flow names, of a run without records. */
const OUTPUT_FOLDER = "tendril-output";

/** Of flows that say nothing. */
const DEFAULT_EXECUTORS = ["manager"] as const;

/** A running flow. */
export class Flow implements AsyncDisposable {
  readonly #kernel: Kernel;
  readonly #stager: Stager;
  readonly #manager: Manager | undefined;
  readonly #isOwnManager: boolean;
  readonly #executors: readonly Executor[];
  readonly #exit: "wait" | "cancel";
  readonly #interrupted: Closable;
  readonly #memory: FlowMemory;
  readonly #monitors: Monitors;
  readonly #packing: Packing | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Flows are made by `load`.
   *
   * @internal
   */
  constructor(parts: FlowParts) {
    this.#kernel = parts.kernel;
    this.#stager = parts.stager;
    this.#manager = parts.manager;
    this.#isOwnManager = parts.isOwnManager;
    this.#executors = parts.executors;
    this.#exit = parts.exit;
    this.#monitors = parts.monitors;
    this.#packing = parts.packing;
    this.#interrupted = { close: () => this.#end("the process was interrupted") };
    noteOpenedBeside(this.#interrupted);
    this.#manager?.onClosed(() => this.#kernel.close("the manager was closed"));
    this.#memory = parts.memory;
  }

  /**
   * The manager, for what is not said by apps.
   *
   * @throws {Error} When the flow has none.
   */
  get manager(): Manager {
    if (this.#manager !== undefined) return this.#manager;
    throw new Error("Cannot use the manager of a flow whose executors are all without one");
  }

  /** Calls that have not ended. */
  get openCount(): number {
    return this.#kernel.openCount;
  }

  /**
   * Calls an app.
   *
   * @internal
   */
  call<T, Outputs extends string>(
    recipe: Recipe,
    args: readonly unknown[],
  ): AppFuture<T, Outputs> {
    const packing = this.#packing;
    if (packing === undefined) return this.#kernel.call<T, Outputs>(recipe, args);
    return this.#kernel.call<T, Outputs>(packing.recipe(recipe), packing.pack(args));
  }

  /** Waits until all calls have ended, however. */
  async wait(): Promise<void> {
    await this.#kernel.whenIdle();
  }

  /** Cancels all calls that have not ended. */
  cancel(): void {
    this.#kernel.cancelAll("all calls were cancelled");
  }

  /**
   * Brings what was remembered so far to where later runs find it.
   *
   * @throws {Error} When it cannot be written.
   */
  async checkpoint(): Promise<void> {
    await this.#memory.flush();
  }

  /** Waits for the calls, or cancels them, as `exit` says; then ends what the flow has started. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    if (this.#exit === "wait") await waitForCalls(this.#kernel, { write: writeLine });
    await this.#end("the flow was closed");
    if (this.#isOwnManager) await this.#manager?.close();
    const line = unseenLine(this.#kernel);
    if (line === undefined) return;
    writeLine(line);
    noteUnseenFailure();
  }

  /** Cancels what is left, and ends the executors; its manager has its own end. */
  async #end(why: string): Promise<void> {
    this.#kernel.close(why);
    const index = flows.indexOf(this);
    if (index >= 0) flows.splice(index, 1);
    await this.#memory.close();
    for (const executor of this.#executors.toReversed()) await executor.close();
    await this.#monitors.close();
    if (this.#isOwnManager) await this.#manager?.close();
    await this.#stager.close();
    noteClosed(this.#interrupted);
  }
}

/** What a flow is made of. */
export interface FlowParts {
  readonly kernel: Kernel;
  readonly stager: Stager;
  readonly manager: Manager | undefined;
  readonly isOwnManager: boolean;
  readonly executors: readonly Executor[];
  readonly exit: "wait" | "cancel";
  readonly memory: FlowMemory;
  readonly monitors: Monitors;
  readonly packing: Packing | undefined;
}

/**
 * Starts a flow: from now on apps can be called. What it is given beside its own options is for its
 * manager.
 *
 * @returns The flow; at the end of a block with `await using` it waits for its calls.
 * @throws {TypeError | RangeError} When an option is unknown or has a wrong value.
 *
 * @example
 * ```ts
 * await using flow = await load({ retries: 2, workers: 2 });
 * const double = app((n: number) => 2 * n);
 * console.log(await double(double(3))); // 12
 * ```
 */
export async function load(options: FlowOptions = {}): Promise<Flow> {
  const { own, forManager } = readFlow(options);
  checkFlow(own.executors ?? DEFAULT_EXECUTORS);
  const { managers, executors, isStarted } = await startPlaces(options, own, forManager);
  // Calls are numbered, and told of, by the first one.
  const [manager] = managers;
  let lastId = 0;
  const monitors = new Monitors(own.monitors, tell);
  const { serializers } = own;
  const packing = serializers.length === 0 ? undefined : new Packing(serializers);
  const stager: Stager = new Stager({
    stagings: [...own.stagings, LOCAL_STAGING, URL_STAGING, ZIP_STAGING],
    run: (staging, executor, task) => runStaging(kernel, { staging, executor, task }),
  });
  const folder = (): string => manager?.makeRunDirectory() ?? resolve(OUTPUT_FOLDER);
  const naming = { naming: own.outputName, folder };
  const memory = await openMemory(own, { manager, again: (call) => kernel.again(call) })
    .catch(async (error: unknown) => {
      if (isStarted) await manager?.close();
      throw error;
    });
  const kernel: Kernel = new Kernel({
    executors,
    chooseExecutor: own.chooseExecutor,
    resolver: own.resolver,
    retry: own.retry,
    newId: manager === undefined ? () => ++lastId as TaskId : () => manager.newCallId(),
    note: (fact: AppFact) => {
      manager?.noteApp(fact);
      monitors.note(fact);
    },
    files: new TryFiles(stager),
    streamsOf: (recipe, id) => streamsOf(recipe, id, naming),
    checkFile: (file, side) => stager.check(file, side),
    stageIn: (file, executor, call) => stager.stageIn(file, executor, call),
    release: (call) => stager.release(call),
    placeHandle: (handle) => {
      const manager = managers.find((one) => one.owns(handle));
      if (manager !== undefined) return new PlacedFile({ kind: "handle", handle, manager });
      throw new TypeError("Cannot take a file of a manager that the flow does not have");
    },
    ensure: (call) => memory.ensure(call),
    memory,
    packing,
  });
  const parts = {
    kernel,
    stager,
    manager,
    isOwnManager: isStarted,
    executors,
    memory,
    monitors,
    packing,
  };
  const flow = new Flow({ ...parts, exit: own.exit });
  flows.push(flow);
  return flow;
}

/** Where calls can run. */
interface Places {
  /** The flow's own one first. */
  readonly managers: readonly Manager[];
  readonly executors: readonly Executor[];
  /** Whether the first manager ends with the flow. */
  readonly isStarted: boolean;
}

/** Starts a manager where one is needed, and makes its executor. */
async function startPlaces(
  options: FlowOptions,
  own: CheckedFlow,
  forManager: ManagerOptions,
): Promise<Places> {
  const { executors: given = DEFAULT_EXECUTORS, tune } = own;
  const isStarted = own.manager === undefined && given.includes("manager");
  if (!isStarted) checkUnmanaged(options);
  const policies: PolicyOptions = { ...forManager.policies, ...tune };
  const started = isStarted
    ? await Manager.start({ ...forManager, ...(tune === undefined ? {} : { policies }) })
    : own.manager;
  const managers = [
    ...(started === undefined ? [] : [started]),
    ...given.flatMap((one) => one instanceof ManagerExecutor ? [one.manager] : []),
  ];
  const executors = given.map((one) => {
    if (one === "manager") return new ManagerExecutor(started as Manager);
    if (one instanceof ManagerExecutor && one.manager === managers[0]) one.beHome();
    return one;
  });
  return { managers, executors, isStarted };
}

/** Runs a command of a staging as a call of its own; gives what it made. */
async function runStaging(
  kernel: Kernel,
  { staging, executor, task }: {
    readonly staging: string;
    readonly executor: Executor;
    readonly task: StagingTask;
  },
): Promise<PlacedFile> {
  const { command, inputs, output } = task;
  const name = `stage_${staging}`;
  const made = recipeOf({ kind: "command", function: name, make: () => command }, {
    name,
    options: { executor: executor.label, memoize: false, outputs: { file: output } },
  });
  const future = kernel.call<unknown, "file">({ ...made, inputs }, []);
  return await future.outputs.file.placed();
}

function writeLine(line: string): void {
  process.stderr.write(line);
}

/** The flow in which apps are called. */
export function currentFlow(app: string): Flow {
  const flow = flows.at(-1);
  if (flow !== undefined) return flow;
  throw new Error(`Cannot call "${app}" without a flow: await load({ … }) first`);
}
