/** Contents of a `file://` url: a file, or a directory as its canonical tar stream. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { type FileStamp, isSameStamp, stampOf, stampValidator } from "../shared/file_stamp.ts";
import { UrlError } from "../shared/url/request.ts";

/** One read. */
const READ_BYTES: number = 512 * 1024;

/** What is at a url, and its bytes as they are read. */
export interface LocalContents {
  readonly isDirectory: boolean;
  readonly isExecutable: boolean;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** How it is read. */
export interface LocalReading {
  /** By which it was named; empty when it was not. */
  readonly validator: string;
  /** Reads a directory. */
  readonly tree: (path: string) => AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

/** Opens what is at `url`; throws UrlError when it is not there, or not what was named. */
export async function openLocalUrl(url: string, reading: LocalReading): Promise<LocalContents> {
  const path = pathOfUrl(url);
  const { validator } = reading;
  const found = await look(path);
  const { isDirectory, isExecutable } = found.stamp;
  if (!found.isFile && !isDirectory) {
    throw new UrlError("refused", `"${path}" is neither a file nor a directory`);
  }
  const now = stampValidator(found.stamp);
  if (validator !== "" && !isDirectory && now !== validator) {
    throw new UrlError(
      "changed",
      `"${path}" has changed: it was ${validator} when it was named, and is ${now}`,
    );
  }
  return { isDirectory, isExecutable, chunks: readUnchanged(path, found.stamp, reading) };
}

/** The path of a `file://` url; throws UrlError when it is of another host. */
export function pathOfUrl(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new UrlError("refused", `"${url}" is no file url of this host`, { cause });
  }
}

async function look(path: string): Promise<{ stamp: FileStamp; isFile: boolean }> {
  try {
    return { stamp: await stampOf(path), isFile: (await stat(path)).isFile() };
  } catch (cause) {
    throw new UrlError("refused", `"${path}" cannot be read on this worker`, { cause });
  }
}

async function* readUnchanged(
  path: string,
  stamp: FileStamp,
  { tree, signal }: LocalReading,
): AsyncGenerator<Uint8Array, void, void> {
  const chunks = stamp.isDirectory
    ? tree(path)
    : createReadStream(path, { highWaterMark: READ_BYTES, signal });
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    yield chunk;
  }
  if (isSameStamp(stamp, (await look(path)).stamp)) return;
  throw new UrlError("changed", `"${path}" changed while it was read`);
}
