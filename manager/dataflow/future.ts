/** What a script holds of a call: its value, and its files, once they are there. */

import { join } from "@std/path";

import type { AppState } from "../core/fact.ts";
import type { TaskId } from "../../shared/ids.ts";
import type { TaskHandle } from "../task_handle.ts";
import type { CallRecord } from "./call.ts";
import type { StreamName } from "./executor.ts";
import { File } from "./file.ts";
import type { PlacedFile } from "./placed_file.ts";

/** What futures ask their flow for. */
export interface FutureOwner {
  cancel(call: CallRecord, why?: string): void;
  /** Calls `listener` once the call has ended; at once if it has. */
  whenEnded(call: CallRecord, listener: () => void): void;
  /** Notes that somebody saw why a call gave nothing. */
  lookAt(error: Error): void;
  /** A call that gives what is at `key` of the value of another one. */
  pick(call: CallRecord, key: string | number): AppFuture<unknown>;
  /** The value, brought here. */
  read(call: CallRecord): Promise<unknown>;
  /** The file of an output, made anew where it was lost. */
  placed(call: CallRecord, output: string): Promise<PlacedFile>;
}

/** Names of streams among what a call has made: no output is called so. */
export const STREAM_OUTPUTS: { readonly [Stream in StreamName]: string } = {
  stdout: "<stdout>",
  stderr: "<stderr>",
};

/** Reads what only this layer may; set by the class. */
let readCall: (future: AppFuture<unknown, string>) => CallRecord;

/** The call of a future. */
export function callOf(future: AppFuture<unknown, string>): CallRecord {
  return readCall(future);
}

/**
 * The result of a call, now or later. Awaiting it gives the value, or throws why there is none; given
 * to another call, the value goes there without coming here. Nobody has to await it.
 */
export class AppFuture<T, Outputs extends string = never> implements PromiseLike<T> {
  /** @internal */
  readonly owner: FutureOwner;
  /** The files that the call makes, by their names. */
  readonly outputs: { readonly [Name in Outputs]: DataFuture };
  readonly #call: CallRecord;

  static {
    readCall = (future) => future.#call;
  }

  /**
   * Futures are made by calling apps.
   *
   * @internal
   */
  constructor(call: CallRecord, owner: FutureOwner) {
    this.#call = call;
    this.owner = owner;
    this.outputs = outputsOf(this, call);
  }

  /** Number of the call, unique within its flow and the tasks of its manager. */
  get id(): TaskId {
    return this.#call.id;
  }

  /** The name of the app. */
  get app(): string {
    return this.#call.recipe.name;
  }

  /** Where it stands now. */
  get state(): AppState {
    return this.#call.state;
  }

  /** True once it has ended, however. */
  get isDone(): boolean {
    return this.#call.end !== undefined;
  }

  /** Tries so far; 0 of one whose result was remembered. */
  get tryCount(): number {
    return this.#call.try;
  }

  /** Where what it writes goes: a path, or the file of that; undefined where nobody has asked. */
  get stdout(): string | DataFuture | undefined {
    return this.#stream("stdout");
  }

  /** As `stdout`. */
  get stderr(): string | DataFuture | undefined {
    return this.#stream("stderr");
  }

  /** The task of the manager that its newest try is or was; undefined where there is none. */
  get task(): TaskHandle<unknown> | undefined {
    return this.#call.task;
  }

  /** Why it gives nothing; undefined of one that succeeded, or has not ended. */
  get error(): Error | undefined {
    const { end } = this.#call;
    if (end?.kind !== "failed") return undefined;
    this.owner.lookAt(end.error);
    return end.error;
  }

  /** Ends it wherever it is, and with it what depends on it; nothing if it has ended. */
  cancel(): void {
    this.owner.cancel(this.#call);
  }

  /**
   * A future of a part of the value: of an object's property, or an array's item. It is an argument
   * like any other; a large value stays where it is.
   *
   * @example
   * ```ts
   * const fit = regression(table);
   * draw(fit.get("slope"));
   * ```
   */
  get<Key extends keyof T & (string | number)>(key: Key): AppFuture<T[Key]> {
    // The value at that key is what it says.
    return this.owner.pick(this.#call, key) as AppFuture<T[Key]>;
  }

  /** Makes the future awaitable. */
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#settled().then(onFulfilled, onRejected);
  }

  /** As of promises. */
  catch<B = never>(
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<T | B> {
    return this.#settled().catch(onRejected);
  }

  /** As of promises. */
  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.#settled().finally(onFinally);
  }

  /** What it is and how it stands, for those who forgot to await it. */
  toString(): string {
    return `AppFuture of ${this.app}#${this.id} (${this.state})`;
  }

  #stream(stream: StreamName): string | DataFuture | undefined {
    const place = this.#call.streams?.[stream];
    if (place === undefined) return undefined;
    return place.isPath ? place.to.path : new DataFuture(this, STREAM_OUTPUTS[stream]);
  }

