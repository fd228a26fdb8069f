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

/** A manager that wants its name. */
interface Claim {
  /** Path of its access file, not yet published. */
  readonly draft: string;
  readonly access: AccessFile;
}

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
    throw describeFailure(error, path, "; TENDRIL_HOME may name another folder");
  }
  return path;
}

/**
 * Gives the name to `draft`. A link fails where a rename would not, when the name is taken: of
 * several managers one gets it, and of those that want to follow an ended one, one may try.
 */
async function claim(path: string, { draft, access }: Claim): Promise<void> {
  const turn = `${path}.claim`;
  for (let left = CLAIMS_MAX; left > 0; left -= 1) {
    if (await linkNew(draft, path)) return;
    if (await checkFree(path, access) === "own") return await rename(draft, path);
    if (!await linkNew(draft, turn)) {
      // Whoever held it was killed meanwhile, or else has given it back.
      if (await checkFree(turn, access) === "ended") await rm(turn, { force: true });
      continue;
    }
    try {
      await checkFree(path, access);
      return await rename(draft, path);
    } finally {
      await rm(turn, { force: true });
    }
  }
  throw new Error(`Cannot use "${access.name}" as the name of this manager: others want it too`);
}

/** False when there is something at `path`. */
async function linkNew(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
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
  try {
    await writeWhole(path, access, (draft) => rename(draft, path));
  } catch (error) {
    throw describeFailure(error, path);
  }
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

/** Whose file is at `path`; throws when it is that of another manager that may be alive. */
async function checkFree(path: string, access: AccessFile): Promise<"own" | "ended" | "missing"> {
  let current: AccessFile;
  try {
    current = await readAccessFile(path);
  } catch (error) {
    if (!(error instanceof AccessFileError) || error.code === "not_trusted") throw error;
    // Cut short by a crash: nothing that a live manager still needs.
    return error.code === "missing" ? "missing" : "ended";
  }
  if (current.managerId === access.managerId) return "own";
  if (isStale(current)) return "ended";
  throw new Error(
    `Cannot use "${access.name}" as the name of this manager: ` +
      `process ${current.pid} on ${current.host} has it`,
  );
}

/** What the system says of the path, with what was tried; other errors as they are. */
function describeFailure(error: unknown, path: string, hint: string = ""): unknown {
  const isOfSystem = error instanceof Error && "syscall" in error;
  if (!isOfSystem || error instanceof AccessFileError) return error;
  const message = `Cannot write access file "${path}": ${error.message}${hint}`;
  return new Error(message, { cause: error });
}
