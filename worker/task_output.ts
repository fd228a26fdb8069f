/** Outputs of a try on their way from its sandbox into the cache: all of them, or none. */

import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";

import { INLINE_BYTES_MAX } from "../shared/protocol.ts";
import type { FileFacts, Outcome, OutputFacts, OutputMount } from "../shared/task.ts";
import { type CacheStore, sealTree } from "./cache_store.ts";
import { type Measured, measuring } from "./file_sink.ts";
import type { Output } from "./output.ts";
import type { Trees } from "./trees.ts";

/** Where outputs are looked for and where they go. */
export interface OutputPlaces {
  readonly cache: CacheStore;
  readonly trees: Pick<Trees, "read">;
  /** Looks at the output at `mount` and makes it fit to be moved. */
  readonly collect: (mount: string) => Promise<Output>;
}

/** What became of the outputs. */
export type TakenOutputs =
  | { readonly kind: "taken"; readonly outputs: readonly OutputFacts[] }
  | {
    readonly kind: "failed";
    readonly outcome: Outcome;
    readonly mount: string;
    readonly message: string;
  };

/** A file up to this size is read at once: less work than a stream. */
const READ_AT_ONCE_BYTES_MAX: number = 256 * 1024;

/** One read of a larger file. */
const READ_BYTES: number = 512 * 1024;

type ReadyOutput = Extract<Output, { kind: "ready" }>;

/** Moves `wanted` into the cache; throws what the disk answers, with nothing moved. */
export async function takeOutputs(
  places: OutputPlaces,
  wanted: readonly OutputMount[],
): Promise<TakenOutputs> {
  const found: [OutputMount, ReadyOutput][] = [];
  for (const output of wanted) {
    const { mount } = output;
    const made = await places.collect(mount);
    if (made.kind !== "ready") {
      return { kind: "failed", outcome: "output_missing", mount, message: made.message };
    }
    found.push([output, made]);
  }
  const measured: [OutputMount, ReadyOutput, OutputFacts][] = [];
  for (const [output, made] of found) {
    measured.push([output, made, await measureOutput(places, output, made)]);
  }
  const outputs: OutputFacts[] = [];
  try {
    for (const [output, made, facts] of measured) {
      const { content: _content, ...bare } = facts;
      places.cache.commit(made.path, bare, output.level);
      outputs.push(facts);
    }
  } catch (error) {
    for (const { name, generation } of outputs) places.cache.delete(name, generation);
    throw error;
  }
  return { kind: "taken", outputs };
}

/** True for what a full disk, or a quota that is used up, makes a file call throw. */
export function isDiskFull(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT";
}

/** SHA-256 and size of a file that may be large. */
export async function measureFile(path: string): Promise<Measured> {
  if (statSync(path).size <= READ_AT_ONCE_BYTES_MAX) return measureBytes(readFileSync(path));
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sizeBytes, digest: hash.digest("hex") };
}

async function measureOutput(
  { trees }: OutputPlaces,
  { name, generation, isReturned }: OutputMount,
  { path, isDirectory, isExecutable, sizeBytes }: ReadyOutput,
): Promise<OutputFacts> {
  if (isDirectory) {
    await sealTree(path);
    const measured = measuring(trees.read(path, 0));
    const kept = isReturned ? new SmallContent() : undefined;
    for await (const chunk of measured.chunks) kept?.add(chunk);
    const facts: FileFacts = { name, generation, ...measured.measure(), isDirectory };
    const content = kept?.take();
    return content === undefined ? facts : { ...facts, content };
  }
  const kind = { isDirectory, ...(isExecutable ? { isExecutable } : {}) };
  if (sizeBytes > READ_AT_ONCE_BYTES_MAX) {
    return { name, generation, ...await measureFile(path), ...kind };
  }
  const bytes = readFileSync(path);
  const facts = { name, generation, ...measureBytes(bytes), ...kind };
  if (!isReturned || bytes.length > INLINE_BYTES_MAX) return facts;
  return { ...facts, content: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) };
}

function measureBytes(bytes: Uint8Array): Measured {
  return { sizeBytes: bytes.length, digest: createHash("sha256").update(bytes).digest("hex") };
}

/** Chunks that are kept as long as they are small together. */
class SmallContent {
  #chunks: Uint8Array[] | undefined = [];
  #sizeBytes = 0;

  add(chunk: Uint8Array): void {
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes > INLINE_BYTES_MAX) this.#chunks = undefined;
    // The reader may use its buffer again.
    this.#chunks?.push(chunk.slice());
  }

  take(): Uint8Array | undefined {
    if (this.#chunks === undefined) return undefined;
    const content = new Uint8Array(this.#sizeBytes);
    let offset = 0;
    for (const chunk of this.#chunks) {
      content.set(chunk, offset);
      offset += chunk.length;
    }
    return content;
  }
}
