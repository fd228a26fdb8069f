/** Which run the records are of. */

import type { DatabaseSync } from "node:sqlite";

import { API_VERSION, ROWS_MAX, type RunInfo } from "../api.ts";
import { all, first } from "./statement.ts";

/** Notes that are told, the newest. */
const NOTES_MAX = 200;

/** Answers `run`; of a database that nothing was written into yet, with empty names and zeros. */
export function answerRun(db: DatabaseSync): RunInfo {
  const row = first<Omit<RunInfo, "version" | "categories" | "apps" | "notes">>(
    db,
    `SELECT run_id AS runId, name, tendril_version AS tendrilVersion, host, user, directory,
       round(started_at_ms) AS startedAtMs, round(ended_at_ms) AS endedAtMs,
       round(recorded_at_ms) AS recordedAtMs
     FROM run`,
  );
  const categories = all<{ category: string }>(
    db,
    "SELECT DISTINCT category FROM task_detail ORDER BY category LIMIT ?",
    ROWS_MAX,
  );
  const apps = all<{ app: string }>(
    db,
    "SELECT DISTINCT app FROM app_call ORDER BY app LIMIT ?",
    ROWS_MAX,
  );
  const notes = all<RunInfo["notes"][number]>(
    db,
    "SELECT round(at_ms) AS atMs, kind, text FROM note ORDER BY note_id DESC LIMIT ?",
    NOTES_MAX,
  );
  return {
    version: API_VERSION,
    ...(row ?? EMPTY_RUN),
    categories: categories.map(({ category }) => category),
    apps: apps.map(({ app }) => app),
    notes: notes.reverse(),
  };
}

const EMPTY_RUN: Omit<RunInfo, "version" | "categories" | "apps" | "notes"> = {
  runId: "",
  name: "",
  tendrilVersion: "",
  host: "",
  user: "",
  directory: "",
  startedAtMs: 0,
  endedAtMs: null,
  recordedAtMs: 0,
};

/** From when until when the records tell of the run. */
export function runSpan(db: DatabaseSync): { readonly startedAtMs: number; readonly atMs: number } {
  return first(
    db,
    `SELECT round(started_at_ms) AS startedAtMs,
       round(max(recorded_at_ms, started_at_ms)) AS atMs FROM run`,
  ) ?? { startedAtMs: 0, atMs: 0 };
}
