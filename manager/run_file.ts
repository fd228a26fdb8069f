/**
 * `run.json`, by which a folder is known to be that of a run: who made it, and, once the run has
 * ended, how it went. A run without an end, of which the process is gone, was killed.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, rm } from "node:fs/promises";

import { join } from "@std/path";

import { amount, type Check, name, oneOf, optional, shape } from "../shared/message_check.ts";
import type { ManagerStatus } from "./status.ts";

/** Its name in the folder of a run. */
export const RUN_FILE_NAME = "run.json";

/** What it says. */
export interface RunFile {
  readonly version: 1;
  /** Name of the manager. */
  readonly name: string;
  readonly managerId: string;
  readonly tendrilVersion: string;
  /** Of the manager, on `host`. */
  readonly pid: number;
  readonly host: string;
  /** As in an access file. */
  readonly processStart?: string;
  readonly startedAtMs: number;
  readonly end?: RunEnd;
}

/** How a run went that ended as it should. */
export interface RunEnd {
  readonly atMs: number;
  readonly succeededCount: number;
  readonly failedCount: number;
  readonly cancelledCount: number;
}

/** A file at most; what is longer is none of ours. */
const RUN_FILE_BYTES_MAX = 16 * 1024;

const runFile: Check<RunFile> = shape<RunFile>({
  version: oneOf([1]),
  name: name(64),
  managerId: name(256),
  tendrilVersion: name(64),
  pid: amount,
  host: name(256),
  processStart: optional(name(256)),
  startedAtMs: amount,
  end: optional(shape<RunEnd>({
    atMs: amount,
    succeededCount: amount,
    failedCount: amount,
    cancelledCount: amount,
  })),
});

/** What the folder at `path` says of its run; undefined when it is not the folder of one. */
export async function readRunFile(path: string): Promise<RunFile | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file;
  try {
    file = await open(join(path, RUN_FILE_NAME), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const facts = await file.stat();
    if (!facts.isFile() || facts.size > RUN_FILE_BYTES_MAX) return undefined;
    const found: unknown = JSON.parse(await file.readFile("utf8"));
    return runFile(found) === undefined ? found as RunFile : undefined;
  } catch {
    // Missing, another's, cut short: none that this program has made.
    return undefined;
  } finally {
    await file?.close();
  }
}

/** Writes the end of a run over its beginning, at once. */
export async function replaceRunFile(path: string, run: RunFile): Promise<void> {
  const draft = join(path, `${RUN_FILE_NAME}.${randomBytes(8).toString("hex")}`);
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(runFileText(run));
    } finally {
      await file.close();
    }
    await rename(draft, join(path, RUN_FILE_NAME));
  } finally {
    await rm(draft, { force: true });
  }
}

/** How a run went that ends now, as its manager's status says. */
export function runEndOf({ tasks }: Pick<ManagerStatus, "tasks">): RunEnd {
  const { succeeded, failed, cancelled } = tasks;
  return {
    atMs: Date.now(),
    succeededCount: succeeded,
    failedCount: failed,
    cancelledCount: cancelled,
  };
}

/** The file's own text. */
export function runFileText(run: RunFile): string {
  return `${JSON.stringify(run, undefined, 2)}\n`;
}
