/** Which tasks a command is about, as people write it: `5`, `1-10`, `1,3,5-8`, `last`, `all`. */

import { UsageError } from "../shared/command_line.ts";
import type { TaskSelection } from "./client_protocol.ts";

/** Numbers from the first to the last, every `step`th. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

/** Ranges of one selector, or one array. */
const RANGES_MAX = 10_000;

/** Members of one array. */
export const ARRAY_MEMBERS_MAX = 1_000_000;

/**
 * Reads a selector of tasks.
 *
 * @throws {UsageError} When it is none.
 */
export function readSelector(text: string): TaskSelection {
  if (text === "all" || text === "last") return { kind: text };
  const ranges = readRanges(text);
  if (ranges === undefined || ranges.some(({ first, step }) => first === 0 || step !== 1)) {
    throw new UsageError(
      `Cannot read "${text}" as a selection of tasks: expected 5, 1-10, 1,3,5-8, last or all`,
    );
  }
  return { kind: "ids", ranges: ranges.map(({ first, last }) => [first, last]) };
}

/**
 * The numbers of an array, in the order in which they are written.
 *
 * @throws {UsageError} When `text` is none, or has a number twice.
 */
export function readArray(text: string): readonly number[] {
  const ranges = readRanges(text);
  if (ranges === undefined) {
    throw new UsageError(
      `Cannot read --array "${text}" as numbers: expected 1-100, 1-10:2 or 1,3,5-8`,
    );
  }
  let memberCount = 0;
  for (const { first, last, step } of ranges) memberCount += Math.floor((last - first) / step) + 1;
  if (memberCount > ARRAY_MEMBERS_MAX) {
    throw new UsageError(
      `Cannot take --array "${text}": it has ${memberCount} members, ` +
        `${ARRAY_MEMBERS_MAX} at most are taken`,
    );
  }
  const numbers = new Set<number>();
  for (const { first, last, step } of ranges) {
    for (let number = first; number <= last; number += step) {
      if (numbers.has(number)) {
        throw new UsageError(`Cannot take --array "${text}": it has ${number} twice`);
      }
      numbers.add(number);
    }
  }
  return [...numbers];
}

/** Consecutive numbers of `ids` joined, as a selection has them. */
export function rangesOf(ids: readonly number[]): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = [];
  for (const id of ids) {
    const open = ranges.at(-1);
    if (open !== undefined && open[1] === id - 1) open[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}

/** Ids as a selector says them: `1-3,7`. */
export function describeIds(ids: readonly number[]): string {
  return rangesOf(ids).map(([first, last]) => first === last ? `${first}` : `${first}-${last}`)
    .join(",");
}

/** Undefined for what are no ranges of whole numbers. */
function readRanges(text: string): readonly NumberRange[] | undefined {
  const parts = text.split(",", RANGES_MAX + 1);
  if (parts.length > RANGES_MAX) return undefined;
  const ranges: NumberRange[] = [];
  for (const part of parts) {
    const match = /^(\d{1,15})(?:-(\d{1,15})(?::(\d{1,15}))?)?$/.exec(part.trim());
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    const step = Number(match[3] ?? 1);
    if (last < first || step === 0) return undefined;
    ranges.push({ first, last, step });
  }
  return ranges;
}
