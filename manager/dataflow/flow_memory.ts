/**
 * The memory of a flow: calls that are the same run once, in this run and in later ones. Results of
 * this run are held as they are; those of earlier runs come from a memo store.
 *
 * @module
 */

import { messageOf } from "./app_error.ts";
import type { CallEnd, CallRecord } from "./call.ts";
import type { CallMemory } from "./call_memory.ts";
import type { TryEnd } from "./executor.ts";
import type { FileDigests } from "./file_digest.ts";
import { checkMemoKey } from "./memo_entry.ts";
import { type MemoKeyer, ownMemoKey } from "./memo_key.ts";
import type { MemoPartFinder } from "./memo_parts.ts";
import type { Done, DoubtfulFile, MemoPlaces, PromisedPlaces } from "./memo_places.ts";
import type { MemoEntry, MemoStore } from "./memo_store.ts";
import type { Recipe } from "./recipe.ts";
import type { StoredValue } from "./stored_value.ts";

/** What a memory is made of. */
export interface FlowMemoryOptions {
  /** Whether calls are remembered of which their apps say nothing. */
  readonly isDefault: boolean;
  /** Undefined remembers for this run alone. */
  readonly store: MemoStore | undefined;
  readonly finder: MemoPartFinder;
  readonly digests: FileDigests;
  readonly places: MemoPlaces;
  /** Makes keys in place of `memoKey`. */
  readonly keyer: MemoKeyer;
  /** Has a call run again; gives the end of that. */
  readonly again: (call: RepeatedCall) => Promise<CallEnd>;
  /** Told, one line each, what cannot be remembered. */
  readonly tell: (message: string) => void;
  /** Default `HELD_BYTES_MAX`. */
  readonly heldBytesMax?: number;
}

/** What is run again. */
export type RepeatedCall = Pick<CallRecord, "recipe" | "args">;

/** A result of this run. */
interface Held {
  readonly end: Done;
  /** Looked at before they are promised to anybody else. */
  readonly promised: PromisedPlaces;
  readonly bytes: number;
}

/** What was remembered, and may be lost. */
interface Doubt {
  readonly key: string;
  /** Gives the same once more. */
  readonly call: RepeatedCall;
  readonly files: readonly DoubtfulFile[];
  /** That it is there; undefined before anybody has asked. */
  proof?: Promise<void>;
}

/** Results of this run that are held; with more, those that were used longest ago go. */
const ENDS_MAX = 100_000;

/** Bytes of values that are held likewise. */
const HELD_BYTES_MAX: number = 256 * 1024 * 1024;

/** What is held of a result beside its value, about. */
const HELD_OVERHEAD_BYTES = 500;

/** Lines about what cannot be remembered: more would say nothing new. */
const TOLD_MAX = 20;

/** The memory of one flow. */
export class FlowMemory implements CallMemory {
  readonly #options: FlowMemoryOptions;
  /** `{key: the call that is under way}` */
  readonly #leaders: Map<string, CallRecord> = new Map();
  /** `{key: calls that wait for the same one to end}` */
  readonly #followers: Map<string, (() => void)[]> = new Map();
  /** `{key: what a call of this run gave}`, the last used ones at the end. */
  readonly #held: Map<string, Held> = new Map();
  #heldBytes = 0;
  readonly #doubts: WeakMap<CallEnd, Doubt> = new WeakMap();
  /** How often something was made anew, and came out otherwise. */
  #changeCount = 0;
  /** `{call under way: changes before it was looked for}` */
  readonly #lookedAt: WeakMap<CallRecord, number> = new WeakMap();
  readonly #told: Set<string> = new Set();
  #isClosed = false;

  constructor(options: FlowMemoryOptions) {
    this.#options = options;
  }

  /** Brings everything to where later runs find it. */
  async flush(): Promise<void> {
    await this.#options.store?.flush();
  }

