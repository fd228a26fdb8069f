/** The options of a run's records, alike for every command that opens a manager. */

import type { CommandArguments, OptionSpec } from "../shared/command_line.ts";
import { LOG_LEVEL_OPTION, readLogLevel } from "../shared/log_option.ts";
import type { ManagerOptions } from "./config.ts";
import { readRunDirectoryText, type RecordsOptions } from "./records_option.ts";

/** What `run` and `manager` take. */
export const RUN_DIRECTORY_OPTIONS: { readonly [name: string]: OptionSpec } = {
  "run-directory": {
    value: "DIR",
    help: "where each run gets a folder for its records; default tendril-runs",
  },
  "no-run-directory": { help: "leave no records" },
  "no-database": { help: "leave no monitoring.db" },
  "no-vine-logs": { help: "leave no logs in TaskVine's formats" },
  "no-logs": { help: "leave no logs of the manager and of local workers" },
  "no-outputs": { help: "leave nothing of what failed tasks wrote" },
  ...LOG_LEVEL_OPTION,
  "no-dashboard": { help: "serve no dashboard" },
};

/**
 * The options of `Manager.start` that these state; of two that differ, the one that says no wins.
 *
 * @throws {UsageError} When a level is none.
 */
export function readRunDirectoryArguments(given: CommandArguments): ManagerOptions {
  const stated = readRunDirectoryText(given.text("run-directory"));
  const runDirectory = given.flag("no-run-directory") ? false : stated;
  const logLevel = readLogLevel(given);
  const records: RecordsOptions = {
    ...(given.flag("no-database") ? { database: false } : {}),
    ...(given.flag("no-vine-logs") ? { vineLogs: false } : {}),
    ...(given.flag("no-logs") ? { logs: false } : {}),
    ...(given.flag("no-outputs") ? { outputs: false } : {}),
  };
  return {
    ...(runDirectory === undefined ? {} : { runDirectory }),
    ...(Object.keys(records).length === 0 ? {} : { records }),
    ...(logLevel === undefined ? {} : { logLevel }),
    ...(given.flag("no-dashboard") ? { dashboard: false } : {}),
  };
}
