/** Documents of servers, to and from calls. */

import { createReadStream } from "node:fs";
import { open, rm, stat } from "node:fs/promises";

import { shownUrl } from "../../shared/url/address.ts";
import { downloadUrl } from "../../shared/url/download.ts";
import { UrlError } from "../../shared/url/request.ts";
import { uploadUrl } from "../../shared/url/upload.ts";
import type { File } from "./file.ts";
import { pathOptionsOf, PlacedFile } from "./placed_file.ts";
import { type Staging, StagingError, type StagingSite } from "./staging.ts";

/** A server that is silent for this long is given up. */
const SILENCE_MS_MAX = 60_000;

/** One read. */
const READ_BYTES: number = 512 * 1024;

const SCHEMES: readonly string[] = ["http", "https", "ftp"];

/**
 * Files of the schemes `http`, `https` and `ftp`. With a manager workers fetch and store them by
 * themselves, and keep what they fetched; for others they are fetched to this machine.
 */
export const URL_STAGING: Staging = {
  name: "url",
  schemes: SCHEMES,
  yields: true,
  canStageIn: isUrl,
  canStageOut: isUrl,
  stageIn: (file, site) => {
    const { manager, isShared } = site;
    if (manager === undefined) return fetchUrl(file, site);
    const options = pathOptionsOf(nameOf(file));
    const handle = isShared
      ? manager.url(file.url, options)
      : manager.url(file.url, { ...options, cache: "task", fresh: true });
    return new PlacedFile({ kind: "handle", handle, manager }, nameOf(file));
  },
  stageOut: storeUrl,
};

function isUrl({ scheme }: File): boolean {
  return SCHEMES.includes(scheme);
}

/** A url may end in a slash. */
function nameOf({ name }: File): string {
  return name === "" || name === "/" ? "file" : name;
}

async function fetchUrl(file: File, { newPath, signal }: StagingSite): Promise<PlacedFile> {
  const path = await newPath(nameOf(file));
  const source = { url: file.url, validator: "", sizeBytes: -1, silenceMsMax: SILENCE_MS_MAX };
  try {
    await downloadUrl(source, signal, async (chunks) => {
      const target = await open(path, "w");
      try {
        for await (const chunk of chunks) await target.writeFile(chunk);
      } finally {
        await target.close();
      }
    });
  } catch (error) {
    await rm(path, { force: true });
    signal.throwIfAborted();
    throw failureOf(error, `Cannot read "${shownUrl(file.url)}"`);
  }
  return new PlacedFile({ kind: "path", path });
}

async function storeUrl(file: File, made: PlacedFile, site: StagingSite): Promise<void> {
  const { signal } = site;
  const path = await made.local();
  const found = await stat(path);
  if (found.isDirectory()) {
    const message = `Cannot write "${shownUrl(file.url)}": a server takes files, and no directory`;
    throw new StagingError("transfer_failed", message);
  }
  const open = () => createReadStream(path, { highWaterMark: READ_BYTES });
  try {
    await uploadUrl(file.url, { sizeBytes: found.size, open }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw failureOf(error, `Cannot write "${shownUrl(file.url)}"`);
  }
}

/** What servers say names the url already. */
function failureOf(error: unknown, what: string): unknown {
  if (!(error instanceof UrlError)) return error;
  return new StagingError("transfer_failed", `${what}: ${error.message}`, { cause: error });
}
