/** What a tree takes of the disk, as `du` has it, and how full the disk is. */

import { lstatSync, readdirSync, statfsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import { join } from "@std/path";

/** What was found, and what finding it took of the control loop's time. */
export interface DiskUsage {
  readonly bytes: number;
  readonly costMs: number;
}

/** How long the control loop is held at a stretch, and left alone after that: a tenth of its time. */
const STRETCH_MS = 2;
const REST_MS = 20;

/** Entries between two looks at the clock. */
const ENTRIES_PER_LOOK = 16;

/**
 * A directory of this size has a few thousand names, and is read away from the control loop: one with
 * a million would hold it for most of a second.
 */
const DIRECTORY_BYTES_MAX: number = 64 * 1024;

/** Of `st_blocks`, whatever the file system's own are: POSIX, sys/stat.h. */
const BLOCK_BYTES = 512;

/** A disk is as good as full for a program that writes with less than this left, or this part. */
const FULL_BYTES: number = 16 * 1024 * 1024;
const FULL_PART: number = 1 / 64;

/**
 * Adds up the blocks of all that is below `root`, each inode once, on its file system alone; what
 * goes or cannot be read meanwhile counts nothing, as do inodes of `shared`. With `isBrief` what
 * takes more than one stretch is not added up to its end.
 */
export async function diskUsage(
  root: string,
  shared: ReadonlySet<number>,
  { isBrief = false }: { readonly isBrief?: boolean } = {},
): Promise<DiskUsage> {
  const top = lstatSync(root, { throwIfNoEntry: false });
  const waiting = [{ path: root, sizeBytes: top?.size ?? 0 }];
  const linked = new Set<number>();
  const device = top?.dev;
  let bytes = 0;
  let costMs = 0;
  let stretchAtMs = performance.now();
  let looked = 0;
  while (true) {
    const directory = waiting.pop();
    if (directory === undefined) break;
    let names: readonly string[];
    if (directory.sizeBytes <= DIRECTORY_BYTES_MAX) names = namesIn(directory.path);
    else {
      costMs += performance.now() - stretchAtMs;
      if (isBrief) return { bytes, costMs };
      names = await readdir(directory.path).catch(() => []);
      stretchAtMs = performance.now();
    }
    for (const name of names) {
      const path = join(directory.path, name);
      const found = lookAt(path);
      if (found !== undefined && found.dev === device && !shared.has(found.ino)) {
        if (found.isDirectory()) waiting.push({ path, sizeBytes: found.size });
        const isAgain = found.nlink > 1 && !found.isDirectory() && linked.has(found.ino);
        if (!isAgain) bytes += found.blocks * BLOCK_BYTES;
        if (found.nlink > 1) linked.add(found.ino);
      }
      looked += 1;
      if (looked % ENTRIES_PER_LOOK !== 0) continue;
      const heldMs = performance.now() - stretchAtMs;
      if (heldMs < STRETCH_MS) continue;
      costMs += heldMs;
      if (isBrief) return { bytes, costMs };
      await delay(REST_MS);
      stretchAtMs = performance.now();
    }
  }
  return { bytes, costMs: costMs + performance.now() - stretchAtMs };
}

/** How a message goes on about a command that failed: nothing, unless the disk is full now. */
export function whenFull(path: string): string {
  const found = fileSystemOf(path);
  if (found === undefined) return "";
  const { bavail, bsize, blocks, files, ffree } = found;
  const freeBytes = bavail * bsize;
  const totalBytes = blocks * bsize;
  if (freeBytes < Math.min(FULL_BYTES, totalBytes * FULL_PART)) {
    return `; the disk of the worker had ${freeBytes} of ${totalBytes} bytes free then`;
  }
  return files > 0 && ffree === 0 ? "; the disk of the worker had no room for a file then" : "";
}

function fileSystemOf(path: string) {
  try {
    return statfsSync(path);
  } catch {
    // Its task has removed it.
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // Gone, or shut by its task.
    return [];
  }
}

function lookAt(path: string) {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    // In a directory that its task has shut, or too deep down.
    return undefined;
  }
}
