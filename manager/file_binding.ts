/**
 * Finds the names of declared files: what a file is called in every cache, from what can be
 * known of it without moving it. DESIGN section 6 has the table of levels and names.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, constants, lstat, realpath } from "node:fs/promises";

import { describeDirectory, directoryName } from "./directory.ts";
import { type FileStamp, isSameStamp, stampOf } from "../shared/file_stamp.ts";
import type { CacheName } from "../shared/ids.ts";
import type { Recipe } from "../shared/protocol.ts";
import type { CacheLevel } from "../shared/task.ts";
import type { BoundFile } from "./core/event.ts";

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
    name: contentsName(digest, false),
    sizeBytes: bytes.length,
    digest,
    isDirectory: false,
    isExecutable: false,
  };
}

/** Names what a recipe makes of `input`: the same recipe of the same input is the same file. */
export function bindRecipe(recipe: Recipe["kind"], input: BoundFile): BoundFile {
  return {
    name: `mini-${hashText(JSON.stringify([recipe, input.name]))}` as CacheName,
    sizeBytes: -1,
    digest: "",
    isDirectory: true,
    isExecutable: false,
  };
}

/** The name of a file of these contents. */
export function contentsName(digest: string, isExecutable: boolean): CacheName {
  return `file-sha256-${digest}${suffixOf(isExecutable)}` as CacheName;
}

/** The executable bit is part of what a worker stores under a name. */
export function suffixOf(isExecutable: boolean): string {
  return isExecutable ? "-x" : "";
}

/** A name of this kind from text that must not show in it. */
export function hashText(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function checkReadable(path: string): Promise<FileStamp> {
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
    name: isByContents ? contentsName(digest, isExecutable) : stampName(path, stamp),
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
