/** The executor of a flow's manager: tries are its tasks, values and files stay in its cluster. */

import { createHash } from "node:crypto";

import { FileHandle } from "../file_handle.ts";
import type { TaskEnd } from "../core/instruction.ts";
import type { Library } from "../library.ts";
import type { LibraryOptions } from "../library_option.ts";
import { Manager } from "../manager.ts";
import { show } from "../option.ts";
import type { TaskHandle } from "../task_handle.ts";
import type { TaskResult } from "../task_result.ts";
import { messageOf } from "./app_error.ts";
import type {
  AppTarget,
  AppTry,
  Executor,
  FailureKind,
  RunningTry,
  TryEnd,
  TryOutput,
} from "./executor.ts";
import { File } from "./file.ts";
import { ForeignFiles } from "./foreign_files.ts";
import { mapLeaves } from "./leaves.ts";
import { ManagerStreams } from "./manager_streams.ts";
import { type MadeFacts, pathOptionsOf, PlacedFile } from "./placed_file.ts";
import { StoredValue } from "./stored_value.ts";
import { UnusedFiles } from "./unused_files.ts";

/** What a command that succeeded gives. */
export interface CommandValue {
  /** Always 0. */
  readonly exitCode: number;
  /** The end of what it wrote, at most 64 KiB. */
  readonly stdout: string;
  /** As `stdout`, and apart from it. */
  readonly stderr: string;
}

/** Schemes that workers write to by themselves. */
const WORKER_SCHEMES: ReadonlySet<string> = new Set(["http", "https", "ftp"]);

/** What is known of calls of one target. */
interface Prepared {
  /** With the options that all calls have alike. */
  readonly library: Library | undefined;
  readonly environments: readonly FileHandle[];
}

/** A try with what was declared for it. */
interface GivenTry {
  readonly aTry: AppTry;
  readonly outputs: ReadonlyMap<string, FileHandle>;
  readonly streams: ManagerStreams;
}

const NO_FILES: ReadonlyMap<string, FileHandle> = new Map();
const NO_OUTPUTS: { readonly [name: string]: PlacedFile } = Object.freeze({});

/** Runs tries on a manager. */
export class ManagerExecutor implements Executor {
  readonly label: string;
  readonly #manager: Manager;
  readonly #prepared: WeakMap<AppTarget, Prepared> = new WeakMap();
  /** `{what it is made of: library}` */
  readonly #libraries: Map<string, Library> = new Map();
  readonly #environments: Map<string, FileHandle> = new Map();
  /** Numbers of bodies: two of them are the same code only if they are the same object. */
  readonly #bodies: WeakMap<AppTarget["body"], number> = new WeakMap();
  #bodyCount = 0;
  #isHome: boolean;
  /** Of tries that are calls: nothing of them is wanted whole. */
  readonly #noStreams: ManagerStreams;
  readonly #foreign: ForeignFiles;
  readonly #unused: UnusedFiles = new UnusedFiles();

  constructor(manager: Manager, { label = "manager", isHome = true }: {
    readonly label?: string;
    /** Whether calls are numbered by it, so that its tasks are told of as their tries. */
    readonly isHome?: boolean;
  } = {}) {
    this.#manager = manager;
    this.label = label;
    this.#isHome = isHome;
    this.#noStreams = new ManagerStreams(manager, {});
    this.#foreign = new ForeignFiles(manager);
  }

  /** Whose tasks its tries are. */
  get manager(): Manager {
    return this.#manager;
  }

  /** The numbers of calls are those of its manager from now on. */
  beHome(): void {
    this.#isHome = true;
  }

  /** See `Executor`. */
  places({ scheme }: File): boolean {
    return scheme === "file" || WORKER_SCHEMES.has(scheme);
  }

  /** See `Executor`. */
  refusal(): undefined {
    return undefined;
  }

  /** See `Executor`. */
  owns({ content }: StoredValue): boolean {
    return content.kind === "task" && this.#manager.owns(content.handle);
  }

