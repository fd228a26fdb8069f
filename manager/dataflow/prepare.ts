/** Makes a try of a call whose dependencies are there: its arguments, its command, its files. */

import { FileHandle } from "../file_handle.ts";
import { TaskHandle } from "../task_handle.ts";
import { type CallRecord, outputOf, valueOf } from "./call.ts";
import { type FileSource, makeCommand } from "./command.ts";
import { decodeValue } from "../../shared/value.ts";
import type { DependencyResolver } from "./dependency.ts";
import type { AppTry, Executor } from "./executor.ts";
import { File } from "./file.ts";
import { AppFuture, callOf, DataFile, DataFuture } from "./future.ts";
import { mapLeaves } from "./leaves.ts";
import { PlacedFile } from "./placed_file.ts";
import { readStored, StoredValue } from "./stored_value.ts";

/** A try without what numbers it. */
export type PreparedTry = Omit<AppTry, "callId" | "try" | "app">;

/** What tries are made with. */
export interface PrepareOptions {
  readonly resolver: DependencyResolver;
  /** Brings a file to where that executor can use it. */
  readonly stageIn: (
    file: File,
    executor: Executor,
    call: CallRecord,
  ) => PlacedFile | Promise<PlacedFile>;
  /** A file that a script declared of its manager. */
  readonly placeHandle: (handle: FileHandle) => PlacedFile;
  /** Sees to it that what was remembered of a call is there, or is made anew. */
  readonly ensure: (call: CallRecord) => Promise<void> | undefined;
}

const NO_INPUTS = Object.freeze({});

/**
 * Makes a try, at once where nothing has to be brought or read first.
 *
 * @throws {TypeError | RangeError} When an argument is not what it may be.
 */
export function prepareTry(
  call: CallRecord,
  executor: Executor,
  options: PrepareOptions,
): PreparedTry | Promise<PreparedTry> {
  const { target, outputs, label, kind } = call.recipe;
  if (target === undefined) throw new TypeError(`Cannot run "${call.recipe.name}" elsewhere`);
  if (kind === "command") return prepareCommand(call, executor, options);
  if (!call.hasReferences) return { target, outputs, label, inputs: NO_INPUTS, args: call.args };
  const common = { target, outputs, label, inputs: NO_INPUTS };
  const [args, pending] = placeArguments(call, executor, options);
  if (call.recipe.inputs !== undefined) return withInputs();
  if (pending === undefined) return { ...common, args };
  return pending.then((placed) => ({ ...common, args: placed }));

  async function withInputs(): Promise<PreparedTry> {
    const [placed, inputs] = await Promise.all([
      pending ?? args,
      placeSources(call, executor, { sources: inputsOf(call), options }),
    ]);
    return { ...common, args: placed, inputs };
  }
}

/** The arguments of a function that runs here: values in the place of futures, files as they are. */
export async function readArguments(
  call: CallRecord,
  { resolver }: Pick<PrepareOptions, "resolver">,
): Promise<readonly unknown[]> {
  if (!call.hasReferences) return call.args;
  const args = resolver.map(call.args, (found) => {
    if (call.promised?.values.has(found) === true) return call.promised.values.get(found);
    if (found instanceof AppFuture) return valueOf(callOf(found));
    return found instanceof DataFuture ? new DataFile(found) : found;
  });
  return await readStored(args) as readonly unknown[];
}

type Arguments = readonly unknown[];