  async #settled(): Promise<T> {
    await ended(this.owner, this.#call);
    // What the app gives is T: whoever made the future saw to that.
    return await this.owner.read(this.#call) as T;
  }
}

/**
 * A file that a call makes, now or later. Awaiting it gives the file, once it is where it was
 * promised; given to another call, its bytes go there without coming here.
 */
export class DataFuture implements PromiseLike<DataFile> {
  /** The call that makes it. */
  readonly parent: AppFuture<unknown, string>;
  /** Its name among the outputs of the call. */
  readonly output: string;

  /** Made with the future of the call. */
  constructor(parent: AppFuture<unknown, string>, output: string) {
    this.parent = parent;
    this.output = output;
  }

  /** Where it was promised to be; undefined of what stays in the cluster. */
  get place(): File | undefined {
    const { recipe, streams } = callOf(this.parent);
    const stream = this.output === STREAM_OUTPUTS.stdout ? streams?.stdout : streams?.stderr;
    return recipe.outputs[this.output]?.to ?? stream?.to;
  }

  /** True once it is there, or never will be. */
  get isDone(): boolean {
    return this.parent.isDone;
  }

  /** Ends the call that makes it. */
  cancel(): void {
    this.parent.cancel();
  }

  /** Makes the future awaitable. */
  then<A = DataFile, B = never>(
    onFulfilled?: ((file: DataFile) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#settled().then(onFulfilled, onRejected);
  }

  /** What it is and how it stands. */
  toString(): string {
    return `DataFuture ${this.output} of ${this.parent}`;
  }

  async #settled(): Promise<DataFile> {
    const call = callOf(this.parent);
    const { owner } = this.parent;
    await ended(owner, call);
    if (call.end?.kind === "failed") {
      owner.lookAt(call.end.error);
      throw call.end.error;
    }
    return new DataFile(this);
  }

  /** The contents, brought here. */
  async contents(): Promise<Uint8Array> {
    return await (await this.placed()).contents();
  }

  /** The contents as text in UTF-8. */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.contents());
  }

  /**
   * Brings the file to a path of this machine.
   *
   * @returns The path.
   */
  async fetch(path: string): Promise<string> {
    return await (await this.placed()).fetch(path);
  }

  /** @internal */
  placed(): Promise<PlacedFile> {
    return this.parent.owner.placed(callOf(this.parent), this.output);
  }
}

/** A file that a call has made. */
export class DataFile extends File {
  readonly #future: DataFuture;

  /** What awaiting a `DataFuture` gives. */
  constructor(future: DataFuture) {
    const { id } = future.parent;
    super(future.place?.url ?? `tendril:${join(`/${id}`, future.output)}`);
    this.#future = future;
  }

  /** @internal */
  get future(): DataFuture {
    return this.#future;
  }

  /** The contents, brought here. */
  contents(): Promise<Uint8Array> {
    return this.#future.contents();
  }

  /** The contents as text in UTF-8. */
  text(): Promise<string> {
    return this.#future.text();
  }

  /** Brings the file to a path of this machine; gives the path. */
  fetch(path: string): Promise<string> {
    return this.#future.fetch(path);
  }
}

// `console.log` of one that nobody awaited tells what it is, and not how it is made; all runtimes
// ask for that by this symbol.
for (const { prototype } of [AppFuture, DataFuture]) {
  Object.defineProperty(prototype, Symbol.for("nodejs.util.inspect.custom"), {
    value: prototype.toString,
  });
}

const NO_OUTPUTS = Object.freeze({});

/** What engines ask of any object: whether it is a promise, and how it is written. */
const ASKED_OF_ALL: ReadonlySet<string> = new Set([
  "then",
  "toJSON",
  "asymmetricMatch",
  "$$typeof",
]);

function outputsOf<Outputs extends string>(
  future: AppFuture<unknown, Outputs>,
  { recipe }: CallRecord,
): { readonly [Name in Outputs]: DataFuture } {
  const names = Object.keys(recipe.outputs);
  // An app without outputs names none.
  if (names.length === 0) return NO_OUTPUTS as { readonly [Name in Outputs]: DataFuture };
  const parent = future as AppFuture<unknown, string>;
  const outputs = names.map((name) => [name, new DataFuture(parent, name)]);
  return new Proxy(Object.freeze(Object.fromEntries(outputs)), {
    get: (target, name) => {
      if (typeof name === "symbol" || name in target || ASKED_OF_ALL.has(name)) {
        return Reflect.get(target, name);
      }
      // Else undefined would go on to the next call, and fail there, or not at all.
      throw new TypeError(
        `Cannot find output "${name}" of app "${recipe.name}": it has ${names.join(", ")}`,
      );
    },
  });
}

function ended(owner: FutureOwner, call: CallRecord): Promise<void> | undefined {
  if (call.end !== undefined) return undefined;
  const { promise, resolve } = Promise.withResolvers<void>();
  owner.whenEnded(call, resolve);
  return promise;
}
