/**
 * An executor in this very process: for functions that are short, or that wait, and for trying out a
 * flow without anything that has to be started.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";

import { join } from "@std/path";

import { functionsModule } from "../../shared/function_source.ts";
import {
  newOrderedQueue,
  type OrderedQueue,
  popOrdered,
  pushOrdered,
} from "../../shared/ordered_queue.ts";
import { functionOf, type Namespace } from "../../shared/module_function.ts";
import { importAnew, importText } from "../../shared/runtime/module_text.ts";
import { errorOfThrown, thrownOf } from "../../shared/thrown.ts";
import { encodeValue, RESULT_BYTES_MAX } from "../../shared/value.ts";
import { findModule } from "../library_bundle.ts";
import { count, label, readOptions } from "../option.ts";
import { messageOf } from "./app_error.ts";
import type {
  AppBody,
  AppTry,
  Executor,
  FailureKind,
  RunningTry,
  TryEnd,
  TryWork,
} from "./executor.ts";
import { bundleOf } from "./local_code.ts";
import { OptionCheck } from "./option_check.ts";
import type { PlacedFile } from "./placed_file.ts";
import { ScratchFiles } from "./scratch_files.ts";
import { StoredValue } from "./stored_value.ts";
import { decodeTry, type EncodedTry, encodeTry } from "./try_arguments.ts";

/** How tries run in this process. */
export interface InProcessOptions {
  /** Of the executor. Default `"in-process"`. */
  readonly label?: string;
  /** Calls that wait for something at a time; there is one thread. Default 64. */
  readonly concurrency?: number;
}

const CONCURRENCY_DEFAULT = 64;
const CONCURRENCY_MAX = 1_000_000;

/** Calls are begun for so long at a stretch: then whatever else waits has its turn. */
const STRETCH_MS = 5;

const OPTIONS = new OptionCheck(["priority", "category", "tag"]);

/**
 * An executor that calls functions in this process. Arguments and results are copied, as if they
 * travelled: what cannot travel is refused, and no call changes what another one has. Functions by
 * value see their `context` alone, and those of modules a copy of the module of their own.
 *
 * It takes functions of JavaScript alone, of apps without outputs, resources and timeouts: nobody can
 * stop a function in its own process. What a cancelled one returns is passed over.
 *
 * @throws {TypeError | RangeError} When an option is wrong.
 *
 * @example
 * ```ts
 * await using flow = await load({ executors: [inProcess()] });
 * const add = app((a: number, b: number) => a + b);
 * console.log(await add(add(1, 2), 3)); // 6
 * ```
 */
export function inProcess(options: InProcessOptions = {}): Executor {
  return new InProcessExecutor(
    readOptions<InProcessOptions>(options, "inProcess", {
      label,
      concurrency: count(1, CONCURRENCY_MAX),
    }),
  );
}

/** A try from its submission to its end. */
interface Entry {
  readonly number: number;
  readonly priority: number;
  readonly body: AppBody;
  readonly encoded: EncodedTry;
  readonly onEnd: (end: TryEnd) => void;
  hasEnded: boolean;
}