  /** The same, and lets go of what it holds. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#options.digests.close();
    try {
      await this.#options.store?.close();
    } catch (error) {
      // The workflow is worth more than its memory, and has its own end.
      this.#options.tell(`Cannot bring results to where later runs find them: ${messageOf(error)}`);
    }
  }

  /** See `CallMemory`. */
  isFor({ memoize, kind }: Recipe): boolean {
    if (kind === "join") return false;
    return memoize === undefined ? this.#options.isDefault : memoize !== false;
  }

  /** See `CallMemory`. */
  async recall(call: CallRecord): Promise<CallEnd | undefined> {
    this.#lookedAt.set(call, this.#changeCount);
    const key = await this.#keyOf(call);
    // It may have been cancelled: nobody would ever end what it leads.
    if (key === undefined || call.end !== undefined) return call.end;
    call.memoKey = key;
    if (call.isAgain) return undefined;
    for (;;) {
      const held = this.#held.get(key);
      if (held?.promised.size === 0) return this.#hold(key, held);
      const leader = this.#leaders.get(key);
      if (leader === undefined) break;
      await this.#follow(key);
      if (call.end !== undefined) return call.end;
      const { end } = leader;
      if (end?.kind === "done") return end;
      // One that failed by itself would fail again; after one that was cancelled, another one runs.
      if (leader.state === "failed" && failsAlike(leader.recipe, call.recipe)) return end;
    }
    this.#leaders.set(key, call);
    return await this.#recallHeld(key) ?? await this.#recallStored(key, call);
  }

  /** See `CallMemory`. */
  async keep(call: CallRecord, end: Extract<TryEnd, { kind: "done" }>): Promise<void> {
    if (call.memoKey === undefined) return;
    const { store, places } = this.#options;
    const { value, outputs } = end;
    try {
      // What it used came out otherwise when it was made anew: it is another call now.
      const isChanged = this.#lookedAt.get(call) !== this.#changeCount;
      const key = isChanged ? await this.#keyOf(call) : call.memoKey;
      if (key === undefined) return;
      const isPlain = Object.keys(outputs).length === 0 && call.streams === undefined;
      const promised = isPlain ? NO_PLACES : await places.promised(call, outputs);
      this.#hold(key, { end: { kind: "done", value, outputs }, promised, bytes: sizeOf(value) });
      await store?.put(await places.entryOf(key, call, { end, promised }));
    } catch (error) {
      if (this.#isClosed) return;
      // The workflow is worth more than its memory.
      this.#tell(call.recipe.name, `cannot be remembered: ${messageOf(error)}`);
    }
  }

  /** See `CallMemory`. */
  ended(call: CallRecord): void {
    const { memoKey: key } = call;
    if (key === undefined || this.#leaders.get(key) !== call) return;
    this.#leaders.delete(key);
    const followers = this.#followers.get(key) ?? [];
    this.#followers.delete(key);
    for (const goOn of followers) goOn();
  }

  /** See `CallMemory`. */
  ensure({ end }: CallRecord): Promise<void> | undefined {
    return end === undefined ? undefined : this.#ensure(end);
  }

  #ensure(end: CallEnd): Promise<void> | undefined {
    const doubt = this.#doubts.get(end);
    if (doubt === undefined || end.kind !== "done") return undefined;
    return doubt.proof ??= this.#prove(end, doubt);
  }

  /** Looks for files that workers should have; when one is gone, the call runs again. */
  async #prove(end: Done, { key, call, files }: Doubt): Promise<void> {
    const { places, again } = this.#options;
    if (!await places.areThere(files)) {
      const made = await again(call);
      if (made.kind === "failed") {
        // Calls to come try it themselves.
        if (this.#held.get(key)?.end === end) this.#drop(key);
        throw made.error;
      }
      // Before it becomes the other one.
      if (!isSame(end, made)) this.#changeCount += 1;
      end.value.become(made.value);
      for (const [name, file] of Object.entries(end.outputs)) {
        const other = made.outputs[name];
        if (other !== undefined) file.become(other);
      }
    }
    this.#doubts.delete(end);
  }

  /** Waits until the call with that key has ended. */
  #follow(key: string): Promise<void> {
    return new Promise((goOn) => {
      const others = this.#followers.get(key);
      if (others === undefined) this.#followers.set(key, [goOn]);
      else others.push(goOn);
    });
  }

