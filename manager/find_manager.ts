/** Finds the manager that a client means, also one that is only starting. */

import { setTimeout as delay } from "node:timers/promises";

import {
  type AccessFile,
  AccessFileError,
  findAccessFile,
  isStale,
  listAccessFiles,
  type ManagerTarget,
  readAccessFile,
  readManagerAccess,
} from "../shared/access_file.ts";
import { ClientConnection } from "./client.ts";

/** Between two looks for an access file. */
const LOOK_MS = 50;

/** How long to wait for a manager that is not there. */
export interface FindOptions {
  readonly waitMs: number;
  /** Called once, when there is something to wait for. */
  readonly onWait?: () => void;
}

/** The access file that is meant; waits while there is none of a manager that runs. */
export async function findManager(
  target: ManagerTarget,
  { waitMs, onWait }: FindOptions,
): Promise<AccessFile> {
  const endAtMs = performance.now() + waitMs;
  let hasTold = false;
  while (performance.now() < endAtMs && !await isThere(target)) {
    if (!hasTold) onWait?.();
    hasTold = true;
    await delay(LOOK_MS);
  }
  return await findAccessFile(target);
}

/** Connects to the manager that is meant. */
export async function connectClient(
  target: ManagerTarget,
  options: FindOptions,
): Promise<ClientConnection> {
  const access = await findManager(target, options);
  let found: AccessFile | undefined = access;
  return await ClientConnection.open(async () => {
    // What was found is used once: the manager may have moved since.
    const known = found;
    found = undefined;
    return known ?? await readMeant({ access: target.access, name: access.name });
  });
}

/** False when there is nothing yet; what is wrong otherwise is for `findAccessFile` to say. */
async function isThere({ access, name }: ManagerTarget): Promise<boolean> {
  if (access === undefined && name === undefined) {
    return (await listAccessFiles()).some((file) => !isStale(file));
  }
  try {
    return !isStale(await readMeant({ access, name: name ?? "" }));
  } catch (error) {
    return !(error instanceof AccessFileError) || error.code !== "missing";
  }
}

function readMeant(
  { access, name }: { readonly access: string | undefined; readonly name: string },
): Promise<AccessFile> {
  return access === undefined ? readManagerAccess(name) : readAccessFile(access);
}
