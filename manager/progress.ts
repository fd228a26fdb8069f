/** What `tendril run` shows while a workflow runs: one line that is redrawn, or plain lines. */

import { ProgressLine } from "../shared/progress_line.ts";
import type { Terminal } from "../shared/terminal.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import type { ManagerStatus } from "./status.ts";

/** Between two looks of a person. */
const REDRAW_MS = 250;

/** Local workers have joined by then: when there is none, somebody must start one. */
const LONELY_MS = 2_000;

/** What progress is shown of, and where. */
export interface ProgressOptions {
  readonly status: () => ManagerStatus;
  readonly terminal: Terminal;
  /** Calls `clear` before anything else is written to the terminal; returns how to stop. */
  readonly beforeOutput: (clear: () => void) => () => void;
}

/** Shows the progress of one manager until it is closed. */
export class Progress implements Disposable {
  readonly #options: ProgressOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #line: ProgressLine;

  constructor(options: ProgressOptions) {
    const { terminal, beforeOutput } = options;
    this.#options = options;
    this.#line = new ProgressLine(terminal, { beforeOutput });
    this.#timer = setInterval(() => this.#show(), REDRAW_MS);
    // A workflow that is over is not kept alive by showing it.
    this.#timer.unref?.();
  }

  /** Writes the last line, if there was anything to tell, and stops. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#line[Symbol.dispose]();
    const { status, terminal } = this.#options;
    const last = status();
    if (last.tasks.submitted > 0) terminal.write(`${describeEnd(last, Date.now())}\n`);
  }

  #show(): void {
    const now = this.#options.status();
    if (now.tasks.submitted > 0) this.#line.show(describeProgress(now, Date.now()));
  }
}

/** One line: tasks by state, workers, bytes moved, rate and, while there is work, time left. */
export function describeProgress(status: ManagerStatus, nowMs: number): string {
  const { tasks } = status;
  const { submitted } = tasks;
  const done = doneOf(status);
  const running = tasks.dispatched + tasks.retrieving;
  const rate = rateOf(status, nowMs);
  const parts = [
    `tasks: ${done}/${submitted} done`,
    `${tasks.waiting + tasks.ready} waiting`,
    `${running} running`,
    `${tasks.failed} failed`,
  ];
  const rest = [
    `workers: ${describeWorkers(status, nowMs)}`,
    `moved: ${formatSize(movedBytes(status))}`,
  ];
  if (done > 0) rest.push(`${formatRate(rate)}/s`);
  if (done > 0 && done < submitted) {
    rest.push(`about ${formatDuration(Math.ceil((submitted - done) / rate) * 1_000)} left`);
  }
  return `${parts.join(", ")}; ${rest.join("; ")}`;
}

function describeWorkers({ workers, name, startedAtMs }: ManagerStatus, nowMs: number): string {
  const { connected, away } = workers;
  if (away > 0) return `${connected} (${away} away)`;
  const isAlone = connected === 0 && nowMs - startedAtMs > LONELY_MS;
  return isAlone ? `none, start with "tendril worker --name ${name}"` : String(connected);
}

/** One line about a workflow that is over. */
export function describeEnd(status: ManagerStatus, nowMs: number): string {
  const { succeeded, failed, cancelled } = status.tasks;
  const parts = [`${succeeded} succeeded`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (cancelled > 0) parts.push(`${cancelled} cancelled`);
  const unfinished = status.tasks.submitted - doneOf(status);
  if (unfinished > 0) parts.push(`${unfinished} unfinished`);
  const took = formatDuration(nowMs - status.startedAtMs);
  return `tasks: ${parts.join(", ")}; in ${took}, ${formatRate(rateOf(status, nowMs))}/s; ` +
    `moved: ${formatSize(movedBytes(status))}`;
}

function doneOf({ tasks }: ManagerStatus): number {
  return tasks.succeeded + tasks.failed + tasks.cancelled;
}

function rateOf(status: ManagerStatus, nowMs: number): number {
  return doneOf(status) / Math.max((nowMs - status.startedAtMs) / 1_000, 0.001);
}

function formatRate(rate: number): string {
  return rate < 100 ? rate.toFixed(1) : String(Math.round(rate));
}

function movedBytes({ bytes }: ManagerStatus): number {
  const { managerToWorker, workerToWorker, workerToManager, urlToWorker, workerToUrl } = bytes;
  return managerToWorker + workerToWorker + workerToManager + urlToWorker + workerToUrl;
}
