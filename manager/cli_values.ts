/** Options that take some words and no others. */

import { type CommandArguments, UsageError } from "../shared/command_line.ts";

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
