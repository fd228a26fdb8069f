/** Paths of this machine, to and from calls. */

import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";

import { dirname, join } from "@std/path";

import { replace } from "../../shared/replace.ts";
import { messageOf } from "./app_error.ts";
import type { File } from "./file.ts";
import { pathOptionsOf, PlacedFile } from "./placed_file.ts";
import { type Staging, StagingError, type StagingSite } from "./staging.ts";

/**
 * Files of the scheme `file`. With a manager they are declared, and workers fetch them; others read
 * them where they are. What a call made is renamed into place, whose folders are made.
 */
export const LOCAL_STAGING: Staging = {
  name: "file",
  schemes: ["file"],
  yields: true,
  canStageIn: isLocal,
  canStageOut: isLocal,
  versionOf: ({ path }) => stampOf(path),
  stageIn: (file, site) => declareLocal(file.path, site),
  stageOut: ({ path }, made, { signal }) => placeAt(path, made, signal),
};

function isLocal({ scheme }: File): boolean {
  return scheme === "file";
}

/**
 * A path of this machine where tries of an executor can read it.
 *
 * @throws {StagingError} When there is nothing.
 */
export function declareLocal(path: string, { manager }: StagingSite): PlacedFile {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    throw new StagingError("input_missing", `Cannot read "${path}": there is no such file`);
  }
  if (manager === undefined) return new PlacedFile({ kind: "path", path });
  const name = new PlacedFile({ kind: "path", path }).name;
  const handle = manager.file(path, pathOptionsOf(name));
  return new PlacedFile({ kind: "handle", handle, manager }, name);
}

/** What changes with the contents of a file; undefined of a directory, whose own time tells little. */
export function stampOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (found === undefined || found.isDirectory()) return undefined;
  return `${found.dev}-${found.ino}-${found.size}-${found.mtimeNs}`;
}

/** Puts a file at a path: whole, or what was there before stays. */
export async function placeAt(path: string, made: PlacedFile, signal: AbortSignal): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.tendril-${randomBytes(8).toString("hex")}`);
  try {
    await mkdir(folder, { recursive: true });
    await made.fetch(temporary);
    signal.throwIfAborted();
    await replace(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {
      // The first error says why nothing can be written there.
    });
    signal.throwIfAborted();
    throw new StagingError("transfer_failed", `Cannot write "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}
