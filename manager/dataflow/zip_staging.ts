/** Members of zip files on this machine, to and from calls. */

import { existsSync } from "node:fs";
import { open, rm, stat } from "node:fs/promises";

import { ArchiveError } from "../../shared/archive/archive_error.ts";
import { WHOLE_ZIP_LIMITS } from "../../shared/archive/zip_append.ts";
import { ZipReader } from "../../shared/archive/zip_reader.ts";
import { type File, zipPlaceOf } from "./file.ts";
import { declareLocal, stampOf } from "./local_staging.ts";
import type { PlacedFile } from "./placed_file.ts";
import { type Staging, StagingError, stagingErrorOf, type StagingSite } from "./staging.ts";
import { appendInTurn } from "./zip_turns.ts";

/** Permissions of a member that was packed elsewhere than on Unix. */
const MODE_DEFAULT = 0o644;

/**
 * Files of the scheme `zip`: `zip:/path/archive.zip/inner/path`. Of an archive the member alone is
 * read; what a call made is added to it, in the place of a member of that name.
 */
export const ZIP_STAGING: Staging = {
  name: "zip",
  schemes: ["zip"],
  canStageIn: isZip,
  canStageOut: isZip,
  versionOf: (file) => stampOf(zipPlaceOf(file).archive) ?? "",
  stageIn: readMember,
  stageOut: addMember,
};

function isZip({ scheme }: File): boolean {
  return scheme === "zip";
}

async function readMember(file: File, site: StagingSite): Promise<PlacedFile> {
  const { archive, member } = zipPlaceOf(file);
  if (!existsSync(archive)) {
    throw missing(file, `there is no archive at "${archive}"`);
  }
  const reader = openArchive(file, archive);
  const path = await site.newPath(file.name);
  try {
    const entry = reader.entries.find(({ name }) => name === member);
    if (entry === undefined) throw missing(file, "the archive has no such member");
    const mode = (entry.mode ?? 0) & 0o777;
    const target = await open(path, "w", mode === 0 ? MODE_DEFAULT : mode);
    try {
      for await (const chunk of reader.contents(entry)) {
        site.signal.throwIfAborted();
        await target.writeFile(chunk);
      }
    } finally {
      await target.close();
    }
  } catch (error) {
    await rm(path, { force: true });
    if (error instanceof ArchiveError) throw unreadable(file, error);
    throw error;
  } finally {
    await reader.close();
  }
  return declareLocal(path, site);
}

async function addMember(file: File, made: PlacedFile, site: StagingSite): Promise<void> {
  const { archive, member } = zipPlaceOf(file);
  const path = await made.local();
  if ((await stat(path)).isDirectory()) {
    const message = `Cannot write "${file.url}": a member is a file, and no directory`;
    throw new StagingError("transfer_failed", message);
  }
  try {
    await appendInTurn(archive, { name: member, path }, site.signal);
  } catch (error) {
    site.signal.throwIfAborted();
    throw stagingErrorOf(error, `Cannot write "${file.url}"`);
  }
}

function openArchive(file: File, archive: string): ZipReader {
  try {
    return new ZipReader(archive, WHOLE_ZIP_LIMITS);
  } catch (error) {
    throw unreadable(file, error);
  }
}

function missing({ url }: File, found: string): StagingError {
  return new StagingError("input_missing", `Cannot read "${url}": ${found}`);
}

function unreadable({ url }: File, cause: unknown): StagingError {
  const found = cause instanceof Error ? cause.message : String(cause);
  return new StagingError("transfer_failed", `Cannot read "${url}": ${found}`, { cause });
}
