/** Writes and removes the access file of a manager; shared/access_file.ts reads it. */

import { randomBytes } from "node:crypto";
import { link, mkdir, open, rename, rm } from "node:fs/promises";

import { dirname } from "@std/path";

import {
  type AccessFile,
  AccessFileError,
  accessPath,
  checkDirectory,
  isStale,
  readAccessFile,
} from "../shared/access_file.ts";

/**
 * Publishes `access` under its name, whole or not at all; returns the path. Throws when another
 * manager of that name may be alive; the file of one that has ended is replaced.
 */
export async function writeAccessFile(access: AccessFile): Promise<string> {
  const path = accessPath(access.name);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await checkDirectory(dirname(path));
  await writeWhole(path, access, async (draft) => {
    try {
      // Unlike a rename, a link fails when the name is taken: of two managers, one gets it.
      await link(draft, path);
    } catch (error) {
      if (!isTaken(error)) throw error;
      await refuseLive(path, access);
      await rename(draft, path);
    }
  });
  return path;
}

/**
 * Writes an access file for `path`, over another access file if there is one: `tendril access -o`.
 *
 * @throws {Error} When something else is there.
 */
export async function writeAccessCopy(path: string, access: AccessFile): Promise<void> {
  try {
    await readAccessFile(path);
  } catch (error) {
    const isMissing = error instanceof AccessFileError && error.code === "missing";
    if (!isMissing) {
      const found = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot replace "${path}" by an access file: ${found}`, { cause: error });
    }
  }
  await writeWhole(path, access, (draft) => rename(draft, path));
}

/** Removes the access file of `access`, unless another manager has taken the name since. */
export async function removeAccessFile(access: AccessFile): Promise<void> {
  const path = accessPath(access.name);
  try {
    const current = await readAccessFile(path);
    if (current.managerId !== access.managerId || current.pid !== access.pid) return;
  } catch (error) {
    if (error instanceof AccessFileError) return;
    throw error;
  }
  await rm(path, { force: true });
}

/** Writes a draft beside `path`, private from its first byte, and hands it to `publish`. */
async function writeWhole(
  path: string,
  access: AccessFile,
  publish: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = `${path}.${randomBytes(8).toString("hex")}`;
  try {
    // "wx" is O_EXCL: nothing that is there, not even a link, is written through.
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(`${JSON.stringify(access, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await publish(draft);
  } finally {
    await rm(draft, { force: true });
  }
}

async function refuseLive(path: string, access: AccessFile): Promise<void> {
  let current: AccessFile;
  try {
    current = await readAccessFile(path);
  } catch (error) {
    // Gone meanwhile, or cut short by a crash: nothing that a live manager still needs.
    if (error instanceof AccessFileError && error.code !== "not_trusted") return;
    throw error;
  }
  if (current.managerId === access.managerId || isStale(current)) return;
  throw new Error(
    `Cannot use "${access.name}" as the name of this manager: ` +
      `process ${current.pid} on ${current.host} has it`,
  );
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}
