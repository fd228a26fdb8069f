/**
 * Results of calls as memo stores have them, and back: where values and files are, and whether what
 * was put somewhere is there still.
 *
 * @module
 */

import { encodeValue } from "../../shared/value.ts";
import type { FileHandle } from "../file_handle.ts";
import type { KeptFile } from "../kept_file.ts";
import type { Manager } from "../manager.ts";
import type { CallEnd, CallRecord } from "./call.ts";
import { argumentText } from "./call_text.ts";
import type { StreamName, TryEnd } from "./executor.ts";
import type { FileDigests } from "./file_digest.ts";
import type { File } from "./file.ts";
import { STREAM_OUTPUTS } from "./future.ts";
import { MEMO_VALUE_BYTES_MAX } from "./memo_entry.ts";
import type { KeptPlace, MemoEntry, MemoPlace, MemoValue } from "./memo_store.ts";
import { type MadeFacts, PlacedFile } from "./placed_file.ts";
import type { Recipe } from "./recipe.ts";
import { StoredValue } from "./stored_value.ts";
import { namedStreams } from "./stream_option.ts";
import { urlVersion } from "./url_version.ts";

/** A call that succeeded. */
export type Done = Extract<CallEnd, { kind: "done" }>;

/** What places are found with. */
export interface MemoPlacesOptions {
  readonly digests: FileDigests;
  /** Whose workers keep files; undefined where there is none. */
  readonly manager: Manager | undefined;
  /** How long they keep them. */
  readonly level: "worker" | "forever";
}

/** `{output or stream: where it was put}`, of those that were promised a place. */
export type PromisedPlaces = ReadonlyMap<string, MemoPlace>;

/** What an entry is for this run. */
export interface Recalled {
  readonly end: Done;
  /** Places at which something was found. */
  readonly promised: PromisedPlaces;
  /** What nobody has looked for yet. */
  readonly kept: readonly DoubtfulFile[];
}

/** A file that workers may have. */
export interface DoubtfulFile {
  readonly handle: FileHandle;
  /** True of one that went with its manager: nobody has it. */
  readonly isGone: boolean;
}

/** Of one flow. */
export class MemoPlaces {
  readonly #options: MemoPlacesOptions;

  constructor(options: MemoPlacesOptions) {
    this.#options = options;
  }