class InProcessExecutor implements Executor {
  readonly label: string;
  readonly #concurrency: number;
  readonly #waiting: OrderedQueue<Entry> = newOrderedQueue((one, other) => {
    return one.priority === other.priority
      ? one.number < other.number
      : one.priority > other.priority;
  });
  readonly #open: Set<Entry> = new Set();
  readonly #modules: WeakMap<AppBody, Promise<Namespace>> = new WeakMap();
  readonly #scratch: ScratchFiles = new ScratchFiles(() => this.#folder ?? tmpdir());
  #folder: string | undefined;
  #lastNumber = 0;
  #runningCount = 0;
  #isBeginning = false;
  #isClosed = false;

  constructor({ label = "in-process", concurrency = CONCURRENCY_DEFAULT }: InProcessOptions) {
    this.label = label;
    this.#concurrency = concurrency;
  }

  /** See `Executor`. */
  refusal({ target, outputs }: TryWork): string | undefined {
    if (target.body.kind !== "javascript") return "takes functions of JavaScript alone";
    if (Object.keys(outputs).length > 0) return "takes no app with outputs";
    return OPTIONS.refusal(target);
  }

  /** See `Executor`. */
  submit(aTry: AppTry, onEnd: (end: TryEnd) => void): RunningTry {
    const { app, target: { body, call } } = aTry;
    if (this.#isClosed) throw new Error(`Cannot run "${app}": its executor is closed`);
    const refusal = this.refusal(aTry);
    if (refusal !== undefined) {
      throw new TypeError(`Cannot run "${app}" on executor "${this.label}": it ${refusal}`);
    }
    const encoded = encodeTry(aTry);
    void this.#moduleOf(body);
    this.#lastNumber += 1;
    const priority = call.priority ?? 0;
    const number = this.#lastNumber;
    const entry: Entry = { number, priority, body, encoded, onEnd, hasEnded: false };
    this.#open.add(entry);
    pushOrdered(this.#waiting, entry);
    void this.#beginSome();
    return {
      cancel: () => queueMicrotask(() => this.#end(entry, cancelledEnd())),
    };
  }

  /** See `Executor`; functions that run are left to their own end. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const entry of [...this.#open]) this.#end(entry, cancelledEnd());
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }

  /** Begins what there is room for, in a later turn and for a stretch at a time. */
  async #beginSome(): Promise<void> {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    await nextTurn();
    let untilMs = performance.now() + STRETCH_MS;
    while (this.#runningCount < this.#concurrency) {
      const entry = popOrdered(this.#waiting);
      if (entry === undefined) break;
      if (entry.hasEnded) continue;
      this.#runningCount += 1;
      void this.#run(entry);
      if (performance.now() < untilMs) continue;
      await nextTurn();
      untilMs = performance.now() + STRETCH_MS;
    }
    this.#isBeginning = false;
  }

  async #run(entry: Entry): Promise<void> {
    const startedAtMs = performance.now();
    let end: TryEnd;
    try {
      const value = await this.#call(entry);
      const ranMs = performance.now() - startedAtMs;
      end = { kind: "done", value, outputs: {}, host: hostname(), ranMs };
    } catch (error) {
      end = error instanceof TryFault ? error.end : endOf("start_failed", error);
    }
    this.#runningCount -= 1;
    this.#end(entry, end);
    void this.#beginSome();
  }

  async #call({ body, encoded }: Entry): Promise<StoredValue> {
    const namespace = await this.#moduleOf(body).catch((error: unknown) => {
      throw new TryFault("library_failed", error);
    });
    const paths: string[] = [];
    try {
      for (const file of encoded.files) paths.push(await this.#pathOf(file));
      const args = decodeTry(encoded, paths, (path) => new Uint8Array(readFileSync(path)));
      return await callFunction(namespace, body.function, args);
    } finally {
      for (const file of encoded.files.slice(0, paths.length)) {
        if (typeof file !== "string") this.#scratch.release(file);
      }
    }
  }

  async #pathOf(file: PlacedFile | string): Promise<string> {
    if (typeof file === "string") return file;
    try {
      if (file.placement.kind !== "path") {
        this.#folder ??= await mkdtemp(join(tmpdir(), "tendril-in-process-"));
      }
      return await this.#scratch.take(file);
    } catch (error) {
      throw new TryFault("transfer_failed", error);
    }
  }

  /** What cannot be taken out of its place is thrown at once, as at a manager. */
  #moduleOf(body: AppBody): Promise<Namespace> {
    const known = this.#modules.get(body);
    if (known !== undefined) return known;
    const loading = load(body);
    loading.catch(() => {
      // Whoever calls it hears of it.
    });
    this.#modules.set(body, loading);
    return loading;
  }

  #end(entry: Entry, end: TryEnd): void {
    if (entry.hasEnded) return;
    entry.hasEnded = true;
    this.#open.delete(entry);
    entry.onEnd(end);
  }
}

/** Why a try failed, and in which way. */
class TryFault extends Error {
  override readonly name = "TryFault";
  readonly end: TryEnd;

  constructor(kind: FailureKind, cause: unknown) {
    super(messageOf(cause), { cause });
    this.end = endOf(kind, cause);
  }
}

async function callFunction(
  namespace: Namespace,
  name: string,
  args: readonly unknown[],
): Promise<StoredValue> {
  try {
    const value = await functionOf(namespace, name)(...args);
    return StoredValue.encoded(encodeValue(value, { root: "result", bytesMax: RESULT_BYTES_MAX }));
  } catch (thrown) {
    // As it would come from elsewhere: what was thrown may be anything.
    throw new TryFault("call_error", errorOfThrown(thrownOf(thrown)));
  }
}

function load(body: AppBody): Promise<Namespace> {
  if (body.kind !== "javascript") throw new TypeError("Cannot import what is no module");
  if (body.code === "value") {
    return importText(functionsModule({ [body.function]: body.fn }, body.context));
  }
  if (body.code === "module") return findModule(body.module, body.from).then(importAnew);
  return bundleOf(body).then(({ bytes }) => importText(new TextDecoder().decode(bytes)));
}

function endOf(kind: FailureKind, cause: unknown): TryEnd {
  const head = kind === "call_error" && cause instanceof Error ? `${cause.name}: ` : "";
  const message = `${head}${messageOf(cause)}`;
  return { kind: "failed", failure: { kind, message, cause, host: hostname() } };
}

function cancelledEnd(): TryEnd {
  const message = "The call was stopped: it was cancelled";
  return { kind: "failed", failure: { kind: "cancelled", message, host: hostname() } };
}
