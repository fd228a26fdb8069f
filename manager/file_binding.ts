/**
 * Finds the names of declared files: what a file is called in every cache, from what can be
 * known of it without moving it. DESIGN section 6 has the table of levels and names.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, constants, lstat, realpath } from "node:fs/promises";

import { describeDirectory, directoryName } from "./directory.ts";
import { EXECUTABLE_SUFFIX, fileContentName } from "../shared/cache_name.ts";
import { type FileStamp, isSameStamp, stampOf } from "../shared/file_stamp.ts";
import type { CacheName, FileId } from "../shared/ids.ts";
import type { CacheLevel } from "../shared/task.ts";
import type { BoundFile } from "./core/event.ts";
import type { MiniTaskSource } from "./file_entry.ts";

/** First part of the names of what recipes make; `tendril cache list` tells by it what it is. */
const RECIPE_PREFIX = { unpack: "unpacked", environment: "environment" } as const;

/** A local file with its name. */
export interface LocalBinding {
  readonly bound: BoundFile;
  readonly stamp: FileStamp;
}

/** Thrown when a declared file cannot be had; becomes the `input_missing` of its tasks. */
export class FileMissingError extends Error {
  override readonly name = "FileMissingError";
}

/** Names the local file or directory at `path`; by its contents when it outlives the workflow. */
export async function bindLocal(path: string, level: CacheLevel): Promise<LocalBinding> {
  const stamp = await checkReadable(path);
  const isByContents = level === "worker" || level === "forever";
  const bound = stamp.isDirectory
    ? await bindDirectory(path, { stamp, isByContents })
    : await bindFile(path, { stamp, isByContents });
  if (!isSameStamp(stamp, await stampOf(path))) {
    throw new FileMissingError(`Cannot name file "${path}": it changed while it was read`);
  }
  return { bound, stamp };
}

/** Names bytes by their contents. */
export function bindBytes(bytes: Uint8Array): BoundFile {
  const digest = createHash("sha256").update(bytes).digest("hex");
  return {
    name: fileContentName(digest),
    sizeBytes: bytes.length,
    digest,
    isDirectory: false,
    isExecutable: false,
  };
}

/**
 * Names what a recipe makes: the same recipe of the same inputs is the same file. What a command
 * makes may differ from day to day, so that later workflows find it only if it is to outlive this
 * one.
 */
export function bindRecipe(
  { recipe, inputs }: MiniTaskSource,
  options: { readonly level: CacheLevel; readonly workflowId: string },
): BoundFile {
  const names = new Map<FileId, CacheName>();
  for (const { id, bound, failure } of inputs) {
    if (bound === undefined) {
      throw new FileMissingError(failure ?? "Cannot name what is made of an input that failed");
    }
    names.set(id, bound.name);
  }
  const unknown = { sizeBytes: -1, digest: "", isExecutable: false };
  if (recipe.kind !== "command") {
    const name = `${RECIPE_PREFIX[recipe.kind]}-${hashText(JSON.stringify([...names.values()]))}`;
    return { ...unknown, name: name as CacheName, isDirectory: true };
  }
  const { command, env, mount, environments } = recipe;
  const isShared = options.level === "worker" || options.level === "forever";
  const text = JSON.stringify([
    isShared ? "" : options.workflowId,
    command,
    Object.entries(env).sort(([a], [b]) => a < b ? -1 : 1),
    mount,
    recipe.inputs.map(({ mount, fileId }) => [mount, names.get(fileId)])
      .sort(([a = ""], [b = ""]) => a < b ? -1 : 1),
    environments.map((fileId) => names.get(fileId)),
  ]);
  // Whether it is a file or a directory is known when it was made.
  return { ...unknown, name: `mini-${hashText(text)}` as CacheName, isDirectory: false };
}

/** The executable bit is part of what a worker stores under a name. */
export function suffixOf(isExecutable: boolean): string {
  return isExecutable ? EXECUTABLE_SUFFIX : "";
}

/** A name of this kind from text that must not show in it. */
export function hashText(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * The stamp of a file or directory that can be read.
 *
 * @throws {FileMissingError} When there is none.
 */
export async function checkReadable(path: string): Promise<FileStamp> {
  try {
    await access(path, constants.R_OK);
    const found = await lstat(await realpath(path));
    if (!found.isFile() && !found.isDirectory()) {
      throw new FileMissingError(
        `Cannot declare "${path}" as a file: it is neither a file nor a directory`,
      );
    }
    return await stampOf(path);
  } catch (error) {
    if (error instanceof FileMissingError) throw error;
    throw new FileMissingError(`Cannot read file "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function bindDirectory(
  path: string,
  { stamp, isByContents }: { stamp: FileStamp; isByContents: boolean },
): Promise<BoundFile> {
  const found = await describeDirectory(path, { isHashed: isByContents });
  return {
    name: isByContents ? directoryName(found) : stampName(path, stamp),
    sizeBytes: found.sizeBytes,
    digest: found.digest,
    isDirectory: true,
    isExecutable: false,
  };
}

async function bindFile(
  path: string,
  { stamp, isByContents }: { stamp: FileStamp; isByContents: boolean },
): Promise<BoundFile> {
  const digest = isByContents ? await digestOfFile(path) : "";
  const { isExecutable } = stamp;
  return {
    name: isByContents ? fileContentName(digest, { isExecutable }) : stampName(path, stamp),
    sizeBytes: stamp.sizeBytes,
    digest,
    isDirectory: false,
    isExecutable,
  };
}

function stampName(path: string, stamp: FileStamp): CacheName {
  const { sizeBytes, mtimeNs, inode, isExecutable } = stamp;
  const text = JSON.stringify([path, sizeBytes, String(mtimeNs), String(inode)]);
  return `local-${hashText(text)}${suffixOf(isExecutable)}` as CacheName;
}

/** The SHA-256 of a file, read in pieces so that the event loop goes on between them. */
async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hash.update(chunk);
  }
  return hash.digest("hex");
}

/** Of a system error only what went wrong: what it went wrong with is in our own message. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return /^E[A-Z0-9]+: (.*), [a-z]+ '.*'$/s.exec(error.message)?.[1] ?? error.message;
}
