/** The libraries of one manager: how they are declared and called, and functions shipped by value. */

import { createHash } from "node:crypto";

import { functionModule } from "../shared/function_source.ts";
import { statedResources } from "../shared/resources.ts";
import type { FileHandle } from "./file_handle.ts";
import type { FileSpec } from "./file_store.ts";
import {
  type CheckedLibrary,
  encodeCall,
  Library,
  type LibraryOptions,
  readCallError,
  readCallValue,
  readLibrary,
} from "./library.ts";
import { moduleSource } from "./library_source.ts";
import { throwLater } from "./manager_parts.ts";
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
    const source = new TextEncoder().encode(functionModule(fn));
    const digest = createHash("sha256").update(source).digest("hex").slice(0, 32);
    const name = `run-${digest}`;
    if (!this.#names.has(name)) {
      const runsIn = checkProcess({}, this.#shell.store);
      this.#declare({ ...runsIn, name, context: "", slots: 1 }, source);
    }
    return this.#call(name, "run", { args, options: {} });
  }

  #declare(
    checked: Omit<CheckedLibrary, "module" | "from">,
    source: Uint8Array | Promise<Uint8Array>,
  ): Library {
    const { store, engine } = this.#shell;
    const { name, context, slots, request, env, environments } = checked;
    const module = store.declare(sourceSpec(source));
    const entry = store.entryOf(module, "module");
    for (const file of [entry, ...environments]) store.useAsInput(file);
    this.#names.add(name);
    engine.push({
      kind: "library_declared",
      library: {
        name,
        module: entry.id,
        context,
        slots,
        resources: statedResources(request),
        env,
        environments: environments.map(({ id }) => id),
      },
    });
    return new Library(name, { call: (...call) => this.#call(...call) });
  }

  #call(
    library: string,
    name: string,
    { args, options }: { readonly args: readonly unknown[]; readonly options: CallOptions },
  ): TaskHandle<unknown> {
    this.#checkOpen();
    const { store, tasks } = this.#shell;
    let long: FileHandle | undefined;
    const { files, ...body } = encodeCall(name, args, {
      store,
      keep: (bytes) => long = store.declare(sourceSpec(bytes)),
    });
    const handle = tasks.submit<unknown>({
      call: readCall(options, store),
      body: { kind: "call", ...body },
      files,
      runsIn: { library },
      readers: { readValue: readCallValue, readError: readCallError },
    });
    // No other task will have these arguments.
    if (long !== undefined) store.undeclare(store.entryOf(long, "file")).catch(throwLater);
    return handle;
  }
}

/** Code, or arguments, that the manager itself ships. */
function sourceSpec(bytes: Uint8Array | Promise<Uint8Array>): FileSpec {
  return {
    source: { kind: "buffer", bytes },
    level: "workflow",
    peerTransfer: true,
  };
}
