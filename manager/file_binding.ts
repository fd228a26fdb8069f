/**
 * Finds the names of declared files: what a file is called in every cache, from what can be
 * known of it without moving it. DESIGN section 6 has the table of levels and names.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, constants, lstat, realpath, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { describeDirectory, directoryName } from "./directory.ts";
import type { CacheName, FileId } from "../shared/ids.ts";
import type { CacheLevel } from "../shared/task.ts";
import type { BoundFile } from "./core/event.ts";
import type { MiniTaskSource } from "./file_entry.ts";

/** A url that says nothing for this long cannot be had. */
const URL_TIMEOUT_MS = 30_000;

/** First part of the names of what recipes make; `tendril cache list` tells by it what it is. */
const RECIPE_PREFIX = { unpack: "unpacked", environment: "environment" } as const;

/** What tells whether a local file is still the one that was declared. */
export interface FileStamp {
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  readonly inode: bigint;
  readonly isDirectory: boolean;
}

/** A local file with its name. */
export interface LocalBinding {
  readonly bound: BoundFile;
  readonly stamp: FileStamp;
}

/** Thrown when a declared file cannot be had; becomes the `input_missing` of its tasks. */
export class FileMissingError extends Error {
  override readonly name = "FileMissingError";
}

/** The stamp of what is at `path` now. */
export async function stampOf(path: string): Promise<FileStamp> {
  const found = await stat(path, { bigint: true });
  return {
    sizeBytes: Number(found.size),
    mtimeNs: found.mtimeNs,
    inode: found.ino,
    isDirectory: found.isDirectory(),
  };
}

/** True when both stamps are of the same, unchanged file. */
export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs && a.inode === b.inode &&
    a.isDirectory === b.isDirectory;
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
    name: `file-sha256-${digest}` as CacheName,
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

/**
 * Names a url by what its server says identifies these contents. Where it says nothing, a file
 * of this workflow is named by the url alone, a longer-lived one by its contents.
 */
export async function bindUrl(
  url: string,
  options: { readonly level: CacheLevel; readonly workflowId: string },
): Promise<BoundFile> {
  const { level, workflowId } = options;
  const found = url.startsWith("file:") ? await askFileUrl(url) : await askServer(url, "HEAD");
  const known = { sizeBytes: found.sizeBytes, digest: "", isDirectory: found.isDirectory };
  if (found.validator !== "") {
    const name = `url-${hashText(JSON.stringify([url, found.validator]))}` as CacheName;
    return { ...known, name, isExecutable: false };
  }
  if (level === "task" || level === "workflow") {
    const name = `url-${hashText(JSON.stringify([url, workflowId]))}` as CacheName;
    return { ...known, name, isExecutable: false };
  }
  return await bindUrlContents(url);
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
  const isExecutable = (Number((await stat(path)).mode) & 0o100) !== 0;
  // The executable bit is part of what a worker stores under the name.
  const suffix = isExecutable ? "-x" : "";
  return {
    name: isByContents
      ? `file-sha256-${digest}${suffix}` as CacheName
      : stampName(path, stamp, suffix),
    sizeBytes: stamp.sizeBytes,
    digest,
    isDirectory: false,
    isExecutable,
  };
}

function stampName(path: string, stamp: FileStamp, suffix: string = ""): CacheName {
  const { sizeBytes, mtimeNs, inode } = stamp;
  const text = JSON.stringify([path, sizeBytes, String(mtimeNs), String(inode)]);
  return `local-${hashText(text)}${suffix}` as CacheName;
}

/** The SHA-256 of a file, read in pieces so that the event loop goes on between them. */
async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hash.update(chunk);
  }
  return hash.digest("hex");
}

interface UrlAnswer {
  readonly sizeBytes: number;
  /** What identifies these contents; empty when the server gives nothing. */
  readonly validator: string;
  readonly isDirectory: boolean;
}

async function askFileUrl(url: string): Promise<UrlAnswer> {
  try {
    const stamp = await stampOf(fileURLToPath(url));
    return {
      sizeBytes: stamp.isDirectory ? -1 : stamp.sizeBytes,
      validator: JSON.stringify([stamp.sizeBytes, String(stamp.mtimeNs)]),
      isDirectory: stamp.isDirectory,
    };
  } catch {
    // The path is the workers' and need not exist here: they say what is wrong with it.
    return { sizeBytes: -1, validator: "", isDirectory: false };
  }
}

async function askServer(url: string, method: "HEAD" | "GET"): Promise<UrlAnswer> {
  const response = await request(url, method);
  await response.body?.cancel();
  if (response.status === 404 || response.status === 410) {
    throw new FileMissingError(`Cannot fetch url "${url}": status ${response.status}`);
  }
  // Servers that know no HEAD say so in many ways: the GET of the worker decides.
  if (!response.ok) return { sizeBytes: -1, validator: "", isDirectory: false };
  const validator = response.headers.get("etag") ?? response.headers.get("last-modified") ?? "";
  const length = response.headers.get("content-length");
  // The length of a compressed answer is not the length of the contents.
  const isPlain = response.headers.get("content-encoding") === null;
  const sizeBytes = isPlain && length !== null && /^\d{1,15}$/.test(length) ? Number(length) : -1;
  return { sizeBytes, validator, isDirectory: false };
}

async function bindUrlContents(url: string): Promise<BoundFile> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const chunks = url.startsWith("file:")
    ? createReadStream(fileURLToPath(url))
    : (await request(url, "GET")).body ?? [];
  for await (const chunk of chunks) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  const digest = hash.digest("hex");
  const name = `file-sha256-${digest}` as CacheName;
  return { name, sizeBytes, digest, isDirectory: false, isExecutable: false };
}

async function request(url: string, method: "HEAD" | "GET"): Promise<Response> {
  try {
    const signal = AbortSignal.timeout(URL_TIMEOUT_MS);
    return await fetch(url, { method, redirect: "follow", signal });
  } catch (error) {
    throw new FileMissingError(`Cannot fetch url "${url}": ${messageOf(error)}`, { cause: error });
  }
}

/** Of a system error only what went wrong: what it went wrong with is in our own message. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return /^E[A-Z0-9]+: (.*), [a-z]+ '.*'$/s.exec(error.message)?.[1] ?? error.message;
}