  /** See `Executor`. */
  submit(aTry: AppTry, onEnd: (end: TryEnd) => void): RunningTry {
    const coming = this.#foreign.bring(aTry);
    if (coming === undefined) return this.#begin(aTry, onEnd);
    let running: RunningTry | undefined;
    let isCancelled = false;
    coming.then((brought) => {
      if (isCancelled) return onEnd(failed("cancelled", "The try was cancelled"));
      running = this.#begin(brought, onEnd);
    }).catch((error: unknown) => onEnd(failed("transfer_failed", error)));
    return {
      get task() {
        return running?.task;
      },
      cancel: () => {
        isCancelled = true;
        running?.cancel();
      },
    };
  }

  /** The manager is its owner's to close. */
  async close(): Promise<void> {
    await this.#foreign.close();
  }

  #begin(aTry: AppTry, onEnd: (end: TryEnd) => void): RunningTry {
    const outputs = this.#declare(aTry.outputs);
    const isCommand = aTry.target.body.kind === "command";
    const streams = isCommand ? new ManagerStreams(this.#manager, aTry) : this.#noStreams;
    const given = { aTry, outputs, streams };
    const run = (): TaskHandle<unknown> => {
      return isCommand ? this.#submit(aTry, outputs, streams) : this.#call(aTry, outputs);
    };
    const task = this.#isHome ? this.#manager.asTryOf(aTry.callId, run) : run();
    task.onEnded((ended) => {
      // Not within the manager's step: who hears of it may call what they like.
      queueMicrotask(() => {
        const end = plainEnd(task, ended, given) ?? this.#endOfTry(task, ended, given);
        const tell = (told: TryEnd): void => {
          this.#watch(task, told);
          onEnd(told);
        };
        if (end instanceof Promise) void end.then(tell);
        else tell(end);
      });
    });
    return { task, cancel: () => task.cancel() };
  }

