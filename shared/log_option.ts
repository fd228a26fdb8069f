/** The level of a log on command lines, alike for every command that has one. */

import { type CommandArguments, type OptionSpec, UsageError } from "./command_line.ts";
import { LOG_LEVEL_DEFAULT, LOG_LEVELS, type LogLevel, logLevelOf } from "./log.ts";

/** What such commands take. */
export const LOG_LEVEL_OPTION: { readonly "log-level": OptionSpec } = {
  "log-level": {
    value: "LEVEL",
    values: LOG_LEVELS,
    help: `least that is logged: ${LOG_LEVELS.join(", ")}; default ${LOG_LEVEL_DEFAULT}`,
  },
};

/**
 * The level that is stated.
 *
 * @throws {UsageError} When there is none of that name.
 */
export function readLogLevel(given: CommandArguments): LogLevel | undefined {
  const text = given.text("log-level");
  if (text === undefined) return undefined;
  const level = logLevelOf(text);
  if (level !== undefined) return level;
  throw new UsageError(
    `Cannot read --log-level "${text}" as a level: expected ${LOG_LEVELS.join(", ")}`,
  );
}
