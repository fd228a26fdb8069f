/**
 * What a try may use: what was stated of its memory and disk, or learnt, is a limit, what is merely
 * its share of the worker is not.
 *
 * @module
 */

import type { Exceeded, TaskShape } from "../../shared/task.ts";
import { formatDuration, formatSize } from "../../shared/units.ts";

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

/** One line for a person on why a try was stopped, a call, or an instance `of` a library. */
export function describeExceeded(
  { resource, limit, used }: Exceeded,
  { isShare, isCall = false, of }: {
    readonly isShare: boolean;
    readonly isCall?: boolean;
    readonly of?: string;
  },
): string {
  const isTry = of === undefined && !isCall;
  const place = isTry ? "sandbox" : "directory";
  const had = resource === "memory"
    ? `its processes had ${formatSize(used)} of memory in use`
    : `its ${place} had ${formatSize(used)} on the disk`;
  const allowed = isShare
    ? `which with what the others use is more than this worker has: ${formatSize(limit)} ` +
      "were left for it"
    : `${formatSize(limit)} were ${isTry ? "allocated" : "stated for it"}`;
  const what = isTry ? "The try" : isCall ? "The call" : `The instance of library "${of}"`;
  return `${what} was stopped: ${had}, ${allowed}`;
}

/** Why one was stopped that ran for longer than it may. */
export function describeTimeout(timeoutMs: number): string {
  return `its time was up: ${formatDuration(timeoutMs)}`;
}