  /** What the try has made goes when nobody can ask for it any more. */
  #watch(task: TaskHandle<unknown>, end: TryEnd): void {
    if (end.kind !== "done") return;
    if (task.valueFile !== undefined) this.#unused.watch(end.value, task.valueFile);
    for (const file of Object.values(end.outputs)) {
      const { placement } = file;
      const isTemp = placement.kind === "handle" && placement.handle.kind === "temp";
      if (isTemp) this.#unused.watch(file, placement.handle);
    }
  }

  #submit(
    aTry: AppTry,
    outputs: ReadonlyMap<string, FileHandle>,
    streams: ManagerStreams,
  ): TaskHandle<unknown> {
    const { target: { process, call }, command = "", inputs } = aTry;
    const { environments } = this.#prepare(aTry.app, aTry.target);
    return this.#manager.submit({
      ...call,
      ...process,
      command: streams.redirected(command),
      ...(environments.length === 0 ? {} : { environment: environments }),
      inputs: this.#inputsOf(inputs),
      outputs: { ...mountsOf(aTry.outputs, outputs), ...streams.outputs },
    });
  }

  #call(aTry: AppTry, outputs: ReadonlyMap<string, FileHandle>): TaskHandle<unknown> {
    const { target, args, inputs } = aTry;
    const { library } = this.#prepare(aTry.app, target);
    if (library === undefined) throw new TypeError(`Cannot call "${aTry.app}": it is no function`);
    const passed = mapLeaves(args, (leaf) => this.#passed(leaf)) as readonly unknown[];
    const hasFiles = outputs.size > 0 || Object.keys(inputs).length > 0;
    const called = hasFiles
      ? library.with({ inputs: this.#inputsOf(inputs), outputs: mountsOf(aTry.outputs, outputs) })
      : library;
    return called.call(target.body.function, ...passed);
  }

  #inputsOf(inputs: AppTry["inputs"]): { readonly [mount: string]: FileHandle } {
    return Object.fromEntries(
      Object.entries(inputs).map(([mount, file]) => [mount, this.#handleOf(file)]),
    );
  }

  #passed(leaf: object): unknown {
    if (leaf instanceof PlacedFile) return this.#handleOf(leaf);
    if (leaf instanceof StoredValue && leaf.content.kind === "task") return leaf.content.handle;
    return leaf;
  }

  #handleOf({ placement, name }: PlacedFile): FileHandle {
    if (placement.kind === "handle") return placement.handle;
    return this.#manager.file(placement.path, pathOptionsOf(name));
  }

  /** Declares what a try is to make. */
  #declare(outputs: AppTry["outputs"]): ReadonlyMap<string, FileHandle> {
    const names = Object.keys(outputs);
    if (names.length === 0) return NO_FILES;
    const declared = new Map<string, FileHandle>();
    for (const name of names) {
      const to = outputs[name]?.to;
      const options = pathOptionsOf(to?.name ?? baseOf(outputs[name]) ?? "");
      if (to?.scheme === "file") declared.set(name, this.#manager.file(to.path, options));
      else if (to !== undefined && WORKER_SCHEMES.has(to.scheme)) {
        declared.set(name, this.#manager.url(to.url, options));
      } else declared.set(name, this.#manager.temp(options));
    }
    return declared;
  }

  #endOfTry(
    task: TaskHandle<unknown>,
    ended: TaskEnd,
    given: GivenTry,
  ): TryEnd | Promise<TryEnd> {
    const result = task.resultOf(ended);
    return given.aTry.streams === undefined
      ? this.#endOf(task, result, given)
      : this.#endWithStreams(task, result, given);
  }

  #endOf(
    task: TaskHandle<unknown>,
    result: TaskResult,
    { aTry, outputs }: Pick<GivenTry, "aTry" | "outputs">,
  ): TryEnd {
    const { outcome, message, workerId, host, stdout, stderr, exitCode, signal, times } = result;
    if (outcome === "success") {
      const value = task.isCall
        ? StoredValue.ofTask(task)
        : StoredValue.plain({ exitCode: 0, stdout, stderr } satisfies CommandValue);
      const made: { [name: string]: PlacedFile } = {};
      for (const [name, handle] of outputs) {
        const file = new PlacedFile(
          { kind: "handle", handle, manager: this.#manager },
          aTry.outputs[name]?.to?.name ?? baseOf(aTry.outputs[name]),
        );
        file.facts = factsOf(task, handle);
        made[name] = file;
      }
      return { kind: "done", value, outputs: made, workerId, host, ranMs: times.ranMs };
    }
    const { ended } = task;
    const thrown = ended && task.failureOf(ended, result);
    return {
      kind: "failed",
      failure: {
        kind: outcome,
        message: thrown?.message ?? message,
        ...(thrown?.cause === undefined ? {} : { cause: thrown.cause }),
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(signal === undefined ? {} : { signal }),
        workerId,
        host,
        stdout,
        stderr,
      },
    };
  }

  /** As `#endOf`, with all that the try wrote. */
  async #endWithStreams(
    task: TaskHandle<unknown>,
    result: TaskResult,
    { aTry, outputs, streams }: GivenTry,
  ): Promise<TryEnd> {
    const { stdout, stderr } = result;
    if (task.isCall) {
      return { ...this.#endOf(task, result, { aTry, outputs }), streams: { stdout, stderr } };
    }
    try {
      const { ends, ...written } = await streams.take(result.outcome === "success");
      return { ...this.#endOf(task, { ...result, ...ends }, { aTry, outputs }), ...written };
    } catch (error) {
      streams.release();
      const message = `what it wrote cannot be had: ${messageOf(error)}`;
      return { kind: "failed", failure: { kind: "transfer_failed", message, stdout, stderr } };
    }
  }

  #prepare(app: string, target: AppTarget): Prepared {
    const known = this.#prepared.get(target);
    if (known !== undefined) return known;
    const environments = target.environments.map((one) => this.#environment(one));
    const library = target.body.kind === "command"
      ? undefined
      : this.#library(app, target, environments).with(target.call);
    const prepared = { library, environments };
    this.#prepared.set(target, prepared);
    return prepared;
  }

  #environment(given: AppTarget["environments"][number]): FileHandle {
    if (given instanceof FileHandle) return given;
    const file = given instanceof File ? given : new File(given);
    const known = this.#environments.get(file.url);
    if (known !== undefined) return known;
    const archive = file.scheme === "file"
      ? this.#manager.file(file.path)
      : this.#manager.url(file.url);
    const environment = this.#manager.environment(archive);
    this.#environments.set(file.url, environment);
    return environment;
  }

  /** The library in which calls of that target are served: one for the same code and process. */
  #library(app: string, target: AppTarget, environments: readonly FileHandle[]): Library {
    const { body, process } = target;
    const made = [this.#numberOf(body), process, environments.map(({ id }) => id)];
    const key = JSON.stringify(made);
    const known = this.#libraries.get(key);
    if (known !== undefined) return known;
    const digest = createHash("sha256").update(key).digest("hex").slice(0, 8);
    const library = this.#manager.library({
      name: `${app}-${digest}`,
      ...process,
      ...(environments.length === 0 ? {} : { environment: environments }),
      ...codeOf(body),
    } as LibraryOptions);
    this.#libraries.set(key, library);
    return library;
  }

  #numberOf(body: AppTarget["body"]): number {
    const known = this.#bodies.get(body);
    if (known !== undefined) return known;
    this.#bodyCount += 1;
    this.#bodies.set(body, this.#bodyCount);
    return this.#bodyCount;
  }
}