  async #recallHeld(key: string): Promise<Done | undefined> {
    const held = this.#held.get(key);
    if (held === undefined) return undefined;
    if (await this.#options.places.hold(held.promised)) return this.#hold(key, held);
    this.#drop(key);
    return undefined;
  }

  async #recallStored(key: string, { recipe, args }: CallRecord): Promise<Done | undefined> {
    const { store, places } = this.#options;
    let entry: MemoEntry | undefined;
    try {
      [entry] = await store?.get([key]) ?? [];
    } catch (error) {
      this.#tell(recipe.name, `is not looked for among earlier results: ${messageOf(error)}`);
    }
    if (entry === undefined) return undefined;
    const call = { recipe, args };
    const found = await places.recall(entry, call, async () => await this.#ensure(end));
    if (found === undefined) return undefined;
    const { end, kept: files, promised } = found;
    if (files.length > 0) this.#doubts.set(end, { key, call, files });
    return this.#hold(key, { end, promised, bytes: sizeOf(end.value) });
  }

  async #keyOf(call: CallRecord): Promise<string | undefined> {
    const { recipe } = call;
    const { memoize } = recipe;
    const own = typeof memoize === "object" ? memoize.key : undefined;
    try {
      const parts = await this.#options.finder.find(call);
      const key = await (own === undefined ? this.#options.keyer : ownMemoKey(own))(parts);
      if (key !== undefined) checkMemoKey(key);
      return key;
    } catch (error) {
      // Who asked for it is told that it cannot be; where a flow remembers all, the others do.
      if (memoize !== undefined) throw error;
      this.#tell(recipe.name, `is not remembered: ${messageOf(error)}`);
      return undefined;
    }
  }

  #hold(key: string, held: Held): Done {
    const { heldBytesMax = HELD_BYTES_MAX } = this.#options;
    this.#drop(key);
    this.#held.set(key, held);
    this.#heldBytes += held.bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= ENDS_MAX && this.#heldBytes <= heldBytesMax) break;
      this.#drop(oldest);
    }
    return held.end;
  }

  #drop(key: string): void {
    this.#heldBytes -= this.#held.get(key)?.bytes ?? 0;
    this.#held.delete(key);
  }

  #tell(app: string, what: string): void {
    const line = `A call of "${app}" ${what}`;
    if (this.#told.has(line) || this.#told.size >= TOLD_MAX) return;
    this.#told.add(line);
    this.#options.tell(line);
  }
}

const NO_PLACES: PromisedPlaces = new Map();

/** Whether what one call fails by would have the other fail as well. */
function failsAlike(one: Recipe, other: Recipe): boolean {
  return one === other || one.retry.handler === other.retry.handler &&
      JSON.stringify(wayOf(one)) === JSON.stringify(wayOf(other));
}

function wayOf({ executors, retry, target, staging, memoize }: Recipe): unknown {
  return [executors, retry, target?.process, target?.call, staging, memoize];
}

/** Whether what was made anew is what was there before, as far as keys of other calls tell. */
function isSame(before: Done, after: Done): boolean {
  const names = Object.keys(before.outputs);
  return before.value.fileDigest === after.value.fileDigest &&
    names.every((name) =>
      before.outputs[name]?.facts?.digest === after.outputs[name]?.facts?.digest
    );
}

function sizeOf(value: StoredValue): number {
  const { content, bytes } = value;
  if (bytes !== undefined) return bytes.length + HELD_OVERHEAD_BYTES;
  return HELD_OVERHEAD_BYTES + (content.kind === "plain" ? plainSize(content.value) : 0);
}

/** Of what commands give: text. */
function plainSize(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  let size = 0;
  for (const item of Object.values(value)) if (typeof item === "string") size += item.length;
  return size;
}
