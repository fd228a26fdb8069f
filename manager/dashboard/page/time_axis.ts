/**
 * Which part of time a chart shows, how it is zoomed and moved, and where its axis has ticks: at
 * round local times, as a person reads them off a clock.
 *
 * @module
 */

/** A part of time, in epoch milliseconds. */
export interface TimeView {
  readonly fromMs: number;
  readonly toMs: number;
}

/** One place of an axis. */
export interface Tick {
  readonly atMs: number;
  readonly label: string;
  /** A new day begins there, or it is the first of the axis: it says the date. */
  readonly isMajor: boolean;
}

/** The shortest time that is shown: nothing is recorded more finely. */
export const VIEW_MS_MIN = 2;

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Distances of ticks that a person counts in. */
const STEPS_MS: readonly number[] = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((count) => count * SECOND_MS),
  ...[1, 2, 5, 10, 15, 30].map((count) => count * MINUTE_MS),
  ...[1, 2, 3, 6, 12].map((count) => count * HOUR_MS),
  ...[1, 2, 7, 14, 28, 91, 182, 364].map((count) => count * DAY_MS),
];

/** Zooms by `factor` (below 1 is nearer) around the instant that stays where it is. */
export function zoomView(
  view: TimeView,
  change: { readonly factor: number; readonly aroundMs: number; readonly bounds: TimeView },
): TimeView {
  const { factor, aroundMs, bounds } = change;
  const spanMs = clampSpan((view.toMs - view.fromMs) * factor, bounds);
  const share = (aroundMs - view.fromMs) / Math.max(view.toMs - view.fromMs, 1e-9);
  return clampView({
    fromMs: aroundMs - share * spanMs,
    toMs: aroundMs + (1 - share) * spanMs,
  }, bounds);
}

/** Moves by a time; it stops at the bounds. */
export function panView(view: TimeView, byMs: number, bounds: TimeView): TimeView {
  return clampView({ fromMs: view.fromMs + byMs, toMs: view.toMs + byMs }, bounds);
}

/** Brings a view within the bounds, with its length kept where it fits in. */
export function clampView(view: TimeView, bounds: TimeView): TimeView {
  const spanMs = clampSpan(view.toMs - view.fromMs, bounds);
  const lastMs = Math.max(bounds.toMs - spanMs, bounds.fromMs);
  const fromMs = Math.min(Math.max(view.fromMs, bounds.fromMs), lastMs);
  return { fromMs, toMs: fromMs + spanMs };
}

/** Whether a view ends where the bounds end, so that it goes along when these grow. */
export function isAtEnd(view: TimeView, bounds: TimeView): boolean {
  return bounds.toMs - view.toMs <= 0.005 * (view.toMs - view.fromMs);
}

/**
 * Ticks at round local times, at most about one a `tickPx`. `offsetMinutes` tells how far UTC is
 * from local time at an instant, as `Date.getTimezoneOffset` does.
 */
export function timeTicks(
  view: TimeView,
  widthPx: number,
  offsetMinutes: (atMs: number) => number = localOffsetMinutes,
): readonly Tick[] {
  const spanMs = view.toMs - view.fromMs;
  if (!(spanMs > 0) || !(widthPx > 0)) {
    return [];
  }
  const wantedMs = spanMs / Math.max(Math.floor(widthPx / TICK_PX), 1);
  const stepMs = STEPS_MS.find((step) => step >= wantedMs) ?? DAY_MS * 364;
  const offsetMs = offsetMinutes(view.fromMs) * MINUTE_MS;
  const ticks: Tick[] = [];
  const firstMs = Math.ceil((view.fromMs - offsetMs) / stepMs) * stepMs;
  for (let localMs = firstMs; localMs + offsetMs <= view.toMs; localMs += stepMs) {
    const isMajor = localMs % DAY_MS === 0;
    ticks.push({
      atMs: localMs + offsetMs,
      label: isMajor ? dateLabel(localMs) : clockLabel(localMs, stepMs),
      isMajor,
    });
  }
  return ticks;
}

/** Room for the label of one tick. */
const TICK_PX = 92;

function localOffsetMinutes(atMs: number): number {
  return new Date(atMs).getTimezoneOffset();
}

function clampSpan(spanMs: number, bounds: TimeView): number {
  const longestMs = Math.max(bounds.toMs - bounds.fromMs, VIEW_MS_MIN);
  return Math.min(Math.max(spanMs, VIEW_MS_MIN), longestMs);
}

function clockLabel(localMs: number, stepMs: number): string {
  const text = new Date(localMs).toISOString();
  if (stepMs >= MINUTE_MS) {
    return text.slice(11, 16);
  }
  return stepMs >= SECOND_MS ? text.slice(11, 19) : text.slice(11, 23);
}

function dateLabel(localMs: number): string {
  return new Date(localMs).toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    timeZone: "UTC",
  });
}
