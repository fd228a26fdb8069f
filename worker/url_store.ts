/**
 * Outputs on their way to a url: a file or directory that is renamed into place once it is whole
 * on the disk, or what is sent to a server. A url never has half of a file by what is done here, and what
 * is damaged in the cache does not get there.
 *
 * @module
 */

import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, open, readdir, rm } from "node:fs/promises";
import process from "node:process";

import { dirname, join } from "@std/path";

import { forEachBounded } from "../shared/bounded.ts";
import { replace } from "../shared/replace.ts";
import type { FileFacts } from "../shared/task.ts";
import { waitAfter } from "../shared/url/patience.ts";
import { UrlError } from "../shared/url/request.ts";
import { putUrl } from "../shared/url/upload.ts";
import { writeMeasured } from "./file_sink.ts";
import { pathOfUrl } from "./local_url.ts";
import type { Trees } from "./trees.ts";

/** A file of the cache that nobody removes meanwhile. */
export interface StoredSource {
  readonly path: string;
  readonly facts: FileFacts;
}

/** What storing works with. */
export interface StoreContext {
  readonly trees: Trees;
  readonly signal: AbortSignal;
}

/** One read. */
const READ_BYTES: number = 512 * 1024;

/** Files of a directory that are written to the disk at the same time. */
const SYNCS_AT_ONCE = 8;

/** Errors of file systems, those of networks above all, that another time may not bring. */
const PASSING_CODES: readonly string[] = ["EAGAIN", "EINTR", "EIO", "ESTALE", "ETIMEDOUT"];

/** Stores `source` at a url; throws UrlError when it is not there, or what it was aborted with. */
export async function storeAtUrl(
  source: StoredSource,
  { url, mode }: { readonly url: string; readonly mode?: number },
  context: StoreContext,
): Promise<void> {
  const { signal } = context;
  const isFile = url.startsWith("file:");
  if (!isFile && source.facts.isDirectory) {
    throw new UrlError("refused", "it is a directory, and a server takes files only");
  }
  for (let failureCount = 1;; failureCount++) {
    try {
      if (isFile) return await write(source, { path: pathOfUrl(url), mode }, context);
      const { path, facts } = source;
      const open = () => checkedFile(path, facts);
      return await putUrl(url, { sizeBytes: facts.sizeBytes, open }, signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = error instanceof UrlError ? error : systemFailure(error);
      if (failure.kind !== "broken") throw failure;
      await waitAfter(failure, failureCount, signal);
    }
  }
}

/** The file; throws before its last bytes when it is not the one that its task left. */
async function* checkedFile(
  path: string,
  facts: FileFacts,
): AsyncGenerator<Uint8Array, void, void> {
  const hash = createHash("sha256");
  let last: Uint8Array | undefined;
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
    hash.update(chunk);
    if (last !== undefined) yield last;
    last = chunk;
  }
  checkDigest(hash.digest("hex"), facts);
  if (last !== undefined) yield last;
}

/** Writes beside the target, to the disk, and renames. */
async function write(
  { path, facts }: StoredSource,
  target: { readonly path: string; readonly mode: number | undefined },
  { trees, signal }: StoreContext,
): Promise<void> {
  const folder = dirname(target.path);
  const temporary = join(folder, `.tendril-${randomBytes(8).toString("hex")}`);
  try {
    await mkdir(folder, { recursive: true });
    if (facts.isDirectory) {
      await trees.write(temporary, trees.read(path, 0));
      await syncTree(temporary);
    } else {
      await writeFile(path, facts, { path: temporary, mode: target.mode, signal });
    }
    signal.throwIfAborted();
    await replace(temporary, target.path);
    await sync(folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {
      // What cannot be removed either is of no use to report: the first error says why.
    });
    throw error;
  }
}

async function writeFile(
  from: string,
  facts: FileFacts,
  { path, mode, signal }: {
    readonly path: string;
    readonly mode: number | undefined;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { isExecutable = false } = facts;
  const chunks = createReadStream(from, { highWaterMark: READ_BYTES, signal });
  const { digest } = await writeMeasured(path, { chunks, isExecutable });
  checkDigest(digest, facts);
  await sync(path);
  await chmod(path, (mode ?? (isExecutable ? 0o777 : 0o666) & ~process.umask()) & 0o777);
}

function checkDigest(found: string, { digest }: FileFacts): void {
  if (digest === "" || found === digest) return;
  throw new UrlError("wrong", `its copy here is damaged: it has digest ${found}, not ${digest}`);
}

/** Has the files of a tree on the disk; names are there with their folders. */
async function syncTree(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true });
  const synced = entries.filter((entry) => entry.isFile() || entry.isDirectory());
  await forEachBounded(synced, SYNCS_AT_ONCE, (entry) => sync(join(entry.parentPath, entry.name)));
  await sync(path);
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function systemFailure(error: unknown): UrlError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const message = error instanceof Error ? error.message : String(error);
  return new UrlError(PASSING_CODES.includes(code) ? "broken" : "refused", message, {
    cause: error,
  });
}
