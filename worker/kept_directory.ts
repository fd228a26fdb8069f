/** Directories that are kept for ever: each in the cache of the workspace that it came to. */

import { lstatSync, readdirSync, readFileSync, rmSync } from "node:fs";

import { join } from "@std/path";

import { checkCacheName } from "../shared/cache_name.ts";
import { removeTree } from "./trash.ts";
import { lockWorkspace, STORE_NAME } from "./workspace.ts";

/** One directory, in one workspace. */
export interface KeptDirectory {
  readonly name: string;
  readonly sizeBytes: number;
  /** Epoch milliseconds. */
  readonly addedAtMs: number;
  /** Of the workspace. */
  readonly workspacePath: string;
}

/** Those of all workspaces below `userPath`, which need not exist. */
export function keptDirectories(userPath: string): KeptDirectory[] {
  const workspaces = namesIn(userPath).filter((name) => name !== STORE_NAME);
  return workspaces.flatMap((workspace) => {
    const workspacePath = join(userPath, workspace);
    return namesIn(join(workspacePath, "cache", "records")).flatMap((fileName) => {
      const kept = readRecord(workspacePath, fileName);
      return kept === undefined ? [] : [kept];
    });
  });
}

/** Removes one; false when a worker is running in its workspace. */
export async function removeKept({ name, workspacePath }: KeptDirectory): Promise<boolean> {
  const lock = await lockWorkspace(workspacePath);
  if (lock === undefined) return false;
  try {
    const cache = join(workspacePath, "cache");
    // First the record, without which the next worker removes what is left.
    rmSync(join(cache, "records", `${name}.json`), { force: true });
    await removeTree(join(cache, "files", name));
    return true;
  } finally {
    lock.close();
  }
}

function readRecord(workspacePath: string, fileName: string): KeptDirectory | undefined {
  const path = join(workspacePath, "cache", "records", fileName);
  try {
    const { name, sizeBytes } = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    if (typeof name !== "string" || `${checkCacheName(name)}.json` !== fileName) return undefined;
    if (typeof sizeBytes !== "number") return undefined;
    return { name, sizeBytes, addedAtMs: lstatSync(path).mtimeMs, workspacePath };
  } catch {
    // It is being removed, or is no record.
    return undefined;
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    // No folder, or nobody's business.
    return [];
  }
}