/** Arguments with stored values and placed files in them, and a promise of them if that takes time. */
function placeArguments(
  call: CallRecord,
  executor: Executor,
  options: PrepareOptions,
): readonly [Arguments, Promise<Arguments> | undefined] {
  const later: [object, Promise<unknown>][] = [];
  const place = (file: object, placed: PlacedFile | Promise<PlacedFile>): unknown => {
    if (!(placed instanceof Promise)) return placed;
    later.push([file, placed]);
    return file;
  };
  const give = (value: StoredValue): unknown => {
    if (value.isDoubtful) {
      later.push([value, readyValue(value, executor)]);
      return value;
    }
    if (executor.owns?.(value) === true) return value;
    const { content } = value;
    if (content.kind === "plain") return content.value;
    if (content.kind === "structure") return mapLeaves(content.value, giveLeaf);
    if (value.bytes !== undefined) return decodeValue(value.bytes);
    later.push([value, value.read()]);
    return value;
  };
  const giveLeaf = (leaf: object): unknown => {
    if (leaf instanceof StoredValue) return give(leaf);
    if (!(leaf instanceof DataFile)) return leaf;
    return place(leaf, placeOutput(leaf.future, options));
  };
  const giveFile = (found: object): unknown => {
    const future = found instanceof DataFile ? found.future : found;
    if (future instanceof DataFuture) return place(found, placeOutput(future, options));
    if (found instanceof File) return place(found, options.stageIn(found, executor, call));
    if (found instanceof FileHandle) return options.placeHandle(found);
    return found instanceof TaskHandle ? give(StoredValue.ofTask(found)) : found;
  };
  const args = options.resolver.map(call.args, (found) => {
    if (call.promised?.values.has(found) === true) {
      return mapLeaves(call.promised.values.get(found), giveFile);
    }
    return found instanceof AppFuture ? give(valueOf(callOf(found))) : giveFile(found);
  }) as Arguments;
  if (later.length === 0) return [args, undefined];
  const all = Promise.all(later.map(async ([found, coming]) => [found, await coming] as const));
  const pending = all.then((ready) => {
    const there = new Map<object, unknown>(ready);
    const put = (leaf: object): unknown => there.has(leaf) ? there.get(leaf) : leaf;
    // What a resolver finds may lie where no other looks; structures are looked into in any case.
    return mapLeaves(options.resolver.map(args, put), put) as Arguments;
  });
  return [args, pending];
}

/** The command of a call, and the files that it reads, before they are brought anywhere. */
async function prepareCommand(
  call: CallRecord,
  executor: Executor,
  options: PrepareOptions,
): Promise<PreparedTry> {
  const { target, outputs, label, name } = call.recipe;
  if (target === undefined) throw new TypeError(`Cannot run "${name}"`);
  call.command ??= await makeCommand(call, options.resolver);
  const { command, sources: read } = call.command;
  const sources = [...inputsOf(call), ...read];
  const inputs = await placeSources(call, executor, { sources, options });
  return { target, outputs, label, args: [], command, inputs };
}

/** Files that a call has under names of its own. */
function inputsOf(
  { recipe: { inputs = {} } }: CallRecord,
): readonly (readonly [string, FileSource])[] {
  return Object.entries(inputs);
}

/** Brings files to where the executor can use them. */
async function placeSources(
  call: CallRecord,
  executor: Executor,
  { sources, options }: {
    readonly sources: readonly (readonly [string, FileSource])[];
    readonly options: PrepareOptions;
  },
): Promise<AppTry["inputs"]> {
  const placed = await Promise.all(
    sources.map(async ([mount, source]) => [mount, await place(source)] as const),
  );
  return Object.fromEntries(placed);

  function place(source: FileSource): PlacedFile | Promise<PlacedFile> {
    if (source instanceof PlacedFile) return source;
    if (source instanceof FileHandle) return options.placeHandle(source);
    if (source instanceof DataFile) return placeOutput(source.future, options);
    if (source instanceof File) return options.stageIn(source, executor, call);
    return placeOutput(source, options);
  }
}

/** A file that another call has made, once it is there. */
function placeOutput(
  { parent, output }: DataFuture,
  { ensure }: PrepareOptions,
): PlacedFile | Promise<PlacedFile> {
  const call = callOf(parent);
  return ensure(call)?.then(() => outputOf(call, output)) ?? outputOf(call, output);
}

/** A large value that was remembered, as the executor takes it. */
async function readyValue(value: StoredValue, executor: Executor): Promise<unknown> {
  await value.ready();
  return executor.owns?.(value) === true ? value : await value.read();
}
