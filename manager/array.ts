/** The members of an array of tasks: their variables, and the files that each of them leaves. */

import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";

import { UsageError } from "../shared/command_line.ts";
import { ARRAY_MEMBERS_MAX, readArray } from "./selector.ts";

/** What one member has of its own. */
export interface ArrayMember {
  /** Value of `TENDRIL_ARRAY_ID`; undefined of a task that is no array. */
  readonly arrayId: number | undefined;
  readonly env: { readonly [name: string]: string };
}

/** Bytes of a line that fit into a variable: Linux takes 128 KiB with the name, MAX_ARG_STRLEN. */
const LINE_BYTES_MAX = 120_000;

/** In the path of an output, the number of the member. */
const ARRAY_ID_MARK = "%{ARRAY_ID}";

/** Which members there are to be. */
export interface ArrayOptions {
  /** As `1-100`; with lines, which of them. */
  readonly array: string | undefined;
  /** Path of a file with a member a line. */
  readonly eachLine: string | undefined;
}

/**
 * The members, in order; one without a number when no array is asked for.
 *
 * @throws {UsageError} When there are none, or more than can be taken.
 */
export async function readMembers({ array, eachLine }: ArrayOptions): Promise<ArrayMember[]> {
  const numbers = array === undefined ? undefined : readArray(array);
  if (eachLine === undefined) {
    return numbers?.map((arrayId) => memberOf(arrayId)) ?? [{ arrayId: undefined, env: {} }];
  }
  const lines = await readLines(eachLine);
  return (numbers ?? lines.map((_, index) => index + 1)).map((number) => {
    const line = lines[number - 1];
    if (line !== undefined) return memberOf(number, line);
    throw new UsageError(
      `Cannot take line ${number} of "${eachLine}": it has lines 1 to ${lines.length}`,
    );
  });
}

/**
 * The path of an output for one member.
 *
 * @throws {UsageError} When members of an array would write to the same path.
 */
export function memberPath(
  path: string,
  { arrayId }: ArrayMember,
  memberCount: number,
): string {
  if (memberCount > 1 && !path.includes(ARRAY_ID_MARK)) {
    throw new UsageError(
      `Cannot write the output of ${memberCount} tasks to "${path}": ` +
        `expected a path with ${ARRAY_ID_MARK}`,
    );
  }
  return arrayId === undefined ? path : path.replaceAll(ARRAY_ID_MARK, String(arrayId));
}

function memberOf(arrayId: number, line?: string): ArrayMember {
  const env = { TENDRIL_ARRAY_ID: String(arrayId) };
  return { arrayId, env: line === undefined ? env : { ...env, TENDRIL_ENTRY: line } };
}

async function readLines(path: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new UsageError(`Cannot read --each-line "${path}": ${found}`, { cause: error });
  }
  // What follows the last end of a line is a line only when there is something.
  const lines = text.replace(/\n$/, "").split(/\r?\n/);
  if (text === "") throw new UsageError(`Cannot take --each-line "${path}": it is empty`);
  if (lines.length > ARRAY_MEMBERS_MAX) {
    throw new UsageError(
      `Cannot take --each-line "${path}": it has ${lines.length} lines, ` +
        `${ARRAY_MEMBERS_MAX} at most are taken`,
    );
  }
  lines.forEach((line, index) => checkLine(line, `line ${index + 1} of "${path}"`));
  return lines;
}

function checkLine(line: string, what: string): void {
  const found = line.includes("\0")
    ? "it has a zero byte"
    : Buffer.byteLength(line) > LINE_BYTES_MAX
    ? `it has more than ${LINE_BYTES_MAX} bytes`
    : undefined;
  if (found !== undefined) throw new UsageError(`Cannot take ${what} as a variable: ${found}`);
}
