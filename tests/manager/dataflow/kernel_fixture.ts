/** A kernel with scripted executors, and apps for it. */

import type { AppFact } from "../../../manager/core/fact.ts";
import type { AppOptions } from "../../../manager/dataflow/app_options.ts";
import type { CallRecord } from "../../../manager/dataflow/call.ts";
import { DEEP_RESOLVER, type DependencyResolver } from "../../../manager/dataflow/dependency.ts";
import type { Executor, TryEnd, TryFailure } from "../../../manager/dataflow/executor.ts";
import { firstExecutor } from "../../../manager/dataflow/executor_choice.ts";
import type { AppFuture } from "../../../manager/dataflow/future.ts";
import { Kernel } from "../../../manager/dataflow/kernel.ts";
import { type Recipe, recipeOf, valueBody } from "../../../manager/dataflow/recipe.ts";
import { Stager } from "../../../manager/dataflow/stager.ts";
import { StoredValue } from "../../../manager/dataflow/stored_value.ts";
import { TryFiles } from "../../../manager/dataflow/try_files.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { ScriptedExecutor, type ScriptedTry } from "../../simulation/scripted_executor.ts";

/** What a kernel of a test is made of beside the usual. */
export interface KernelParts {
  readonly executors?: readonly Executor[];
  readonly resolver?: DependencyResolver;
  readonly ensure?: (call: CallRecord) => Promise<void> | undefined;
  readonly note?: (fact: AppFact) => void;
}

/** Makes a kernel without memory, files and retries of its own. */
export function newKernel(parts: KernelParts = {}): Kernel {
  let lastId = 0;
  const stager = new Stager({ stagings: [], run: () => Promise.reject(new Error("No task")) });
  return new Kernel({
    executors: parts.executors ?? [new ScriptedExecutor("a")],
    chooseExecutor: firstExecutor,
    resolver: parts.resolver ?? DEEP_RESOLVER,
    retry: { retries: undefined, handler: undefined, delayMs: undefined, on: undefined },
    newId: () => ++lastId as TaskId,
    note: parts.note ?? (() => {}),
    files: new TryFiles(stager),
    streamsOf: () => undefined,
    checkFile: () => {},
    release: () => {},
    stageIn: (file) => {
      throw new Error(`Cannot stage ${file.url}: no files were expected`);
    },
    placeHandle: () => {
      throw new Error("Cannot place a handle: none was expected");
    },
    ensure: parts.ensure ?? (() => undefined),
  });
}

/** A kernel with one executor, and what tests do with them. */
export class KernelFixture {
  readonly executor: ScriptedExecutor = new ScriptedExecutor("a");
  readonly kernel: Kernel;

  constructor(parts: Omit<KernelParts, "executors"> = {}) {
    this.kernel = newKernel({ ...parts, executors: [this.executor] });
  }

  /** Calls an app that executors run. */
  call(name: string, args: readonly unknown[] = [], options: AppOptions = {}): AppFuture<number> {
    return this.kernel.call<number, never>(functionRecipe(name, options), args);
  }

  /** Calls a join. */
  join<T>(
    name: string,
    fn: (...args: never[]) => unknown,
    args: readonly unknown[] = [],
  ): AppFuture<T> {
    const recipe = recipeOf({ kind: "join", function: name, fn }, { name, options: {} });
    return this.kernel.call<T, never>(recipe, args);
  }

  /** The newest try of that app. */
  tryOf(name: string): ScriptedTry {
    const found = this.executor.tries.findLast(({ aTry }) => aTry.app === name);
    if (found === undefined) throw new Error(`Cannot find a try of "${name}"`);
    return found;
  }

  /** Ends the newest try of that app. */
  end(name: string, end: TryEnd): void {
    this.executor.end(this.tryOf(name), end);
  }

  /** Has it succeed. */
  done(name: string, value: unknown): void {
    this.end(name, { kind: "done", value: StoredValue.plain(value), outputs: {} });
  }

  /** Has it fail. */
  fail(name: string, failure: Partial<TryFailure> = {}): void {
    this.end(name, { kind: "failed", failure: { kind: "exit", message: "broken", ...failure } });
  }
}

/** An app that executors run. */
export function functionRecipe(name: string, options: AppOptions = {}): Recipe {
  return recipeOf(valueBody(() => {}, name, {}), { name, options });
}

/** What a future throws. */
export async function errorOf(future: PromiseLike<unknown>): Promise<Error> {
  try {
    await future;
  } catch (error) {
    // Whatever is thrown here is one.
    return error as Error;
  }
  throw new Error("Cannot find an error: it succeeded");
}

/** Lets everything happen that waits for nothing. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
