/**
 * The memory of a flow: calls that are the same run once, in this run and in later ones. Results of
 * this run are held as they are; those of earlier runs come from a memo store.
 *
 * @module
 */

import { encodeValue } from "../../shared/value.ts";
import type { KeptFile } from "../kept_file.ts";
import type { Manager } from "../manager.ts";
import { messageOf } from "./app_error.ts";
import type { CallEnd, CallRecord } from "./call.ts";
import type { CallMemory } from "./call_memory.ts";
import { argumentText } from "./call_text.ts";
import type { TryEnd } from "./executor.ts";
import type { FileDigests } from "./file_digest.ts";
import type { File } from "./file.ts";
import { MEMO_VALUE_BYTES_MAX } from "./memo_entry.ts";
import { type MemoKeyer, ownMemoKey } from "./memo_key.ts";
import type { MemoPartFinder } from "./memo_parts.ts";
import type { MemoEntry, MemoPlace, MemoStore, MemoValue } from "./memo_store.ts";
import { type MadeFacts, PlacedFile } from "./placed_file.ts";
import type { Recipe } from "./recipe.ts";
import { StoredValue } from "./stored_value.ts";

/** What a memory is made of. */
export interface FlowMemoryOptions {
  /** Whether calls are remembered of which their apps say nothing. */
  readonly isDefault: boolean;
  /** Undefined remembers for this run alone. */
  readonly store: MemoStore | undefined;
  readonly finder: MemoPartFinder;
  readonly digests: FileDigests;
  /** Makes keys in place of `memoKey`. */
  readonly keyer: MemoKeyer;
  /** Whose workers keep files; undefined where there is none. */
  readonly manager: Manager | undefined;
  /** How long they keep them. */
  readonly level: "worker" | "forever";
  /** Has a call run again; gives the end of that. */
  readonly again: (call: CallRecord) => Promise<CallEnd>;
  /** Told, one line each, what cannot be remembered. */
  readonly tell: (message: string) => void;
}

type Done = Extract<CallEnd, { kind: "done" }>;

