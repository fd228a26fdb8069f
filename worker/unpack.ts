/**
 * Unpacking in a process of its own, so that the control loop answers heartbeats meanwhile.
 *
 * The child is this same program. It reads nothing but the end of its standard input, which is the
 * end of its parent, and prints one line of JSON.
 */

import { statfsSync } from "node:fs";
import { lstat } from "node:fs/promises";
import process from "node:process";

import { dirname } from "@std/path";

import { ArchiveError } from "../shared/archive/archive_error.ts";
import { UNPACK_BYTES_MAX, unpackEnvironment, unpackFile } from "../shared/archive/unpack.ts";
import type { UnpackLimits, UnpackResult } from "../shared/archive/unpack.ts";
import { selfCommand } from "../shared/runtime/self_command.ts";
import { howEnded, runHelper } from "./helper_child.ts";
import { removeTree } from "./trash.ts";

/** The hidden subcommand under which `runUnpackCommand` is to be called. */
export const UNPACK_SUBCOMMAND = "internal-unpack";

/** UTF-16 units of an entry's name in an answer: of a hostile one the start says which it is. */
const ENTRY_LENGTH_MAX = 4_096;

/** How to unpack in a child. */
export interface UnpackInChildOptions extends UnpackLimits {
  /** Absolute path that an environment will have when it is used; left out of any other archive. */
  readonly place?: string;
  /** The worker's mark, by which the child is found should both be killed. */
  readonly mark: string;
  /** Ends the child and removes what it made. */
  readonly signal?: AbortSignal;
  /** Runs the child, in place of this program with its hidden subcommand. */
  readonly command?: readonly string[];
}

/** How long a child without a parent may take to clean up; a worker sweeps what it finds later. */
const CLEANUP_MS_MAX = 1_000;

/** What a child prints on its standard output. */
type Answer =
  | { readonly kind: "unpacked"; readonly result: UnpackResult }
  | {
    readonly kind: "failed";
    readonly message: string;
    readonly entry?: string;
    /** It holds more than there is room for. */
    readonly isTooLarge?: boolean;
    /** What the system said when a file was written. */
    readonly code?: string;
  };

/**
 * Unpacks the archive at `archivePath` into the directory `targetPath`, which must not exist.
 *
 * Throws `ArchiveError`, or the reason of the signal, and leaves nothing behind, also when the child
 * is killed by someone else. The error tells whether there was no room: `isTooLarge`, or its `code`.
 */
export async function unpackInChild(
  archivePath: string,
  targetPath: string,
  options: UnpackInChildOptions,
): Promise<UnpackResult> {
  const { place, mark, signal, command = selfCommand([UNPACK_SUBCOMMAND]), ...limits } = options;
  signal?.throwIfAborted();
  // Looked at here, since a directory that was there before must not be removed after a failure.
  if (await exists(targetPath)) {
    throw new ArchiveError(`Cannot unpack into "${targetPath}" as a new directory: it exists`);
  }
  const request = JSON.stringify({ archivePath, targetPath, place, limits });
  const ended = await runHelper([...command, request], { mark, signal, purpose: "unpack" });
  const answer = parseAnswer(ended.output);
  if (ended.code === 0 && answer?.kind === "unpacked" && !signal?.aborted) return answer.result;
  if (answer?.kind === "failed" && !signal?.aborted) {
    const { message, entry, isTooLarge = false, code } = answer;
    throw new ArchiveError(message, {
      isTooLarge,
      ...(entry === undefined ? {} : { entry }),
      ...(code === undefined ? {} : { code }),
    });
  }
  await removeTree(targetPath);
  signal?.throwIfAborted();
  throw new ArchiveError(
    `Cannot unpack "${archivePath}" in a child process: ${howEnded(ended)}`,
  );
}

/** Runs the child's side with the arguments after the hidden subcommand; returns the exit code. */
export async function runUnpackCommand(args: readonly string[]): Promise<number> {
  const { archivePath, targetPath, place, limits } = parseRequest(args[0]);
  // What is unpacked is for all tasks of this worker, whatever the mask it was started with.
  process.umask(0o022);
  const parentGone = new AbortController();
  const onParentGone = (): void => {
    parentGone.abort(new Error("the parent process is gone"));
    setTimeout(() => process.exit(1), CLEANUP_MS_MAX).unref();
  };
  process.stdin.once("end", onParentGone).once("error", onParentGone);
  process.stdin.resume();
  let answer: Answer;
  const bytesMax = Math.min(limits.bytesMax ?? UNPACK_BYTES_MAX, freeBytes(dirname(targetPath)));
  try {
    const options = { ...limits, bytesMax, signal: parentGone.signal };
    const result = place === undefined
      ? await unpackFile(archivePath, targetPath, options)
      : await unpackEnvironment(archivePath, targetPath, { ...options, place });
    answer = { kind: "unpacked", result };
  } catch (error) {
    answer = failureOf(error, bytesMax);
  }
  if (parentGone.signal.aborted && answer.kind === "unpacked") {
    await removeTree(targetPath);
  }
  process.stdin.destroy();
  await new Promise<void>((resolve) => {
    process.stdout.write(`${JSON.stringify(answer)}\n`, () => resolve());
  });
  return answer.kind === "unpacked" ? 0 : 1;
}

function failureOf(error: unknown, bytesMax: number): Answer {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ArchiveError)) return { kind: "failed", message };
  const { entry, code } = error;
  // Beyond the bound for any archive no other disk would help.
  const isTooLarge = error.isTooLarge && bytesMax < UNPACK_BYTES_MAX;
  return {
    kind: "failed",
    message: isTooLarge ? `${message}: the disk has room for no more` : message,
    ...(entry === undefined ? {} : { entry: entry.slice(0, ENTRY_LENGTH_MAX) }),
    ...(isTooLarge ? { isTooLarge } : {}),
    ...(code === "" ? {} : { code }),
  };
}

/** What the disk has left for this user: an archive that holds more is refused before it is full. */
function freeBytes(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch {
    // It cannot be written to either, which says why.
    return UNPACK_BYTES_MAX;
  }
}

function parseAnswer(output: string): Answer | undefined {
  try {
    // The child is this program, and its exit code has to agree; no field of it becomes a path.
    return JSON.parse(output) as Answer;
  } catch {
    // It was ended before it could answer; its exit code or signal is the answer.
    return undefined;
  }
}

/** What a child is told to do. */
interface Request {
  readonly archivePath: string;
  readonly targetPath: string;
  readonly place?: string;
  readonly limits: UnpackLimits;
}

function parseRequest(text: string | undefined): Request {
  // Written by `unpackInChild` of the same program.
  const request = JSON.parse(text ?? "null") as Request | null;
  if (request === null) throw new TypeError("Cannot unpack without a request: it is missing");
  return request;
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    // What cannot be looked at cannot be made either, and making it says why.
    return false;
  }
}
