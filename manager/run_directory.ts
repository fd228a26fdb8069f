/**
 * The folder of one run, in which its records are kept: made when there is something to record, so
 * that a manager that never had a task or a worker leaves none.
 *
 *     tendril-runs/2026-11-22T02-45-10/{run.json,monitoring.db,vine-logs,logs,outputs}
 *     tendril-runs/latest -> 2026-11-22T02-45-10
 *
 * Records are no reason for a workflow to stop: where nobody has said in which folder they are
 * wanted, one that cannot be made costs a note. It is private, as commands and outputs may be.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import process from "node:process";

import { join, resolve } from "@std/path";

import { processStart } from "../shared/access_file.ts";
import { VERSION } from "../shared/version.ts";
import type { ManagerConfig } from "./config.ts";
import { tell } from "./notice.ts";
import { readRunDirectoryText, type RecordsConfig } from "./records_option.ts";
import {
  replaceRunFile,
  RUN_FILE_NAME,
  type RunEnd,
  type RunFile,
  runFileText,
} from "./run_file.ts";

/** Where runs go when nobody says. */
export const RUNS_DIRECTORY = "tendril-runs";

/** The link to the newest of them. */
export const LATEST_NAME = "latest";

/** Runs that begin in one second, in one folder; more are none of people's. */
const SAME_NAMES_MAX = 1000;

/** Whose run it is. */
export interface RunIdentity {
  /** Name of the manager. */
  readonly name: string;
  readonly managerId: string;
}

/** The records of one manager on disk. */
export class RunDirectory {
  readonly #identity: RunIdentity;
  readonly #records: RecordsConfig;
  /** Folder of all runs; undefined when there are no records. */
  readonly #parent: string | undefined;
  readonly #onTrouble: (message: string) => void;
  #run: RunFile | undefined;
  #path: string | undefined;
  #isTried = false;

  /**
   * Finds out where the records go. `onTrouble` is given what a person should know, without an
   * end of line.
   *
   * @throws {Error} When that was stated, and nothing can be written there.
   */
  constructor(
    config: Pick<ManagerConfig, "records" | "runDirectory">,
    identity: RunIdentity,
    onTrouble: (message: string) => void = tell,
  ) {
    this.#identity = identity;
    this.#records = config.records;
    this.#onTrouble = onTrouble;
    const stated = config.runDirectory ??
      readRunDirectoryText(process.env["TENDRIL_RUN_DIRECTORY"]);
    const hasRecords = Object.values(config.records).includes(true);
    if (stated === false || !hasRecords) return;
    this.#parent = resolve(stated ?? RUNS_DIRECTORY);
    if (stated !== undefined) checkParent(this.#parent);
  }

  /** The folder of this run; undefined until there is one. */
  get path(): string | undefined {
    return this.#path;
  }

  /** True when a database or TaskVine's logs are to be in it. */
  get isRecording(): boolean {
    const { database, vineLogs } = this.#records;
    return this.#parent !== undefined && (database || vineLogs);
  }

  /** Its `monitoring.db`; undefined when there is to be none, or no folder yet. */
  get databasePath(): string | undefined {
    return this.#pathOf("database", "monitoring.db");
  }

  /** Its folder for TaskVine's logs, not yet made; undefined likewise. */
  get vineLogsPath(): string | undefined {
    return this.#pathOf("vineLogs", "vine-logs");
  }

  /** Its folder for logs, not yet made; undefined likewise. */
  get logsPath(): string | undefined {
    return this.#pathOf("logs", "logs");
  }

  /** Its folder for what failed tasks wrote, not yet made; undefined likewise. */
  get outputsPath(): string | undefined {
    return this.#pathOf("outputs", "outputs");
  }

  /** Makes the folder, once: the first who has something to record asks for it. */
  make(): string | undefined {
    if (this.#isTried || this.#parent === undefined) return this.#path;
    this.#isTried = true;
    const startedAtMs = Date.now();
    try {
      this.#path = makeRun(this.#parent, this.#run = this.#newRun(startedAtMs));
    } catch (error) {
      this.#onTrouble(`no records of this run are kept: ${cannotUse(this.#parent, error)}`);
    }
    return this.#path;
  }

  /** Notes in the folder how the run went. */
  async end(end: RunEnd): Promise<void> {
    if (this.#path === undefined || this.#run === undefined) return;
    try {
      await replaceRunFile(this.#path, { ...this.#run, end });
    } catch (error) {
      this.#onTrouble(`Cannot note the end of the run in "${this.#path}": ${messageOf(error)}`);
    }
  }

  #newRun(startedAtMs: number): RunFile {
    const start = processStart(process.pid);
    return {
      version: 1,
      ...this.#identity,
      tendrilVersion: VERSION,
      pid: process.pid,
      host: hostname(),
      ...(start === undefined ? {} : { processStart: start }),
      startedAtMs,
    };
  }

  #pathOf(record: keyof RecordsConfig, name: string): string | undefined {
    if (this.#path === undefined || !this.#records[record]) return undefined;
    return join(this.#path, name);
  }
}

/** The name of a run that began then, in local time: it sorts, and needs no quotes in a shell. */
export function runNameOf(startedAtMs: number): string {
  const at = new Date(startedAtMs);
  const [year, ...rest] = [
    at.getFullYear(),
    at.getMonth() + 1,
    at.getDate(),
    at.getHours(),
    at.getMinutes(),
    at.getSeconds(),
  ].map((part) => String(part).padStart(2, "0"));
  const [month, day, hours, minutes, seconds] = rest;
  return `${year}-${month}-${day}T${hours}-${minutes}-${seconds}`;
}

/** Points `latest` in `parent` at the run `name`; what is there and no link stays. */
export function linkLatest(parent: string, name: string): void {
  const path = join(parent, LATEST_NAME);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isSymbolicLink()) return;
  const draft = `${path}.${randomBytes(8).toString("hex")}`;
  try {
    symlinkSync(name, draft);
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

function makeRun(parent: string, run: RunFile): string {
  mkdirSync(parent, { recursive: true });
  const name = makeFolder(parent, runNameOf(run.startedAtMs));
  const path = join(parent, name);
  try {
    writeFileSync(join(path, RUN_FILE_NAME), runFileText(run), { flag: "wx", mode: 0o600 });
  } catch (error) {
    // Nobody would know whose folder it is.
    rmSync(path, { recursive: true, force: true });
    throw error;
  }
  try {
    linkLatest(parent, name);
  } catch {
    // Some file systems have no links: the newest run is the last by its name.
  }
  return path;
}

/** Makes a folder that nobody else has; returns its name. */
function makeFolder(parent: string, wanted: string): string {
  for (let number = 1; number <= SAME_NAMES_MAX; number++) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    try {
      mkdirSync(join(parent, name), { mode: 0o700 });
      return name;
    } catch (error) {
      const isTaken = error instanceof Error && "code" in error && error.code === "EEXIST";
      if (!isTaken) throw error;
    }
  }
  throw new Error(`${SAME_NAMES_MAX} runs began at ${wanted}`);
}

/** A folder that was asked for is tried at once: later, nobody would look. */
function checkParent(parent: string): void {
  try {
    mkdirSync(parent, { recursive: true });
    accessSync(parent, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new Error(cannotUse(parent, cause), { cause });
  }
}

function cannotUse(parent: string, error: unknown): string {
  return `Cannot use "${parent}" for the records of runs: ${messageOf(error)}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
