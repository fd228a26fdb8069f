/** Where a manager leaves its records, and which of them: checked options of `Manager.start`. */

import process from "node:process";

import { LOG_LEVEL_DEFAULT, LOG_LEVELS, type LogLevel, logLevelOf } from "../shared/log.ts";
import { flag, type Reader, readOptions, text } from "./option.ts";

/** Records of a run that can be switched off; all are kept by default. */
export interface RecordsOptions {
  /** `monitoring.db`: tasks, tries, files, transfers and workers as tables. Default true. */
  readonly database?: boolean;
  /** TaskVine's own logs, `vine-logs/`, for its plot and report tools. Default true. */
  readonly vineLogs?: boolean;
  /** What the manager and local workers say of themselves, `logs/`. Default true. */
  readonly logs?: boolean;
  /** What failed tasks wrote, `outputs/`. Default true. */
  readonly outputs?: boolean;
}

/** Checked: each of them is said. */
export type RecordsConfig = Required<RecordsOptions>;

/** Everything is kept. */
export const ALL_RECORDS: RecordsConfig = {
  database: true,
  vineLogs: true,
  logs: true,
  outputs: true,
};

/** A run directory of that name is none at all, in a variable and on the command line. */
const NO_DIRECTORY = "none";

/** Which records are kept. */
export const recordsOption: Reader<RecordsConfig> = (value, what) => {
  const readers = { database: flag, vineLogs: flag, logs: flag, outputs: flag };
  return { ...ALL_RECORDS, ...readOptions<RecordsConfig>(value, what, readers) };
};

/** A folder, or false. */
export const runDirectoryOption: Reader<string | false> = (value, what) => {
  if (value === false) return false;
  if (typeof value === "string") return text(value, what);
  throw new TypeError(`Cannot take ${what} "${String(value)}" as a folder: expected text or false`);
};

/** What a command line or a variable says of the run directory; undefined when it says nothing. */
export function readRunDirectoryText(given: string | undefined): string | false | undefined {
  if (given === undefined || given === "") return undefined;
  return given === NO_DIRECTORY ? false : given;
}

/** True unless the variable of the flag says otherwise, where nothing else does. */
export function statedDashboard(): boolean {
  return (process.env["TENDRIL_NO_DASHBOARD"] ?? "") === "";
}

/**
 * The level of logs that the variable states, where nothing else does.
 *
 * @throws {RangeError} When there is none of that name.
 */
export function statedLogLevel(): LogLevel {
  const text = process.env["TENDRIL_LOG_LEVEL"];
  if (text === undefined || text === "") return LOG_LEVEL_DEFAULT;
  const level = logLevelOf(text);
  if (level !== undefined) return level;
  throw new RangeError(
    `Cannot take TENDRIL_LOG_LEVEL "${text}" as a level: expected ${LOG_LEVELS.join(", ")}`,
  );
}
