/** The curves of an overview: rates, and fewer points. Pure, for databases and reports alike. */

import type { Overview } from "./api.ts";

type Series = Overview["series"];
type Ended = Pick<Series, "atMs" | "succeeded" | "failed" | "cancelled">;

/** Tasks that ended a second, between each point and the one before it. */
export function ratesOf(
  series: Ended,
  before: { readonly atMs: number; readonly ended: number },
): readonly number[] {
  return series.atMs.map((atMs, index) => {
    const spanMs = atMs - (series.atMs[index - 1] ?? before.atMs);
    const endedThen = index === 0 ? before.ended : endedAt(series, index - 1);
    const count = endedAt(series, index) - endedThen;
    return spanMs > 0 ? Math.round(count / spanMs * 1e6) / 1e3 : 0;
  });
}

function endedAt({ succeeded, failed, cancelled }: Ended, index: number): number {
  return (succeeded[index] ?? 0) + (failed[index] ?? 0) + (cancelled[index] ?? 0);
}

/** The last point in each of `points` equal parts of the time. */
export function thinSeries(
  series: Series,
  { fromMs, toMs, points, startedAtMs }: {
    readonly fromMs: number;
    readonly toMs: number;
    readonly points: number;
    readonly startedAtMs: number;
  },
): Series {
  const partMs = Math.max((toMs - fromMs) / points, 1);
  const lastOfPart = new Map<number, number>();
  let before = -1;
  series.atMs.forEach((atMs, index) => {
    if (atMs < fromMs) before = index;
    if (atMs < fromMs || atMs > toMs) return;
    lastOfPart.set(Math.min(Math.floor((atMs - fromMs) / partMs), points - 1), index);
  });
  const kept = [...lastOfPart.values()];
  const thinned = Object.fromEntries(
    Object.entries(series).map(([key, column]) => [key, kept.map((index) => column[index])]),
  ) as unknown as Series; // The same keys, with fewer of their values.
  const rate = ratesOf(
    thinned,
    before < 0
      ? { atMs: startedAtMs, ended: 0 }
      : { atMs: series.atMs[before] ?? startedAtMs, ended: endedAt(series, before) },
  );
  return { ...thinned, rate };
}