/** Results of this run that are held; with more, those that were used longest ago go. */
const ENDS_MAX = 100_000;

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
  readonly #ends: Map<string, Done> = new Map();
  /** `{what was remembered: its files, which nobody has looked for yet}` */
  readonly #unproven: WeakMap<CallEnd, readonly PlacedFile[]> = new WeakMap();
  /** `{what was remembered: what holds in its place}` */
  readonly #proofs: WeakMap<CallEnd, Promise<CallEnd>> = new WeakMap();
  readonly #told: Set<string> = new Set();

  constructor(options: FlowMemoryOptions) {
    this.#options = options;
  }

  /** Brings everything to where later runs find it. */
  async flush(): Promise<void> {
    await this.#options.store?.flush();
  }

  /** The same, and lets go of what it holds. */
  async close(): Promise<void> {
    await this.#options.digests.close();
    await this.#options.store?.close();
  }

  /** See `CallMemory`. */
  isFor({ memoize, kind }: Recipe): boolean {
    if (kind === "join") return false;
    return memoize === undefined ? this.#options.isDefault : memoize !== false;
  }

  /** See `CallMemory`. */
  async recall(call: CallRecord): Promise<CallEnd | undefined> {
    const key = await this.#keyOf(call);
    if (key === undefined) return undefined;
    call.memoKey = key;
    if (call.isAgain) return undefined;
    for (;;) {
      const known = this.#ends.get(key);
      if (known !== undefined) {
        this.#hold(key, known);
        return known;
      }
      const leader = this.#leaders.get(key);
      if (leader === undefined || leader === call) break;
      await new Promise<void>((goOn) => {
        const others = this.#followers.get(key);
        if (others === undefined) this.#followers.set(key, [goOn]);
        else others.push(goOn);
      });
      if (call.end !== undefined) return call.end;
      // One that failed by itself would fail again; after one that was cancelled, another one runs.
      if (leader.end?.kind === "failed" && leader.state === "failed") return leader.end;
    }
    this.#leaders.set(key, call);
    const [entry] = await this.#options.store?.get([key]) ?? [];
    if (entry === undefined) return undefined;
    const end = await this.#endOf(entry, call.recipe);
    if (end !== undefined) this.#hold(key, end);
    return end;
  }

  /** See `CallMemory`. */
  async keep(call: CallRecord, end: Extract<TryEnd, { kind: "done" }>): Promise<void> {
    const { memoKey: key } = call;
    if (key === undefined) return;
    const { value, outputs } = end;
    this.#hold(key, { kind: "done", value, outputs });
    const { store } = this.#options;
    if (store === undefined) return;
    try {
      await store.put(await this.#entryOf(key, call, end));
    } catch (error) {
      // The workflow is worth more than its memory.
      this.#tell(call.recipe.name, `cannot be remembered for later runs: ${messageOf(error)}`);
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
  ensure(call: CallRecord): Promise<void> | undefined {
    const { end } = call;
    const files = end && this.#unproven.get(end);
    if (end === undefined || files === undefined) return undefined;
    const proof = this.#proofs.get(end) ?? this.#prove(call, end, files);
    this.#proofs.set(end, proof);
    return proof.then((proven) => {
      call.end = proven;
      if (proven.kind === "failed") throw proven.error;
    });
  }

  /** Looks for files that workers should have; when one is gone, the call runs again. */
  async #prove(call: CallRecord, end: CallEnd, files: readonly PlacedFile[]): Promise<CallEnd> {
    const { manager, again } = this.#options;
    const handles = files.flatMap(({ placement }) =>
      placement.kind === "handle" ? [placement.handle] : []
    );
    const found = await manager?.findKept(handles) ?? [];
    if (found.length === handles.length) {
      this.#unproven.delete(end);
      return end;
    }
    const { memoKey: key } = call;
    if (key !== undefined && this.#ends.get(key) === end) this.#ends.delete(key);
    return await again(call);
  }

  async #keyOf(call: CallRecord): Promise<string | undefined> {
    const { recipe } = call;
    const { memoize } = recipe;
    const own = typeof memoize === "object" ? memoize.key : undefined;
    try {
      const parts = await this.#options.finder.find(call);
      return await (own === undefined ? this.#options.keyer : ownMemoKey(own))(parts);
    } catch (error) {
      // Who asked for it is told that it cannot be; where a flow remembers all, the others do.
      if (memoize !== undefined) throw error;
      this.#tell(recipe.name, `is not remembered: ${messageOf(error)}`);
      return undefined;
    }
  }

  #hold(key: string, end: Done): void {
    this.#ends.delete(key);
    this.#ends.set(key, end);
    if (this.#ends.size <= ENDS_MAX) return;
    const [oldest] = this.#ends.keys();
    if (oldest !== undefined) this.#ends.delete(oldest);
  }

  #tell(app: string, what: string): void {
    const line = `A call of "${app}" ${what}`;
    if (this.#told.has(line) || this.#told.size >= TOLD_MAX) return;
    this.#told.add(line);
    this.#options.tell(line);
  }

  /** What an entry is for this run; undefined when what it says is not so any more. */
  async #endOf(entry: MemoEntry, recipe: Recipe): Promise<Done | undefined> {
    const unproven: PlacedFile[] = [];
    const outputs: { [name: string]: PlacedFile } = {};
    for (const name of Object.keys(recipe.outputs)) {
      const place = Object.hasOwn(entry.outputs, name) ? entry.outputs[name] : undefined;
      const file = place && await this.#placeOf(place, nameOf(recipe, name));
      if (file === undefined) return undefined;
      if (place?.kind === "kept") unproven.push(file);
      outputs[name] = file;
    }
    const { value } = entry;
    let stored: StoredValue;
    if (value.kind === "bytes") stored = StoredValue.encoded(value.bytes);
    else {
      const file = this.#kept(value.file, "value");
      if (file?.placement.kind !== "handle") return undefined;
      unproven.push(file);
      stored = StoredValue.ofKept(file.placement.handle);
    }
    const end = { kind: "done", value: stored, outputs } as const;
    if (unproven.length > 0) this.#unproven.set(end, unproven);
    return end;
  }

  async #placeOf(place: MemoPlace, name: string): Promise<PlacedFile | undefined> {
    const { manager, digests } = this.#options;
    switch (place.kind) {
      case "kept":
        return this.#kept(place.file, name);
      case "path": {
        const found = await digests.digest(place.path).catch(() => undefined);
        if (found?.sha256 !== place.digest) return undefined;
        return new PlacedFile({ kind: "path", path: place.path }, name);
      }
      case "url":
        if (manager === undefined) return undefined;
        return new PlacedFile({ kind: "handle", handle: manager.url(place.url), manager }, name);
    }
  }

  #kept(file: KeptFile, name: string): PlacedFile | undefined {
    const { manager } = this.#options;
    if (manager === undefined) return undefined;
    const handle = manager.kept(file);
    const placed = new PlacedFile({ kind: "handle", handle, manager }, name);
    placed.facts = factsOf(file);
    return placed;
  }

  async #entryOf(
    key: string,
    call: CallRecord,
    { value, outputs, ranMs = 0 }: Extract<TryEnd, { kind: "done" }>,
  ): Promise<MemoEntry> {
    const places: { [name: string]: MemoPlace } = {};
    for (const [name, file] of Object.entries(outputs)) {
      places[name] = await this.#keepFile(file, call.recipe.outputs[name]?.to);
    }
    return {
      key,
      app: call.recipe.name,
      madeAtMs: Date.now(),
      ranMs,
      value: await this.#keepValue(value),
      outputs: places,
      call: `${call.recipe.name}(${argumentText(call.args)})`,
    };
  }

  async #keepValue(value: StoredValue): Promise<MemoValue> {
    const { content } = value;
    if (content.kind === "task" && content.handle.valueFile !== undefined) {
      return { kind: "kept", file: await this.#keepHandle(content.handle.valueFile) };
    }
    const bytes = value.bytes ?? encodeValue(await value.read());
    if (bytes.length <= MEMO_VALUE_BYTES_MAX) return { kind: "bytes", bytes };
    throw new RangeError(
      `its value has ${bytes.length} bytes here, and at most ${MEMO_VALUE_BYTES_MAX} are stored`,
    );
  }

  async #keepFile(file: PlacedFile, to: File | undefined): Promise<MemoPlace> {
    const { placement, facts } = file;
    if (to?.scheme === "file" || placement.kind === "path") {
      const path = placement.kind === "path" ? placement.path : to?.path ?? "";
      const { kind, sha256, sizeBytes } = await this.#options.digests.digest(path);
      file.facts = {
        digest: sha256,
        sizeBytes,
        isDirectory: kind === "directory",
        isExecutable: kind === "executable",
      };
      return { kind: "path", path, digest: sha256, sizeBytes };
    }
    if (to !== undefined) {
      const { digest = "", sizeBytes = 0 } = facts ?? {};
      return { kind: "url", url: to.url, digest, sizeBytes };
    }
    const kept = await this.#keepHandle(placement.handle);
    // From now on it is known by what later runs will know it by.
    file.facts = factsOf(kept);
    return { kind: "kept", file: kept };
  }

  async #keepHandle(handle: Parameters<Manager["keep"]>[0]): Promise<KeptFile> {
    const { manager, level } = this.#options;
    if (manager === undefined) throw new Error("there is no manager whose workers keep its files");
    return await manager.keep(handle, { level });
  }
}

function factsOf({ digest, size: sizeBytes, isDirectory, isExecutable }: KeptFile): MadeFacts {
  return { digest, sizeBytes, isDirectory, isExecutable };
}

function nameOf({ outputs }: Recipe, name: string): string {
  const output = outputs[name];
  return output?.to?.name ?? output?.mount.split("/").at(-1) ?? name;
}
