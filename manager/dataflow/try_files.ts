/**
 * The files of tries: before one, what its executor is to make of the outputs of a call; after it,
 * bringing them, and what it wrote, to where they were promised. A call whose output could not be
 * brought is not run again for it: its next try brings it again.
 *
 * @module
 */

import { createReadStream, createWriteStream } from "node:fs";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";

import { dirname } from "@std/path";

import { messageOf } from "./app_error.ts";
import type { CallRecord } from "./call.ts";
import type { AppTry, Executor, StreamName, TryEnd, TryOutput } from "./executor.ts";
import { STREAM_OUTPUTS } from "./future.ts";
import { PlacedFile } from "./placed_file.ts";
import type { Stager } from "./stager.ts";
import { StagingError } from "./staging.ts";
import type { StreamPlace } from "./stream_option.ts";

type Done = Extract<TryEnd, { kind: "done" }>;

/** A call that ran, and whose outputs are not all where they were promised. */
interface Unfinished {
  readonly executor: Executor;
  readonly end: Done;
  /** Names of those that are. */
  readonly brought: Set<string>;
  /** Streams that are outputs as well. */
  readonly streams: { [name: string]: PlacedFile };
}

/** The files of the tries of one flow. */
export class TryFiles {
  readonly #stager: Stager;
  readonly #unfinished: WeakMap<CallRecord, Unfinished> = new WeakMap();
  /** `{path: the end of what is appended to it}`; one after the other. */
  readonly #appending: Map<string, Promise<void>> = new Map();

  constructor(stager: Stager) {
    this.#stager = stager;
  }

  /** What its executor is given: places of outputs only where it brings them by itself. */
  adapt<Prepared extends Pick<AppTry, "outputs">>(
    call: CallRecord,
    prepared: Prepared,
    executor: Executor,
  ): Prepared & Pick<AppTry, "streams"> {
    const { streams } = call;
    const wanted = streams === undefined ? undefined : Object.keys(streams) as StreamName[];
    const outputs = this.#outputsFor(prepared.outputs, executor);
    if (wanted === undefined && outputs === prepared.outputs) return prepared;
    return { ...prepared, outputs, ...(wanted === undefined ? {} : { streams: wanted }) };
  }

  /** True of a call that ran already, and has only outputs to be brought. */
  isUnfinished(call: CallRecord): boolean {
    return this.#unfinished.has(call);
  }

  /** Tries to bring what is not there yet of a call that ran. */
  async finish(call: CallRecord): Promise<TryEnd> {
    const unfinished = this.#unfinished.get(call);
    if (unfinished === undefined) throw new Error(`Cannot finish call ${call.id}: it has not run`);
    return await this.#bringAll(call, unfinished);
  }

  /** What becomes of the end of a try; undefined where nothing is to be brought. */
  settle(call: CallRecord, executor: Executor, end: TryEnd): Promise<TryEnd> | undefined {
    const { streams, recipe: { outputs } } = call;
    const isDone = end.kind === "done";
    const isBrought = isDone && this.#outputsFor(outputs, executor) !== outputs;
    if (streams === undefined && !isBrought) return undefined;
    return this.#settle(call, executor, end);
  }

