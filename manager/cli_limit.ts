/** `--limit` of commands that list things. */

import { UsageError } from "../shared/command_line.ts";
import type { Call } from "./cli_command.ts";

/** More rows than a manager remembers. */
const LIMIT_MAX = 1_000_000;

/**
 * How many rows are wanted; undefined is all. `things` is what is listed.
 *
 * @throws {UsageError} When it is no such number.
 */
export function readLimit({ given }: Call, things: string): number | undefined {
  const text = given.text("limit");
  if (text === undefined) return undefined;
  const limit = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new UsageError(
    `Cannot read --limit "${text}" as a number of ${things}: expected 1 to ${LIMIT_MAX}`,
  );
}
