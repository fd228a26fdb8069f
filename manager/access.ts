/** Writes and removes the access file of a manager; shared/access_file.ts reads it. */

import { randomBytes } from "node:crypto";
import { link, mkdir, open, rename, rm } from "node:fs/promises";

import { dirname } from "@std/path";

import {
  type AccessFile,
  AccessFileError,
  accessPath,
  checkHome,
  isStale,
  readAccessFile,
} from "../shared/access_file.ts";

/** How often a name that an ended manager left is asked for when others ask for it too. */
const CLAIMS_MAX = 5;

/**
 * Publishes `access` under its name, whole or not at all; returns the path. Throws when another
 * manager of that name may be alive; the file of one that has ended is replaced.
 */
export async function writeAccessFile(access: AccessFile): Promise<string> {
  const path = accessPath(access.name);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await checkHome();
    await writeWhole(path, access, (draft) => claim(path, { draft, access }));
  } catch (error) {
    throw describeFailure(error, `Cannot write access file "${path}"`, "TENDRIL_HOME");
  }
  return path;
}

/** Gives the name to `draft`. Unlike a rename, a link fails when it is taken: one gets it. */
async function claim(
  path: string,
  { draft, access }: { readonly draft: string; readonly access: AccessFile },
): Promise<void> {
  for (let left = CLAIMS_MAX; left > 0; left -= 1) {
    try {
      return await link(draft, path);
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    if (await checkFree(path, access) === "own") return await rename(draft, path);
    // Another one may have taken the name since it was looked at: then it is given back.
    const aside = `${draft}.ended`;
    await rename(path, aside).catch(ignoreMissing);
    try {
      await checkFree(aside, access);
    } catch (error) {
      await link(aside, path);
      throw error;
    } finally {
      await rm(aside, { force: true });
    }
  }
  throw new Error(`Cannot use "${access.name}" as the name of this manager: others want it too`);
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

/**
 * Throws when the file at `path` is that of another manager that may be alive; `own` when it is of
 * this one.
 */
async function checkFree(path: string, access: AccessFile): Promise<"own" | "free"> {
  let current: AccessFile;
  try {
    current = await readAccessFile(path);
  } catch (error) {
    // Gone meanwhile, or cut short by a crash: nothing that a live manager still needs.
    if (error instanceof AccessFileError && error.code !== "not_trusted") return "free";
    throw error;
  }
  if (current.managerId === access.managerId) return "own";
  if (isStale(current)) return "free";
  throw new Error(
    `Cannot use "${access.name}" as the name of this manager: ` +
      `process ${current.pid} on ${current.host} has it`,
  );
}

/** What the system says of a path, with what was tried; other errors as they are. */
function describeFailure(error: unknown, tried: string, variable: string): unknown {
  if (!(error instanceof Error) || error instanceof AccessFileError) return error;
  if (!("syscall" in error)) return error;
  return new Error(`${tried}: ${error.message}; ${variable} may name another folder`, {
    cause: error,
  });
}

function ignoreMissing(error: unknown): void {
  if (!hasCode(error, "ENOENT")) throw error;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
