/** How long a worker has: its own wall time, and the end of the batch job that it is part of. */

import { formatDuration } from "../shared/units.ts";
import type { Variables } from "./resource_variables.ts";

/** The sooner of a worker's ends. */
export interface TimeLimit {
  /** From when it was read until the worker leaves. */
  readonly leftMs: number;
  /** What the worker says when it leaves. */
  readonly reason: string;
}

/**
 * A worker leaves so long before its batch system ends it, or this part of its time, whichever is
 * less: it hands back its tries, and its files may still be fetched.
 */
const MARGIN_MS_MAX = 30_000;
const MARGIN_PART = 0.05;

/** The limit that holds; `ignored` is told of a variable that cannot be read. */
export function readTimeLimit(
  { wallTimeMs, env, nowMs }: {
    /** 0 is none. */
    readonly wallTimeMs: number;
    readonly env: Variables;
    /** Epoch milliseconds. */
    readonly nowMs: number;
  },
  ignored: (line: string) => void,
): TimeLimit | undefined {
  const own = wallTimeMs > 0 ? { leftMs: wallTimeMs, reason: "its wall time is over" } : undefined;
  const job = readJobEnd(env, nowMs, ignored);
  if (own === undefined || job === undefined) return own ?? job;
  return job.leftMs < own.leftMs ? job : own;
}

function readJobEnd(
  env: Variables,
  nowMs: number,
  ignored: (line: string) => void,
): TimeLimit | undefined {
  const text = env["SLURM_JOB_END_TIME"];
  if (text === undefined || text === "") return undefined;
  const endMs = Number(text) * 1000;
  if (!/^\d{1,12}$/.test(text) || endMs <= nowMs) {
    const wanted = "an instant to come, in seconds";
    ignored(
      `Cannot read SLURM_JOB_END_TIME "${text.slice(0, 60)}" as ${wanted}: it is passed over`,
    );
    return undefined;
  }
  const leftMs = endMs - nowMs;
  const marginMs = Math.min(MARGIN_MS_MAX, leftMs * MARGIN_PART);
  return {
    leftMs: leftMs - marginMs,
    reason: `its batch job ends in ${formatDuration(marginMs)}`,
  };
}
