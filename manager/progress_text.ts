/** Progress in words: one line of which the less important parts go first where it is too long. */

import type { Span, Tone } from "../shared/span.ts";
import { textWidth } from "../shared/text_width.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import { type AppTotals, appTotals } from "./app_ledger.ts";
import type { ByteCounts, ManagerStatus } from "./status.ts";

/** Local workers have joined by then: when there is none, somebody must start one. */
const LONELY_MS = 2_000;

/** How tasks stand, all of a manager's or some of them. */
export interface ProgressCounts {
  readonly total: number;
  readonly waiting: number;
  readonly running: number;
  readonly failed: number;
  /** Ended, however. */
  readonly done: number;
}

/** How calls of apps stand; the fields are those of `AppTotals`. */
type CallCounts = Pick<AppTotals, "calls" | "ended" | "memory" | "failed" | "active">;

/** What a line tells of. */
export interface ProgressView {
  /** Of a flow: they are told instead of tasks. */
  readonly calls?: CallCounts;
  readonly counts: ProgressCounts;
  /** Of the last minute. */
  readonly endedPerSecond: number;
  /** Of the manager; absent until it has told. */
  readonly status?: Pick<ManagerStatus, "name" | "startedAtMs" | "workers" | "bytes"> | undefined;
}

/** A part of the line; the one of the highest rank goes first. */
interface Part {
  readonly text: string;
  readonly rank: number;
  /** Parts of one group are divided by commas, groups by semicolons. */
  readonly group: number;
  readonly tone?: Tone | undefined;
}

/** What a manager's status says of all its tasks. */
export function viewOf(status: ManagerStatus): ProgressView {
  const { submitted, waiting, ready, dispatched, retrieving, failed } = status.tasks;
  const counts = {
    total: submitted,
    waiting: waiting + ready,
    running: dispatched + retrieving,
    failed,
    done: doneOf(status),
  };
  const calls = status.apps === undefined ? {} : { calls: appTotals(status.apps) };
  return { ...calls, counts, endedPerSecond: status.endedPerSecond, status };
}

/** Tasks by state, workers, bytes moved, rate and, while there is work, time left. */
export function describeProgress(
  view: ProgressView,
  { nowMs, columns = Infinity }: { readonly nowMs: number; readonly columns?: number },
): readonly Span[] {
  const parts = partsOf(view, nowMs);
  const order = [...parts].sort((a, b) => b.rank - a.rank);
  let kept = parts;
  for (const part of order) {
    if (widthOf(kept) <= columns || kept.length === 1) break;
    kept = kept.filter((other) => other !== part);
  }
  return spansOf(kept);
}

function partsOf({ calls, counts, endedPerSecond, status }: ProgressView, nowMs: number): Part[] {
  const { total, done } = calls === undefined ? counts : { total: calls.calls, done: calls.ended };
  const parts: Part[] = calls === undefined ? taskParts(counts) : callParts(calls);
  if (status !== undefined) {
    const { workers, isLonely } = describeWorkers(status, nowMs);
    parts.push({ text: `workers: ${workers}`, rank: isLonely ? 1 : 4, group: 1 });
    parts.push({ text: `moved: ${formatSize(movedBytes(status.bytes))}`, rank: 7, group: 2 });
  }
  if (endedPerSecond > 0) {
    parts.push({ text: formatRate(endedPerSecond), rank: 5, group: 3 });
    const leftMs = Math.ceil((total - done) / endedPerSecond) * 1_000;
    const text = `about ${formatDuration(leftMs)} left`;
    if (leftMs > 0) parts.push({ text, rank: 3, group: 4 });
  }
  return parts;
}

function taskParts({ total, waiting, running, failed, done }: ProgressCounts): Part[] {
  return [
    { text: `tasks: ${done}/${total} done`, rank: 0, group: 0 },
    { text: `${waiting} waiting`, rank: 6, group: 0 },
    { text: `${running} running`, rank: 2, group: 0 },
    failedPart(failed),
  ];
}

function callParts({ calls, ended, memory, failed, active }: CallCounts): Part[] {
  const waiting = calls - ended - active;
  return [
    { text: `${ended} of ${calls} ${calls === 1 ? "call" : "calls"}`, rank: 0, group: 0 },
    ...(memory === 0 ? [] : [{ text: `${memory} from memory`, rank: 5, group: 0 }]),
    { text: `${waiting} waiting`, rank: 6, group: 0 },
    { text: `${active} running`, rank: 2, group: 0 },
    failedPart(failed),
  ];
}

function failedPart(failed: number): Part {
  return failed > 0
    ? { text: `${failed} failed`, rank: 1, group: 0, tone: "bad" }
    : { text: "0 failed", rank: 8, group: 0 };
}

