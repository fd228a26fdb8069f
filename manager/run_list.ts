/** The runs of a folder: what became of each, and their removal. */

import { randomBytes } from "node:crypto";
import { lstat, readdir, readlink, rename, rm } from "node:fs/promises";

import { join } from "@std/path";

import { isStale } from "../shared/access_file.ts";
import { mapInOrder } from "../shared/bounded.ts";
import { LATEST_NAME, linkLatest } from "./run_directory.ts";
import { readRunFile, type RunFile } from "./run_file.ts";

/** One run, as `tendril runs --json` tells of it. */
export interface RunSummary {
  /** Of its folder: the local time at which it began. */
  readonly run: string;
  /** Of the manager. */
  readonly name: string;
  /** `killed`: its manager is gone and has not said how the run ended. */
  readonly state: "running" | "ended" | "killed";
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  /** Of one that was killed: until when there are records; null where nothing tells. */
  readonly endedAtMs: number | null;
  /** Tasks that ended in each way, function calls among them; null where nothing tells. */
  readonly succeeded: number | null;
  readonly failed: number | null;
  readonly cancelled: number | null;
  /** Of all its files. */
  readonly sizeBytes: number;
  /** Of the manager, on `host`. */
  readonly pid: number;
  readonly host: string;
}

/** What became of a run that was to be removed; all but `removed` are left as they are. */
export type Removal = "removed" | "running" | "no_run";

/** As `runNameOf` makes them, and with a number where several began at once. */
const RUN_NAME = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(-\d{1,4})?$/;

/** As `removeRun` names what it removes. */
const REMOVED_NAME = /^\.removed-[0-9a-f]{16}$/;

/** Runs that are looked at together. */
const LOOKS_MAX = 8;

/** Files of one run that are counted; it has far fewer. */
const ENTRIES_MAX = 100_000;

/** Time for a database that is being written. */
const BUSY_MS_MAX = 500;

/** What is looked at of a run. */
interface FoundRun {
  readonly run: string;
  readonly path: string;
  readonly file: RunFile;
}

/** What its database knows of a run. */
interface RecordedRun {
  readonly endedAtMs: number | null;
  readonly recordedAtMs: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
}

/** The runs in `directory`, the oldest first; other things in it are passed over. */
export async function listRuns(directory: string): Promise<RunSummary[]> {
  const names = await runNames(directory);
  const found = await Array.fromAsync(mapInOrder(names, LOOKS_MAX, async (run) => {
    const path = join(directory, run);
    const file = await readRun(path);
    return file && await summarize({ run, path, file });
  }));
  return found.filter((run) => run !== undefined).sort((a, b) => {
    return a.startedAtMs - b.startedAtMs || a.run.length - b.run.length || (a.run < b.run ? -1 : 1);
  });
}

/**
 * Removes the run of that name from `directory`: nothing that is no run or has not ended, and of
 * links never what they lead to.
 */
export async function removeRun(directory: string, run: string): Promise<Removal> {
  if (!RUN_NAME.test(run)) return "no_run";
  const path = join(directory, run);
  const file = await readRun(path);
  if (file === undefined) return "no_run";
  if ((await summarize({ run, path, file })).state === "running") return "running";
  // Nobody finds half a run; what is a link by now is removed as one.
  const aside = join(directory, `.removed-${randomBytes(8).toString("hex")}`);
  await rename(path, aside);
  await rm(aside, { recursive: true, force: true });
  return "removed";
}

/** Removes what is left of runs of which the removal was interrupted. */
export async function sweepRemoved(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!REMOVED_NAME.test(name)) continue;
    await rm(join(directory, name), { recursive: true, force: true });
  }
}

/** Points `latest` at the newest run that is left, if it led to one that is gone. */
export async function mendLatest(directory: string): Promise<void> {
  const path = join(directory, LATEST_NAME);
  const target = await readlink(path).catch(() => undefined);
  if (target === undefined || !RUN_NAME.test(target)) return;
  if (await readRun(join(directory, target)) !== undefined) return;
  const newest = (await listRuns(directory)).at(-1);
  if (newest === undefined) await rm(path, { force: true });
  else linkLatest(directory, newest.run);
}

async function runNames(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => RUN_NAME.test(name));
}

/** Whose run is in the folder at `path`; undefined when it is a link, or no run. */
async function readRun(path: string): Promise<RunFile | undefined> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isDirectory() === true ? await readRunFile(path) : undefined;
}

async function summarize({ run, path, file }: FoundRun): Promise<RunSummary> {
  const { name, startedAtMs, pid, host, end } = file;
  const recorded = end === undefined ? await readDatabase(path) : undefined;
  const hasEnded = end !== undefined || typeof recorded?.endedAtMs === "number";
  const state = hasEnded ? "ended" : isStale(file) ? "killed" : "running";
  const lastMs = recorded?.endedAtMs ?? recorded?.recordedAtMs ?? null;
  return {
    run,
    name,
    state,
    startedAtMs,
    endedAtMs: end?.atMs ?? (state === "running" ? null : lastMs),
    succeeded: end?.succeededCount ?? recorded?.succeeded ?? null,
    failed: end?.failedCount ?? recorded?.failed ?? null,
    cancelled: end?.cancelledCount ?? recorded?.cancelled ?? null,
    sizeBytes: await sizeOf(path),
    pid,
    host,
  };
}

/** What `monitoring.db` says; undefined where there is none, or none that can be read as it is. */
async function readDatabase(path: string): Promise<RecordedRun | undefined> {
  const databasePath = join(path, "monitoring.db");
  const found = await lstat(databasePath).catch(() => undefined);
  if (found?.isFile() !== true) return undefined;
  try {
    const { DatabaseSync } = await import("node:sqlite");
    const { findSchemaFault } = await import("./monitoring/schema_check.ts");
    const database = new DatabaseSync(databasePath, { readOnly: true });
    try {
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS_MAX}`);
      if (findSchemaFault(database) !== undefined) return undefined;
      // The newest sample is one row, while counting tasks would read all of them.
      const row = database.prepare(`
        SELECT ended_at_ms AS endedAtMs, recorded_at_ms AS recordedAtMs,
          coalesce(succeeded_total, 0) AS succeeded, coalesce(failed_total, 0) AS failed,
          coalesce(cancelled_total, 0) AS cancelled
        FROM run LEFT JOIN (SELECT * FROM sample ORDER BY at_ms DESC LIMIT 1) ON true
      `).get();
      return isRecordedRun(row) ? row : undefined;
    } finally {
      database.close();
    }
  } catch {
    // Damaged, of another version, or in the middle of being written: the list goes without.
    return undefined;
  }
}

function isRecordedRun(row: object | undefined): row is RecordedRun {
  if (row === undefined) return false;
  const { endedAtMs, ...numbers } = row as { readonly [name: string]: unknown };
  const isEnd = endedAtMs === null || typeof endedAtMs === "number";
  return isEnd && Object.values(numbers).every((value) => typeof value === "number");
}

/** Bytes of the files below `path`, links not followed. */
async function sizeOf(path: string): Promise<number> {
  let bytes = 0;
  let left = ENTRIES_MAX;
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (left-- <= 0) return bytes;
      const at = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(at);
      // It may have gone meanwhile.
      else bytes += (await lstat(at).catch(() => undefined))?.size ?? 0;
    }
  }
  return bytes;
}