/** How most tries end, without the result that scripts would read: a value and nothing else. */
function plainEnd(
  task: TaskHandle<unknown>,
  { outcome, workerId, host, result }: TaskEnd,
  { aTry, outputs }: GivenTry,
): TryEnd | undefined {
  const isPlain = outcome === "success" && task.isCall && outputs.size === 0 &&
    aTry.streams === undefined;
  if (!isPlain) return undefined;
  const value = StoredValue.ofTask(task);
  const ranMs = result?.times.ranMs ?? 0;
  return { kind: "done", value, outputs: NO_OUTPUTS, workerId, host, ranMs };
}

/** What the worker told of an output. */
function factsOf({ ended }: TaskHandle<unknown>, { cacheName }: FileHandle): MadeFacts | undefined {
  const facts = ended?.result?.outputs.find(({ name }) => name === cacheName);
  if (facts === undefined) return undefined;
  const { digest, sizeBytes, isDirectory, isExecutable = false } = facts;
  return { digest, sizeBytes, isDirectory, isExecutable, ...(isDirectory && { isStream: true }) };
}

/**
 * An executor for a manager that runs already, beside others of a flow: it goes on after the flow.
 *
 * @param label Unique in the flow.
 *
 * @example
 * ```ts
 * await using cluster = await Manager.start({ name: "cluster" });
 * await using flow = await load({ executors: ["manager", managed(cluster, "cluster")] });
 * const train = app("./train.ts", "train", { executor: "cluster" });
 * ```
 */
export function managed(manager: Manager, label: string): Executor {
  if (!(manager instanceof Manager)) {
    throw new TypeError(`Cannot take "${show(manager)}" as a manager: expected Manager.start()`);
  }
  return new ManagerExecutor(manager, { label, isHome: false });
}

function failed(kind: FailureKind, cause: unknown): TryEnd {
  return { kind: "failed", failure: { kind, message: messageOf(cause), cause } };
}

function codeOf(body: AppTarget["body"]): Partial<LibraryOptions> {
  switch (body.kind) {
    case "javascript":
      if (body.code === "value") {
        return { functions: { [body.function]: body.fn }, values: body.context };
      }
      if (body.code === "text") return { module: body.text };
      return { module: body.module, ...(body.from === undefined ? {} : { from: body.from }) };
    case "python":
      return { python: body.module, ...(body.from === undefined ? {} : { from: body.from }) };
    default:
      throw new TypeError("Cannot make a library of a command");
  }
}

function mountsOf(
  outputs: AppTry["outputs"],
  declared: ReadonlyMap<string, FileHandle>,
): { readonly [mount: string]: FileHandle } {
  return Object.fromEntries(
    Array.from(declared, ([name, handle]) => [outputs[name]?.mount ?? name, handle]),
  );
}

function baseOf(output: TryOutput | undefined): string | undefined {
  return output?.mount.split("/").at(-1);
}
