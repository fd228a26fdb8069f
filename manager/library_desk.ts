/** The libraries of one manager: how they are declared and called, and functions shipped by value. */

import { createHash } from "node:crypto";

import { type AnyFunction, batchModule, functionModule } from "../shared/function_source.ts";
import type { FileId } from "../shared/ids.ts";
import type { LibraryProgram } from "../shared/library.ts";
import { statedResources } from "../shared/resources.ts";
import { readArguments } from "./call_arguments.ts";
import { type LibraryCallOptions, readCall } from "./call_option.ts";
import { type FanOut, mapCalls, readEnds, reduceItems } from "./fan_out.ts";
import { Library, type LibraryOwner, readCallError, readCallValue } from "./library.ts";
import {
  type CheckedInstance,
  type LibraryOptions,
  plainInstance,
  readLibrary,
} from "./library_option.ts";
import { declareBytes, declareProgram, programEntries } from "./library_source.ts";
import { type MapOptions, readMap, readReduce, type ReduceOptions } from "./map_option.ts";
import { readOptions } from "./option.ts";
import { PackageCopies } from "./package_copy.ts";
import { readRun, type RunOptions } from "./run_option.ts";
import type { Shell } from "./shell.ts";
import {
  type CallOptions,
  type CheckedCall,
  type CheckedProcess,
  checkProcess,
  isForMany,
  PROCESS_READERS,
  type ProcessOptions,
  toArgument,
  toMount,
} from "./task_definition.ts";
import type { TaskHandle } from "./task_handle.ts";

/**
 * Libraries of shipped functions that are kept for further calls: a script may ship a function with
 * another context for each of its calls, and each of them has a library.
 */
const SHIPPED_MAX = 64;

const CALL_VALUE_READERS = { readValue: readCallValue, readError: readCallError };

/** A function as it is shipped: the library that it is called in. */
interface Shipment {
  readonly name: string;
  readonly text: string;
  readonly process: CheckedProcess;
}

/** Declares libraries, and calls their functions. */
export class LibraryDesk {
  readonly #shell: Shell;
  readonly #checkOpen: () => void;
  readonly #packages: PackageCopies;
  readonly #names: Set<string> = new Set();
  /** `{library of a shipped function: its module}`, the one that was called last at the end. */
  readonly #shipped: Map<string, FileId> = new Map();
  /** `{options of a library: the same, read}`, of those that are the same for each call. */
  readonly #checked: WeakMap<CallOptions, CheckedCall> = new WeakMap();

  /** `folder` is the manager's own; `checkOpen` throws once the manager is closed. */
  constructor(shell: Shell, options: { readonly folder: string; readonly checkOpen: () => void }) {
    this.#shell = shell;
    this.#checkOpen = options.checkOpen;
    this.#packages = new PackageCopies(shell.store, options.folder);
  }

  /** Ends what is under way in the folder. */
  async close(): Promise<void> {
    await this.#packages.close();
  }