  /**
   * What is now where outputs and streams of a call were promised to be.
   *
   * @throws {Error} When something is not there, or cannot be told from what may be there later.
   */
  async promised({ recipe }: CallRecord, outputs: Done["outputs"]): Promise<PromisedPlaces> {
    const places = new Map<string, MemoPlace>();
    for (const [name, to] of promisesOf(recipe)) {
      places.set(name, await this.#look(to, outputs[name]));
    }
    for (const name of Object.keys(recipe.outputs)) {
      const file = outputs[name];
      // Left where its executor made it, which this flow has until its end.
      if (places.has(name) || file?.placement.kind !== "path") continue;
      places.set(name, await this.#lookAtPath(file.placement.path, file));
    }
    return places;
  }

  /** Whether all that was put somewhere is there, as it was. */
  async hold(places: PromisedPlaces): Promise<boolean> {
    for (const place of places.values()) if (!await this.#holds(place)) return false;
    return true;
  }

  /** What a store is given; files that stay with workers are kept by them. */
  async entryOf(
    key: string,
    call: CallRecord,
    { end, promised }: {
      readonly end: Extract<TryEnd, { kind: "done" }>;
      readonly promised: PromisedPlaces;
    },
  ): Promise<MemoEntry> {
    const { name, outputs } = call.recipe;
    const places: { [name: string]: MemoPlace } = {};
    for (const output of Object.keys(outputs)) {
      const file = end.outputs[output];
      const place = promised.get(output) ?? (file && await this.#keepFile(file));
      if (place !== undefined) places[output] = place;
    }
    const streams: { [Stream in StreamName]?: MemoPlace } = {};
    for (const stream of ["stdout", "stderr"] as const) {
      const place = promised.get(STREAM_OUTPUTS[stream]);
      if (place !== undefined) streams[stream] = place;
    }
    return {
      key,
      app: name,
      madeAtMs: Date.now(),
      ranMs: end.ranMs ?? 0,
      value: await this.#keepValue(end.value),
      outputs: places,
      ...streams,
      call: `${name}(${argumentText(call.args)})`,
    };
  }

  /**
   * What an entry is for this run; undefined when what it says is not so any more.
   *
   * @param ensure Sees to it that a large value is there.
   */
  async recall(
    entry: MemoEntry,
    { recipe }: Pick<CallRecord, "recipe">,
    ensure: () => Promise<void>,
  ): Promise<Recalled | undefined> {
    const promised = new Map<string, MemoPlace>();
    const kept: DoubtfulFile[] = [];
    const outputs: { [name: string]: PlacedFile } = {};
    for (const [name, place, isWanted] of wantedPlaces(entry, recipe)) {
      if (place === undefined) {
        if (isWanted) return undefined;
        continue;
      }
      const file = this.#fileOf(place, nameOf(recipe, name));
      if (file === undefined) return undefined;
      outputs[name] = file;
      if (place.kind === "kept") kept.push(this.#doubtful(file, place));
      else promised.set(name, place);
    }
    if (!await this.hold(promised)) return undefined;
    const { value } = entry;
    if (value.kind === "bytes") {
      return {
        end: { kind: "done", value: StoredValue.encoded(value.bytes), outputs },
        promised,
        kept,
      };
    }
    const file = this.#fileOf(value, "value");
    if (file?.placement.kind !== "handle") return undefined;
    kept.push(this.#doubtful(file, value));
    const stored = StoredValue.ofKept(file.placement.handle, ensure);
    return { end: { kind: "done", value: stored, outputs }, promised, kept };
  }

  /** Those files of which some worker has each; undefined when one is lost. */
  async areThere(files: readonly DoubtfulFile[]): Promise<boolean> {
    const { manager } = this.#options;
    if (manager === undefined || files.some(({ isGone }) => isGone)) return false;
    const found = await manager.findKept(files.map(({ handle }) => handle));
    return found.length === files.length;
  }

  async #look(to: File, file: PlacedFile | undefined): Promise<MemoPlace> {
    if (to.scheme === "file") return await this.#lookAtPath(to.path, file);
    const version = await urlVersion(to.url);
    const { digest = "", sizeBytes = 0 } = file?.facts ?? {};
    const known = digest === "" ? version : digest;
    if (file !== undefined) file.facts = urlFacts(known, sizeBytes);
    return { kind: "url", url: to.url, digest: known, sizeBytes, version };
  }

  async #lookAtPath(path: string, file: PlacedFile | undefined): Promise<MemoPlace> {
    const { kind, sha256, sizeBytes } = await this.#options.digests.digest(path);
    if (file !== undefined) {
      file.facts = {
        digest: sha256,
        sizeBytes,
        isDirectory: kind === "directory",
        isExecutable: kind === "executable",
      };
    }
    return { kind: "path", path, digest: sha256, sizeBytes };
  }

  async #holds(place: MemoPlace): Promise<boolean> {
    try {
      if (place.kind === "url") return await urlVersion(place.url) === place.version;
      if (place.kind !== "path") return true;
      return (await this.#options.digests.digest(place.path)).sha256 === place.digest;
    } catch {
      // It is gone, or nobody can tell.
      return false;
    }
  }

  #fileOf(place: MemoPlace, name: string): PlacedFile | undefined {
    if (place.kind === "path") return new PlacedFile({ kind: "path", path: place.path }, name);
    const { manager } = this.#options;
    if (manager === undefined) return undefined;
    try {
      const handle = place.kind === "url" ? manager.url(place.url) : manager.kept(place.file);
      const file = new PlacedFile({ kind: "handle", handle, manager }, name);
      file.facts = place.kind === "url"
        ? urlFacts(place.digest, place.sizeBytes)
        : factsOf(place.file);
      return file;
    } catch {
      // What a store says may be anything.
      return undefined;
    }
  }

  #doubtful({ placement }: PlacedFile, { within }: KeptPlace): DoubtfulFile {
    if (placement.kind !== "handle") throw new Error("Cannot look for a path at workers");
    return {
      handle: placement.handle,
      isGone: within !== undefined && within !== placement.manager.id,
    };
  }

  async #keepValue(value: StoredValue): Promise<MemoValue> {
    const { content } = value;
    if (content.kind === "task" && content.handle.valueFile !== undefined) {
      const kept = await this.#keepHandle(content.handle.valueFile);
      value.noteDigest(kept.file.digest);
      return kept;
    }
    const bytes = value.bytes ?? encodeValue(await value.read());
    if (bytes.length <= MEMO_VALUE_BYTES_MAX) return { kind: "bytes", bytes };
    throw new RangeError(
      `its value has ${bytes.length} bytes here, and at most ${MEMO_VALUE_BYTES_MAX} are stored`,
    );
  }

  async #keepFile(file: PlacedFile): Promise<MemoPlace> {
    const { placement } = file;
    if (placement.kind === "path") return await this.#lookAtPath(placement.path, file);
    const kept = await this.#keepHandle(placement.handle);
    // From now on it is known by what later runs will know it by.
    file.facts = factsOf(kept.file);
    return kept;
  }

  async #keepHandle(handle: FileHandle): Promise<KeptPlace> {
    const { manager, level } = this.#options;
    if (manager?.owns(handle) !== true) {
      throw new Error("its files are not with workers of the flow's first manager");
    }
    const file = await manager.keep(handle, { level });
    return { kind: "kept", file, ...(manager.canOutlive(level) ? {} : { within: manager.id }) };
  }
}

/** Outputs and streams that have a place of their own: `[name, place]`. */
function promisesOf(recipe: Recipe): (readonly [string, File])[] {
  const promises: (readonly [string, File])[] = [];
  for (const [name, { to }] of Object.entries(recipe.outputs)) {
    if (to !== undefined) promises.push([name, to]);
  }
  for (const [stream, { to, isAppended }] of namedStreams(recipe.streams)) {
    // Of what others append to as well nobody can say how it is to be.
    if (!isAppended) promises.push([STREAM_OUTPUTS[stream], to]);
  }
  return promises;
}

/** What an entry has of all that a call is to make: `[name, place, whether it must be there]`. */
function wantedPlaces(
  entry: MemoEntry,
  recipe: Recipe,
): (readonly [string, MemoPlace | undefined, boolean])[] {
  const wanted: (readonly [string, MemoPlace | undefined, boolean])[] = Object.keys(recipe.outputs)
    .map((name) => [
      name,
      Object.hasOwn(entry.outputs, name) ? entry.outputs[name] : undefined,
      true,
    ]);
  for (const [stream, { isAppended }] of namedStreams(recipe.streams)) {
    wanted.push([STREAM_OUTPUTS[stream], entry[stream], !isAppended]);
  }
  return wanted;
}

function factsOf({ digest, size: sizeBytes, isDirectory, isExecutable }: KeptFile): MadeFacts {
  return { digest, sizeBytes, isDirectory, isExecutable };
}

function urlFacts(digest: string, sizeBytes: number): MadeFacts {
  return { digest, sizeBytes, isDirectory: false, isExecutable: false };
}

function nameOf({ outputs }: Recipe, name: string): string {
  const output = outputs[name];
  return output?.to?.name ?? output?.mount.split("/").at(-1) ?? name;
}