function spansOf(parts: readonly Part[]): Span[] {
  return parts.flatMap(({ text, tone, group }, index) => {
    const before = parts[index - 1];
    const divider = before === undefined ? "" : before.group === group ? ", " : "; ";
    return [{ text: divider }, { text, tone }];
  });
}

function widthOf(parts: readonly Part[]): number {
  return spansOf(parts).reduce((width, { text }) => width + textWidth(text), 0);
}

function describeWorkers(
  { workers, name, startedAtMs }: Pick<ManagerStatus, "workers" | "name" | "startedAtMs">,
  nowMs: number,
): { readonly workers: string; readonly isLonely: boolean } {
  const { connected, away } = workers;
  if (away > 0) return { workers: `${connected} (${away} away)`, isLonely: connected === 0 };
  const isLonely = connected === 0 && nowMs - startedAtMs > LONELY_MS;
  return {
    workers: isLonely ? `none, start with "tendril worker --name ${name}"` : String(connected),
    isLonely,
  };
}

/** One line about a workflow that is over. */
export function describeEnd(status: ManagerStatus, nowMs: number): readonly Span[] {
  const { succeeded, failed, cancelled } = status.tasks;
  const tookMs = nowMs - status.startedAtMs;
  const done = doneOf(status);
  const unfinished = status.tasks.submitted - done;
  const { apps } = status;
  return [
    ...(apps === undefined
      ? describeOutcomes({ succeeded, failed, cancelled, unfinished })
      : describeCalls(appTotals(apps))),
    { text: `; in ${formatDuration(tookMs)}` },
    // Where nothing ran, or all came from memory, there is none.
    ...(done === 0 ? [] : [{ text: `, ${formatRate(averageRate(done, tookMs))}` }]),
    { text: `; ${describeBytes(status.bytes)}` },
  ];
}

/** How many tasks ended how, less what did not happen. */
export function describeOutcomes(
  { succeeded, failed, cancelled, unfinished = 0 }: {
    readonly succeeded: number;
    readonly failed: number;
    readonly cancelled: number;
    readonly unfinished?: number;
  },
): readonly Span[] {
  const spans: Span[] = [{ text: "tasks: " }, { text: `${succeeded} succeeded` }];
  if (failed > 0) spans.push({ text: ", " }, { text: `${failed} failed`, tone: "bad" });
  if (cancelled > 0) spans.push({ text: `, ${cancelled} cancelled` });
  if (unfinished > 0) spans.push({ text: `, ${unfinished} unfinished` });
  return spans;
}

/** How many calls of apps ended how, less what did not happen. */
function describeCalls({ calls, ended, memory, failed, cancelled }: AppTotals): readonly Span[] {
  const spans: Span[] = [{ text: `calls: ${ended - failed - cancelled} done` }];
  if (memory > 0) spans.push({ text: `, ${memory} of them from memory` });
  if (failed > 0) spans.push({ text: ", " }, { text: `${failed} failed`, tone: "bad" });
  if (cancelled > 0) spans.push({ text: `, ${cancelled} cancelled` });
  if (calls > ended) spans.push({ text: `, ${calls - ended} unfinished` });
  return spans;
}

/** {route: how it is said}. */
const ROUTES: { readonly [R in keyof ByteCounts]: string } = {
  managerToWorker: "manager to workers",
  workerToWorker: "between workers",
  workerToManager: "workers to manager",
  urlToWorker: "urls to workers",
  workerToUrl: "workers to urls",
};

/** Bytes moved, and by which routes. */
export function describeBytes(bytes: ByteCounts): string {
  const routes = (Object.keys(ROUTES) as (keyof ByteCounts)[])
    .filter((route) => bytes[route] > 0)
    .map((route) => `${ROUTES[route]} ${formatSize(bytes[route])}`);
  const total = `moved: ${formatSize(movedBytes(bytes))}`;
  return routes.length === 0 ? total : `${total} (${routes.join(", ")})`;
}

/** Tasks in a second, over all of the time. */
export function averageRate(done: number, tookMs: number): number {
  return done * 1_000 / Math.max(tookMs, 1);
}

/** A rate as people read it; slow ones by the minute. */
export function formatRate(perSecond: number): string {
  if (perSecond >= 100) return `${Math.round(perSecond)}/s`;
  return perSecond >= 0.1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
}

/** Tasks that have ended, however. */
export function doneOf({ tasks }: Pick<ManagerStatus, "tasks">): number {
  return tasks.succeeded + tasks.failed + tasks.cancelled;
}

function movedBytes(bytes: ByteCounts): number {
  const { managerToWorker, workerToWorker, workerToManager, urlToWorker, workerToUrl } = bytes;
  return managerToWorker + workerToWorker + workerToManager + urlToWorker + workerToUrl;
}
