/** Values of options: some words and no others, and times. */

import { type CommandArguments, UsageError } from "../shared/command_line.ts";
import { parseDuration } from "../shared/units.ts";

/**
 * The values of an option, each one of `known`.
 *
 * @throws {UsageError} When one is another.
 */
export function readValues<T extends string>(
  given: CommandArguments,
  option: string,
  known: readonly T[],
): readonly T[] {
  return given.texts(option).map((text) => {
    const value = known.find((one) => one === text);
    if (value !== undefined) return value;
    throw new UsageError(`Cannot read --${option} "${text}" as one of ${known.join(", ")}`);
  });
}

/**
 * The milliseconds that an option was given as, as 7d or 12h.
 *
 * @throws {UsageError} When it is no duration.
 */
export function readDuration(text: string, option: string): number {
  try {
    return parseDuration(text, `--${option}`);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