  async #settle(call: CallRecord, executor: Executor, end: TryEnd): Promise<TryEnd> {
    const fresh = { executor, brought: new Set<string>(), streams: {} };
    if (end.kind === "done") return await this.#bringAll(call, { ...fresh, end });
    try {
      await this.#writeStreams(call, { ...fresh, end }, this.#stager.signal);
      return end;
    } catch (error) {
      const { failure } = end;
      return {
        ...end,
        failure: { ...failure, message: `${failure.message}; ${messageOf(error)}` },
      };
    } finally {
      end.release?.();
    }
  }

  async #bringAll(call: CallRecord, unfinished: Unfinished): Promise<TryEnd> {
    const { executor, end, brought } = unfinished;
    const ending = new AbortController();
    const { signal } = ending;
    call.abort = () => ending.abort(new Error("the call was cancelled"));
    const { outputs } = call.recipe;
    const own = Object.keys(outputs).filter((name) => {
      const to = outputs[name]?.to;
      return to !== undefined && !brought.has(name) && !this.#stager.isPlaced(to, executor);
    });
    const bring = async (name: string): Promise<void> => {
      const [to, made] = [outputs[name]?.to, end.outputs[name]];
      if (to === undefined || made === undefined) return;
      await this.#stager.stageOut(to, made, { executor, call, signal });
      brought.add(name);
    };
    const tried = await Promise.allSettled([
      this.#writeStreams(call, unfinished, signal),
      ...own.map(bring),
    ]);
    call.abort = undefined;
    const failed = tried.find((one) => one.status === "rejected");
    if (failed === undefined) {
      this.#unfinished.delete(call);
      end.release?.();
      return { ...end, outputs: { ...end.outputs, ...unfinished.streams } };
    }
    this.#unfinished.set(call, unfinished);
    const cause: unknown = failed.reason;
    const kind = cause instanceof StagingError ? cause.kind : "transfer_failed";
    const { workerId, host } = end;
    return {
      kind: "failed",
      failure: { kind, message: messageOf(cause), cause, workerId, host },
    };
  }

  /** Writes what a try wrote to where it goes. */
  async #writeStreams(
    call: CallRecord,
    unfinished: Omit<Unfinished, "end"> & { readonly end: TryEnd },
    signal: AbortSignal,
  ): Promise<void> {
    const { executor, end, brought } = unfinished;
    for (const stream of ["stdout", "stderr"] as const) {
      const place = call.streams?.[stream];
      const name = STREAM_OUTPUTS[stream];
      if (place === undefined || brought.has(name)) continue;
      const written = end.streams?.[stream] ?? textOf(end, stream);
      if (place.isAppended) await this.#append(place.to.path, written);
      else {
        const file = await this.#onDisk(written, place, stream);
        await this.#stager.stageOut(place.to, file, { executor, call, signal });
        if (!place.isPath) unfinished.streams[name] = file;
      }
      brought.add(name);
    }
  }

  /** What was written, as long as it may be asked for. */
  async #onDisk(
    written: PlacedFile | string,
    { to, isPath }: StreamPlace,
    stream: StreamName,
  ): Promise<PlacedFile> {
    if (isPath && typeof written !== "string") return written;
    const path = await this.#stager.newPath(to.name || stream);
    if (typeof written === "string") await writeFile(path, written);
    else await written.fetch(path);
    return new PlacedFile({ kind: "path", path });
  }

  /** Appends whole what one call wrote, so that the lines of two do not mix. */
  async #append(path: string, written: PlacedFile | string): Promise<void> {
    const before = this.#appending.get(path) ?? Promise.resolve();
    const appended = before.then(async () => {
      try {
        await mkdir(dirname(path), { recursive: true });
        if (typeof written === "string") await appendFile(path, written);
        else await pipeline(createReadStream(await written.local()), openEnd(path));
      } catch (error) {
        const message = `Cannot write "${path}": ${messageOf(error)}`;
        throw new StagingError("transfer_failed", message, { cause: error });
      }
    });
    const ended = appended.catch(() => {
      // Told to whose it is; the next one has its own try.
    });
    this.#appending.set(path, ended);
    await appended.finally(() => {
      if (this.#appending.get(path) === ended) this.#appending.delete(path);
    });
  }

  #outputsFor(outputs: AppTry["outputs"], executor: Executor): AppTry["outputs"] {
    let changed: { [name: string]: TryOutput } | undefined;
    for (const name of Object.keys(outputs)) {
      const { to, mount } = outputs[name] ?? {};
      if (to === undefined || mount === undefined || this.#stager.isPlaced(to, executor)) continue;
      changed ??= { ...outputs };
      changed[name] = { mount };
    }
    return changed ?? outputs;
  }
}

/** What is known of a stream where its executor has not kept all of it. */
function textOf(end: TryEnd, stream: StreamName): string {
  if (end.kind === "failed") return end.failure[stream] ?? "";
  const { content } = end.value;
  if (content.kind !== "plain") return "";
  const { value } = content;
  if (typeof value !== "object" || value === null || !(stream in value)) return "";
  return String((value as { readonly [name: string]: unknown })[stream]);
}

function openEnd(path: string): NodeJS.WritableStream {
  return createWriteStream(path, { flags: "a" });
}
