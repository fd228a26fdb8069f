/** The libraries of one manager: how they are declared and called, and functions shipped by value. */

import { createHash } from "node:crypto";

import { batchModule, functionModule } from "../shared/function_source.ts";
import { NO_ARGUMENTS } from "../shared/library.ts";
import { statedResources } from "../shared/resources.ts";
import { readArguments } from "./call_arguments.ts";
import { type FanOut, type ItemEnd, mapCalls, reduceItems, thrownError } from "./fan_out.ts";
import type { FileSpec } from "./file_store.ts";
import {
  type CheckedLibrary,
  Library,
  type LibraryOptions,
  readCallError,
  readCallValue,
  readLibrary,
} from "./library.ts";
import { type MapOptions, readMap, readReduce, type ReduceOptions } from "./map_option.ts";
import { moduleSource } from "./library_source.ts";
import type { Shell } from "./shell.ts";
import { type CallOptions, checkProcess, readCall } from "./task_definition.ts";
import type { TaskHandle } from "./task_handle.ts";

/** Declares libraries, and calls their functions. */
export class LibraryDesk {
  readonly #shell: Shell;
  readonly #checkOpen: () => void;
  readonly #names: Set<string> = new Set();

  /** `checkOpen` throws once the manager is closed. */
  constructor(shell: Shell, checkOpen: () => void) {
    this.#shell = shell;
    this.#checkOpen = checkOpen;
  }

  /** See `Manager.library`. */
  declare(options: LibraryOptions): Library {
    const checked = readLibrary(options, this.#shell.store);
    if (this.#names.has(checked.name)) {
      throw new RangeError(`Cannot declare library "${checked.name}": the name is taken`);
    }
    const source = moduleSource(checked.module, checked.from);
    // Whoever names the file hears of a failure; this keeps it from being unhandled until then.
    source.catch(() => {});
    return this.#declare(checked, source);
  }

  /** See `Manager.run`. */
  run(fn: (...args: never[]) => unknown, args: readonly unknown[]): TaskHandle<unknown> {
    const name = this.#ship("run", functionModule(fn));
    return this.#call(name, "run", { args, options: {} });
  }

  /** See `Manager.map` and `Manager.pair`, one of which is the `owner` of the options. */
  async map(
    fn: (...args: never[]) => unknown,
    calls: Iterable<readonly unknown[]>,
    { owner, options }: { readonly owner: "map" | "pair"; readonly options: MapOptions },
  ): Promise<unknown[]> {
    const { items, call } = readMap(owner, options);
    const stops = items.failures !== "collect";
    return await mapCalls(this.#batch(fn, call, (some) => ["each", some, stops]), calls, items);
  }

  /** See `Manager.treeReduce`. */
  async treeReduce(
    fn: (...args: never[]) => unknown,
    items: Iterable<unknown>,
    options: ReduceOptions,
  ): Promise<unknown> {
    const { tree, call } = readReduce(options);
    return await reduceItems(this.#batch(fn, call, (lists) => ["fold", lists]), items, tree);
  }

  /** Many calls of `fn`, shipped by value, in each task; `toCall` makes one call of them. */
  #batch(
    fn: (...args: never[]) => unknown,
    options: CallOptions,
    toCall: (calls: readonly unknown[]) => readonly [name: string, ...args: readonly unknown[]],
  ): FanOut {
    this.#checkOpen();
    const library = this.#ship("map", batchModule(fn));
    return {
      hungry: () => this.#shell.hungry(),
      submit: (calls) => {
        const [name, ...args] = toCall(calls);
        const task = this.#call(library, name, { args, options });
        return { task, ended: task.value().then((ends) => readEnds(task, ends)) };
      },
    };
  }

  /** The name of a library for this source, declared when it is first wanted. */
  #ship(prefix: "run" | "map", text: string): string {
    const source = new TextEncoder().encode(text);
    const digest = createHash("sha256").update(source).digest("hex").slice(0, 32);
    const name = `${prefix}-${digest}`;
    if (this.#names.has(name)) return name;
    const runsIn = checkProcess({}, this.#shell.store);
    this.#declare({ ...runsIn, name, context: "", slots: 1 }, source);
    return name;
  }

  #declare(
    checked: Omit<CheckedLibrary, "module" | "from">,
    source: Uint8Array | Promise<Uint8Array>,
  ): Library {
    const { store, engine } = this.#shell;
    const { name, context, slots, request, env, environments } = checked;
    const module = store.declare(sourceSpec(source));
    const entry = store.entryOf(module, "module");
    const program = { kind: "javascript", module: entry.id } as const;
    for (const file of [entry, ...environments]) store.useAsInput(file);
    this.#names.add(name);
    engine.push({
      kind: "library_declared",
      library: {
        name,
        program,
        mode: "direct",
        context,
        contextArguments: NO_ARGUMENTS,
        slots,
        instanceCount: 0,
        resources: statedResources(request),
        env,
        environments: environments.map(({ id }) => id),
        inputs: [],
      },
    });
    return new Library(name, {
      call: (...call) => this.#call(...call),
      hungry: () => this.#shell.hungry(),
    });
  }

  #call(
    library: string,
    name: string,
    { args, options }: { readonly args: readonly unknown[]; readonly options: CallOptions },
  ): TaskHandle<unknown> {
    this.#checkOpen();
    const { store, tasks } = this.#shell;
    const open = readArguments(name, args, { store, owner: tasks });
    const call = readCall(options, store);
    return tasks.call<unknown>(open, {
      call,
      runsIn: { library },
      readers: { readValue: readCallValue, readError: readCallError },
    });
  }
}

/** How the calls of one task ended, as `batchModule` says it. */
function readEnds(task: TaskHandle<unknown>, ends: unknown): readonly ItemEnd[] {
  // Only a source of our own makes them.
  return (ends as readonly (readonly [boolean, ...unknown[]])[]).map(([isOk, ...rest]) => {
    if (isOk) return { isOk, value: rest[0] };
    const [name, message, stack] = rest.map(String);
    const thrown = { name: name ?? "Error", message: message ?? "", stack: stack ?? "" };
    return { isOk: false, error: thrownError(task, thrown) };
  });
}

/** Code that the manager itself ships. */
function sourceSpec(bytes: Uint8Array | Promise<Uint8Array>): FileSpec {
  return {
    source: { kind: "buffer", bytes },
    level: "workflow",
    peerTransfer: true,
  };
}
