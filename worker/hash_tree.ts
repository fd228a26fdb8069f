/**
 * The digest by which a directory is named, of one that lies in the cache. A large one is read in a
 * process of its own: all of it has to be.
 *
 * @module
 */

import process from "node:process";

import { hashTree } from "../shared/archive/digest.ts";
import { selfCommand } from "../shared/runtime/self_command.ts";
import { howEnded, runHelper } from "./helper_child.ts";

/** The hidden subcommand under which `runHashCommand` is to be called. */
export const HASH_SUBCOMMAND = "internal-hash-tree";

/** What is read by this process, in pieces of half a millisecond: shared/archive/digest.ts. */
const HASHED_HERE_BYTES_MAX: number = 16 * 2 ** 20;

/** A directory, and how it may be stopped. */
export interface HashTreeOptions {
  /** About as large. */
  readonly sizeBytes: number;
  /** The worker's mark. */
  readonly mark: string;
  readonly signal: AbortSignal;
  /** Runs the child, in place of this program with its hidden subcommand. */
  readonly command?: readonly string[];
}

/** Hashes the directory at `path`; throws what keeps it from being read, or the signal's reason. */
export async function hashCachedTree(
  path: string,
  { sizeBytes, mark, signal, command = selfCommand([HASH_SUBCOMMAND]) }: HashTreeOptions,
): Promise<string> {
  signal.throwIfAborted();
  if (sizeBytes <= HASHED_HERE_BYTES_MAX) return (await hashTree(path, { signal })).sha256;
  const ended = await runHelper([...command, path], { mark, signal, purpose: "hash" });
  signal.throwIfAborted();
  const digest = ended.output.trim();
  if (ended.code === 0 && /^[0-9a-f]{64}$/.test(digest)) return digest;
  throw new Error(`Cannot hash directory "${path}" in a child process: ${howEnded(ended)}`);
}

/** Runs the child's side with the arguments after the hidden subcommand; returns the exit code. */
export async function runHashCommand([path = ""]: readonly string[]): Promise<number> {
  const parentGone = new AbortController();
  const end = (): void => parentGone.abort(new Error("the parent process is gone"));
  process.stdin.once("end", end).once("error", end).resume();
  const { promise: written, resolve } = Promise.withResolvers<void>();
  let code = 0;
  try {
    const { sha256 } = await hashTree(path, { signal: parentGone.signal });
    process.stdout.write(`${sha256}\n`, () => resolve());
  } catch (error) {
    code = 1;
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`, () => resolve());
  }
  await written;
  process.stdin.destroy();
  return code;
}
