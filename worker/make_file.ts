/** Carries out recipes: unpacks an archive, or runs a command as a task's, for a file of the cache. */

import { unreachable } from "../shared/assert.ts";
import type { CacheName } from "../shared/ids.ts";
import { plainText } from "../shared/plain_text.ts";
import type { CommandRecipe, ManagerMessage, Recipe } from "../shared/protocol.ts";
import type { FileFacts, TryResult } from "../shared/task.ts";
import { type CacheStore, sealTree } from "./cache_store.ts";
import type { HeldDevices } from "./core/device.ts";
import { makeEnvironment } from "./environment.ts";
import { type Measured, measuring } from "./file_sink.ts";
import type { Runner } from "./runner.ts";
import type { Trees } from "./trees.ts";

/** What a recipe has of the worker. */
export interface MakeRoom {
  /** What there is room for. */
  readonly bytesMax: number;
  /** Of a command. */
  readonly devices: HeldDevices;
}

type MakeOrder = Extract<ManagerMessage, { kind: "make" }> & MakeRoom;

/** What recipes are carried out with. */
export interface MakeOptions {
  readonly cache: CacheStore;
  readonly trees: Trees;
  readonly runner: Pick<Runner, "make">;
}

/** How an order may be stopped, and what it has to tell besides its file. */
export interface Making {
  readonly signal: AbortSignal;
  /** Takes the inputs that a command wrote to: they are out of the cache. */
  readonly modified: CacheName[];
}

/** A command did not make its file. */
export class MakeError extends Error {
  override readonly name: string = "MakeError";
  /** Another time may do better. */
  readonly canRetry: boolean;

  constructor(message: string, { canRetry }: { readonly canRetry: boolean }) {
    super(message);
    this.canRetry = canRetry;
  }
}

/** What comes does not fit on the disk. */
export class RoomError extends MakeError {
  override readonly name = "RoomError";

  constructor(message: string, options: { readonly canRetry: boolean } = { canRetry: false }) {
    super(message, options);
  }
}

/** What is shown of a command that failed, and of the end of what it wrote. */
const COMMAND_CHARS_MAX = 200;
const STREAM_CHARS_MAX = 1_000;

/** A file that was made, or was there already: kept for ever, of another worker's making. */
export interface MadeFile {
  readonly file: FileFacts;
  readonly isFound: boolean;
}

/** Makes the file and takes it into the cache; throws what went wrong, with nothing taken. */
export async function makeFile(
  options: MakeOptions,
  order: MakeOrder,
  making: Making,
): Promise<MadeFile> {
  if (order.level !== "forever") {
    return { file: await carryOut(options, order, making), isFound: false };
  }
  const { cache } = options;
  const kept = await adoptIntact(cache, order.name);
  if (kept !== undefined) return { file: kept, isFound: true };
  const lock = await cache.lock(order.name, making.signal);
  try {
    // Whoever had it may have made it meanwhile.
    const other = await adoptIntact(cache, order.name);
    if (other !== undefined) return { file: other, isFound: true };
    // One that is damaged has to be gone before another takes its place.
    await cache.settled(order.name);
    const file = await carryOut(options, order, making);
    await cache.settled(order.name);
    return { file, isFound: false };
  } finally {
    lock?.close();
  }
}

/** Takes in what is kept for ever under that name, unless it is damaged: then nobody finds it. */
export async function adoptIntact(
  cache: CacheStore,
  name: CacheName,
): Promise<FileFacts | undefined> {
  const facts = cache.adopt(name)?.facts;
  if (facts === undefined || await cache.isIntact(name)) return facts;
  cache.delete(name, facts.generation);
  return undefined;
}

async function carryOut(
  options: MakeOptions,
  order: MakeOrder,
  making: Making,
): Promise<FileFacts> {
  const { recipe } = order;
  switch (recipe.kind) {
    case "command":
      return await runCommand(options, { ...order, recipe }, making);
    case "unpack":
    case "environment":
      return await unpackArchive(options, { ...order, recipe }, making);
    default:
      return unreachable(recipe);
  }
}

async function runCommand(
  { cache, runner }: MakeOptions,
  order: MakeOrder & { readonly recipe: CommandRecipe },
  { signal, modified }: Making,
): Promise<FileFacts> {
  const ended = await runner.make(order, signal);
  const { result } = ended;
  modified.push(...ended.modified);
  const [output] = result.outputs;
  if (result.outcome !== "success" || output === undefined) {
    const message = describeFailure(order.recipe, result);
    const isFull = result.outcome === "disk_full" ||
      result.exceeded?.resource === "disk" && order.recipe.resources.diskBytes === 0;
    if (isFull) throw new RoomError(message, { canRetry: true });
    throw new MakeError(message, { canRetry: mayPass(result) });
  }
  const { content: _content, ...facts } = output;
  const { sizeBytes } = facts;
  if (sizeBytes <= order.bytesMax && !signal.aborted) return facts;
  cache.delete(facts.name, facts.generation);
  signal.throwIfAborted();
  throw new RoomError(
    `it has ${sizeBytes} bytes, and this worker's disk has room for ${order.bytesMax}`,
  );
}

/** A host that does not answer may do so later; what a command does not make it will never make. */
function mayPass({ outcome, exitCode }: TryResult): boolean {
  const isNoCommand = exitCode === 126 || exitCode === 127;
  return outcome === "exit" && !isNoCommand || outcome === "signal" || outcome === "input_missing";
}

function describeFailure({ command, mount }: CommandRecipe, result: TryResult): string {
  const streams = [result.stderr, result.stdout].map((bytes) => {
    const text = new TextDecoder().decode(bytes.subarray(-4 * STREAM_CHARS_MAX));
    return plainText(text.slice(-STREAM_CHARS_MAX), STREAM_CHARS_MAX);
  });
  const said = streams.find((text) => text !== "");
  const shown = plainText(command, COMMAND_CHARS_MAX);
  const why = `the mini task "${shown}", which makes "${mount}", failed: ${result.message}`;
  return said === undefined ? why : `${why}; it said: ${said}`;
}

async function unpackArchive(
  { cache, trees }: MakeOptions,
  order: MakeOrder & { readonly recipe: Exclude<Recipe, CommandRecipe> },
  { signal }: Making,
): Promise<FileFacts> {
  const { name, level, recipe } = order;
  const input = cache.get(recipe.input);
  const hold = input && cache.hold(recipe.input, input.facts.generation);
  if (hold === undefined) throw new Error(`its input "${recipe.input}" is not in the cache`);
  const { bytesMax } = order;
  if (recipe.kind === "environment") {
    const made = { name, level, archivePath: hold.path, bytesMax, signal };
    return await makeEnvironment({ cache, trees }, made).finally(hold.release);
  }
  const path = cache.newIncomingPath();
  try {
    await trees.unpack(path, { path: hold.path, bytesMax, signal });
    await sealTree(path);
    const measured = await measureTree(trees, path);
    signal.throwIfAborted();
    const file = { name, generation: 0, ...measured, isDirectory: true };
    cache.commit(path, file, level);
    return file;
  } catch (error) {
    cache.discard(path);
    throw error;
  } finally {
    hold.release();
  }
}

async function measureTree(trees: Trees, path: string): Promise<Measured> {
  const measured = measuring(trees.read(path, 0));
  for await (const _chunk of measured.chunks) { /* Counting is all that is wanted. */ }
  return measured.measure();
}
