/**
 * The records of a run that somebody wants to look at: where they are, and an open `monitoring.db` that
 * nothing is written into.
 *
 * A manager that was killed may have left a half written change in the journal beside its database.
 * Whoever opens that next has to undo it, which takes leave to write; where there is none, a copy is
 * looked at.
 *
 * @module
 */

import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { DatabaseSync } from "node:sqlite";

import { join, resolve } from "@std/path";

import { bridgeOldSchema, SCHEMA_VERSION_MIN } from "./monitoring/old_schema.ts";
import { SCHEMA_VERSION } from "./monitoring/schema.ts";
import { findSchemaFault, schemaVersionOf } from "./monitoring/schema_check.ts";
import { RUNS_DIRECTORY } from "./run_directory.ts";

/** Name of the records in the folder of a run. */
const DATABASE_NAME = "monitoring.db";

/** Longest wait while the manager writes. */
const BUSY_MS_MAX = 5_000;

/** Records that are open. */
export interface PastRun extends Disposable {
  readonly path: string;
  readonly db: DatabaseSync;
}

/**
 * The `monitoring.db` that `run` means: itself, that of a run's folder, or of a run in the folder of
 * all runs, as `latest` or `2026-11-22T02-45-10`.
 *
 * @throws {Error} When there is none.
 */
export function findRecords(run: string, runsDirectory: string = RUNS_DIRECTORY): string {
  const looked: string[] = [];
  for (const path of [resolve(run), resolve(runsDirectory, run)]) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) {
      looked.push(path);
      continue;
    }
    if (found.isFile()) return path;
    if (!found.isDirectory()) {
      throw new Error(`Cannot open run "${run}" as a past one: it is no file and no folder`);
    }
    const database = join(path, DATABASE_NAME);
    if (existsSync(database)) return database;
    looked.push(database);
  }
  throw new Error(`Cannot open run "${run}" as a past one: there is no ${looked.join(" and no ")}`);
}

/**
 * Opens records to read them.
 *
 * @throws {Error} When the file holds none, or those of another version.
 */
export function openPastRun(path: string): PastRun {
  const tried: (() => PastRun)[] = [
    // First, so that a journal beside it takes effect.
    () => open(path, path, false),
    () => open(path, path, true),
    () => openCopy(path),
  ];
  for (const [index, opening] of tried.entries()) {
    try {
      return opening();
    } catch (error) {
      if (error instanceof SchemaError) throw error;
      if (index + 1 < tried.length && isWriteRefusal(error)) continue;
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot open records "${path}" as a ${DATABASE_NAME}: ${reason}`, {
        cause: error,
      });
    }
  }
  throw new Error(`Cannot open records "${path}" as a ${DATABASE_NAME}`);
}

class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** SQLITE_READONLY with its kinds, and SQLITE_CANTOPEN where the journal's folder is not ours. */
function isWriteRefusal(error: unknown): boolean {
  return error instanceof Error &&
    /readonly|read-only|unable to open|disk I\/O/.test(error.message);
}

function open(path: string, shown: string, readOnly: boolean): PastRun {
  const db = new DatabaseSync(path, { readOnly });
  try {
    db.exec(`PRAGMA busy_timeout = ${BUSY_MS_MAX}; PRAGMA query_only = 1`);
    const version = checkSchema(db, shown);
    db.exec("PRAGMA query_only = 0");
    bridgeOldSchema(db, version);
    db.exec("PRAGMA query_only = 1");
  } catch (error) {
    db.close();
    throw error;
  }
  return { path: shown, db, [Symbol.dispose]: () => db.close() };
}

function checkSchema(db: DatabaseSync, path: string): number {
  const found = schemaVersionOf(db);
  if (found === "absent") {
    throw new SchemaError(
      `Cannot open records "${path}" as a ${DATABASE_NAME}: it has no tables of Tendril`,
    );
  }
  const version = found === "unknown" ? undefined : found;
  if (version === undefined || version < SCHEMA_VERSION_MIN || version > SCHEMA_VERSION) {
    const wanted = `${SCHEMA_VERSION_MIN} to ${SCHEMA_VERSION}`;
    throw new SchemaError(
      `Cannot open records "${path}" as of version ${wanted}: they are of version ` +
        `${version ?? "none"}`,
    );
  }
  const fault = findSchemaFault(db);
  if (fault === undefined) return version;
  throw new SchemaError(`Cannot open records "${path}" as a ${DATABASE_NAME}: ${fault}`);
}

/** A journal names no file, so that it undoes the change in a copy of its database as well. */
function openCopy(path: string): PastRun {
  const folder = mkdtempSync(join(tmpdir(), "tendril-report-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const copy = join(folder, DATABASE_NAME);
    copyFileSync(path, copy);
    if (existsSync(`${path}-journal`)) copyFileSync(`${path}-journal`, `${copy}-journal`);
    const { db } = open(copy, path, false);
    return {
      path,
      db,
      [Symbol.dispose]: () => {
        db.close();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
