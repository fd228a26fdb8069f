/**
 * What a try may use: what was stated of its memory and disk, or learnt, is a limit, what is merely
 * its share of the worker is not.
 *
 * @module
 */

import type { Exceeded, TaskShape } from "../../shared/task.ts";
import { formatSize } from "../../shared/units.ts";

/** What was found of a try. */
export interface Found {
  readonly resource: Exceeded["resource"];
  readonly bytes: number;
}

/** The most that a try of the shape may have; `Infinity` where it has no limit of its own. */
export function limitOf(
  { resources, shares }: Pick<TaskShape, "resources" | "shares">,
  resource: Exceeded["resource"],
): number {
  const bytes = resource === "memory" ? resources.memoryBytes : resources.diskBytes;
  return bytes > 0 && !shares?.includes(resource) ? bytes : Infinity;
}

/** The limit that what was found is beyond, if any. */
export function exceededLimit(
  shape: Pick<TaskShape, "resources" | "shares">,
  { resource, bytes }: Found,
): Exceeded | undefined {
  const limit = limitOf(shape, resource);
  return bytes > limit ? { resource, limit, used: bytes } : undefined;
}

/** One line for a person on why a try was stopped. */
export function describeExceeded({ resource, limit, used }: Exceeded, isShare: boolean): string {
  const had = resource === "memory"
    ? `its processes had ${formatSize(used)} of memory in use`
    : `its sandbox had ${formatSize(used)} on the disk`;
  const allowed = isShare
    ? `which with what the other tries use is more than this worker has: ${formatSize(limit)} ` +
      "were left for it"
    : `${formatSize(limit)} were allocated`;
  return `The try was stopped: ${had}, ${allowed}`;
}
