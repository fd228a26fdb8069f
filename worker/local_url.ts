/** Bytes of a `file://` url: a file, or a directory as its canonical tar stream. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { DownloadError } from "./download.ts";

/** One read. */
const READ_BYTES: number = 512 * 1024;

/** Reads what `url` names; `tree` reads a directory, and is absent where a file is wanted. */
export async function* readLocalUrl(
  url: string,
  { tree, signal }: {
    tree: ((path: string) => AsyncIterable<Uint8Array>) | undefined;
    signal: AbortSignal;
  },
): AsyncGenerator<Uint8Array, void, void> {
  const path = pathOf(url);
  const found = await stat(path).catch((cause: unknown) => {
    throw new DownloadError("refused", `"${path}" cannot be read on this worker`, cause);
  });
  if (found.isDirectory() !== (tree !== undefined) || !(found.isFile() || found.isDirectory())) {
    const wanted = tree === undefined ? "file" : "directory";
    throw new DownloadError("refused", `"${path}" is not a ${wanted}`);
  }
  if (tree === undefined) {
    yield* createReadStream(path, { highWaterMark: READ_BYTES, signal });
    return;
  }
  for await (const chunk of tree(path)) {
    signal.throwIfAborted();
    yield chunk;
  }
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new DownloadError("refused", `"${url}" is no file url of this host`, cause);
  }
}
