/** Disks of a test's own, and what lies on them. */

import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";

import { join } from "@std/path";

/** A disk of that size at `path` until it is disposed; undefined where none can be made. */
export function smallDisk(path: string, sizeBytes: number): Disposable | undefined {
  mkdirSync(path, { recursive: true });
  const args = ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "tendril-test", path];
  // Only root can mount.
  if (spawnSync("mount", args).status !== 0) return undefined;
  return { [Symbol.dispose]: () => void spawnSync("umount", ["-l", path]) };
}

/** What the files below `path` take, each once, without what goes while it is counted. */
export async function usedBytes(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  // An input is linked into the sandbox: one file under two names.
  const sizes = new Map<number, number>();
  await Promise.all(
    entries.filter((entry) => entry.isFile()).map(async (entry) => {
      const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
      if (found !== undefined) sizes.set(found.ino, found.size);
    }),
  );
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
