/** New contents in the place of old ones, at once. */

import { rename, rm, stat } from "node:fs/promises";

/** Thrown where a file or directory cannot take the place of what is there. */
export class ReplaceError extends Error {
  override readonly name = "ReplaceError";
}

/** Renames into place; a directory in the way is moved aside first, as rename cannot replace it. */
export async function replace(temporary: string, target: string): Promise<void> {
  const [made, found] = await Promise.all([stat(temporary), stat(target).catch(() => undefined)]);
  if (found === undefined || (!made.isDirectory() && !found.isDirectory())) {
    return await rename(temporary, target);
  }
  if (found.isDirectory() && !made.isDirectory()) {
    throw new ReplaceError("a directory is in the way");
  }
  if (made.isDirectory() && !found.isDirectory()) throw new ReplaceError("a file is in the way");
  const aside = `${temporary}-old`;
  await rename(target, aside);
  try {
    await rename(temporary, target);
  } catch (error) {
    await rename(aside, target);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}