  /** See `Manager.library`. */
  declare<Module>(options: LibraryOptions): Library<Module> {
    const { store } = this.#shell;
    const checked = readLibrary(options, store);
    if (this.#names.has(checked.name)) {
      throw new RangeError(`Cannot declare library "${checked.name}": the name is taken`);
    }
    const program = declareProgram(checked.code, { store, packages: this.#packages });
    return this.#declare(checked, program);
  }

  /** See `Manager.run`. */
  run(given: AnyFunction | RunOptions, args: readonly unknown[]): TaskHandle<unknown> {
    const { fn, context, process, call: options } = readRun(given);
    const shipment = this.#pack("run", functionModule(fn, context), process);
    return this.#call(this.#ship(shipment), "run", { args, options });
  }

  /** See `Manager.map` and `Manager.pair`, one of which is the `owner` of the options. */
  async map(
    fn: AnyFunction,
    calls: Iterable<readonly unknown[]>,
    { owner, options }: { readonly owner: "map" | "pair"; readonly options: MapOptions },
  ): Promise<unknown[]> {
    const { items, call, context } = readMap(owner, options);
    const stops = items.failures !== "collect";
    const module = batchModule(fn, context);
    return await mapCalls(this.#batch(module, call, (some) => ["each", some, stops]), calls, items);
  }

  /** See `Manager.treeReduce`. */
  async treeReduce(
    fn: AnyFunction,
    items: Iterable<unknown>,
    options: ReduceOptions,
  ): Promise<unknown> {
    const { tree, call, context } = readReduce(options);
    const module = batchModule(fn, context);
    return await reduceItems(this.#batch(module, call, (lists) => ["fold", lists]), items, tree);
  }

  /** Many calls in each task of a module that takes them; `toCall` makes one call of them. */
  #batch(
    module: string,
    options: CallOptions,
    toCall: (calls: readonly unknown[]) => readonly [name: string, ...args: readonly unknown[]],
  ): FanOut {
    this.#checkOpen();
    const shipment = this.#pack("map", module, {});
    return {
      hungry: () => this.#shell.hungry(),
      submit: (calls) => {
        const [name, ...args] = toCall(calls);
        const task = this.#call(this.#ship(shipment), name, { args, options });
        return { task, ended: task.value().then((ends) => readEnds(task, ends)) };
      },
    };
  }

  /** A module that is to be run so, under a name that is its own. */
  #pack(prefix: "run" | "map", text: string, options: ProcessOptions): Shipment {
    const read = readOptions<ProcessOptions>(options, prefix, PROCESS_READERS);
    const process = checkProcess(read, this.#shell.store);
    const environments = process.environments.map(({ id }) => id);
    const runsIn = JSON.stringify([process.request, process.env, environments]);
    const digest = createHash("sha256").update(runsIn).update(text).digest("hex").slice(0, 32);
    return { name: `${prefix}-${digest}`, text, process };
  }

  /** The name of the library for a function that is called now; others may be forgotten for it. */
  #ship({ name, text, process }: Shipment): string {
    const { store, engine } = this.#shell;
    const known = this.#shipped.get(name);
    const module = known ?? declareBytes(new TextEncoder().encode(text), store).id;
    this.#shipped.delete(name);
    this.#shipped.set(name, module);
    if (known !== undefined) return name;
    this.#declare(plainInstance(name, process), { kind: "javascript", module });
    if (this.#shipped.size <= SHIPPED_MAX) return name;
    const [[oldest, oldModule] = []] = this.#shipped;
    if (oldest === undefined || oldModule === undefined) return name;
    this.#shipped.delete(oldest);
    this.#names.delete(oldest);
    engine.push({ kind: "library_undeclared", name: oldest });
    store.release(oldModule);
    return name;
  }

  #declare<Module>(
    checked: CheckedInstance,
    program: LibraryProgram<FileId>,
  ): Library<Module> {
    const { store, engine } = this.#shell;
    const { name, mode, context, contextArguments, files, slots, instanceCount } = checked;
    const { inputs, environments, request, env } = checked;
    const used = [...programEntries(program, store), ...environments, ...files];
    for (const file of used) store.useAsInput(file);
    for (const { entry } of inputs) store.useAsInput(entry);
    this.#names.add(name);
    engine.push({
      kind: "library_declared",
      library: {
        name,
        program,
        mode,
        context,
        contextArguments,
        slots,
        instanceCount,
        resources: statedResources(request),
        env,
        environments: environments.map(({ id }) => id),
        inputs: files.map(toArgument).concat(inputs.map(toMount)),
      },
    });
    const owner: LibraryOwner = {
      call: (...call) => this.#call(...call),
      hungry: () => this.#shell.hungry(),
    };
    return new Library({ name, owner, hasBatches: program.kind !== "command", options: {} });
  }

  /** What a library was given for its calls is read for the first of them. */
  #read(options: LibraryCallOptions): CheckedCall {
    const known = this.#checked.get(options);
    if (known !== undefined) return known;
    const call = readCall(options, this.#shell.store);
    if (isForMany(call)) this.#checked.set(options, call);
    return call;
  }

  #call(
    library: string,
    name: string,
    { args, options }: { readonly args: readonly unknown[]; readonly options: LibraryCallOptions },
  ): TaskHandle<unknown> {
    this.#checkOpen();
    const { store, tasks } = this.#shell;
    const open = readArguments(name, args, { store, owner: tasks });
    return tasks.call<unknown>(open, {
      call: this.#read(options),
      runsIn: { library },
      readers: CALL_VALUE_READERS,
    });
  }
}
