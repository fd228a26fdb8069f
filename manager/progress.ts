/** What `tendril run` shows while a workflow runs: one line that is redrawn, or plain lines. */

import { formatSize } from "../shared/units.ts";
import type { ManagerStatus } from "./status.ts";

/** Between two looks of a person. */
const REDRAW_MS = 250;

/** Between two lines in a log, at the least. */
const LINE_MS = 5_000;

/** Where progress is shown. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Shows the progress of one manager until it is closed. */
export class Progress implements Disposable {
  readonly #status: () => ManagerStatus;
  readonly #stream: ProgressStream;
  readonly #timer: ReturnType<typeof setInterval>;
  #shown = "";
  #writtenAtMs = performance.now();

  constructor(status: () => ManagerStatus, stream: ProgressStream) {
    this.#status = status;
    this.#stream = stream;
    this.#timer = setInterval(() => this.#show(), REDRAW_MS);
    // A workflow that is over is not kept alive by showing it.
    this.#timer.unref?.();
  }

  /** Writes the last line, if there was anything to tell, and stops. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    const status = this.#status();
    if (status.tasks.submitted === 0) return this.#clear();
    this.#clear();
    this.#stream.write(`${describeProgress(status, Date.now())}\n`);
  }

  #show(): void {
    const status = this.#status();
    if (status.tasks.submitted === 0) return;
    const line = describeProgress(status, Date.now());
    if (this.#stream.isTTY === true) return this.#redraw(line);
    const nowMs = performance.now();
    if (nowMs - this.#writtenAtMs < LINE_MS) return;
    this.#writtenAtMs = nowMs;
    this.#stream.write(`${line}\n`);
  }

  #redraw(line: string): void {
    const shown = line.slice(0, (this.#stream.columns ?? 80) - 1);
    if (shown === this.#shown) return;
    this.#stream.write(`\r\x1b[K${shown}`);
    this.#shown = shown;
  }

  #clear(): void {
    if (this.#shown !== "") this.#stream.write("\r\x1b[K");
    this.#shown = "";
  }
}

/** One line: tasks by state, workers, bytes moved, rate and, while there is work, time left. */
export function describeProgress(status: ManagerStatus, nowMs: number): string {
  const { tasks, workers, bytes } = status;
  const { succeeded, failed, cancelled, submitted } = tasks;
  const running = tasks.dispatched + tasks.retrieving;
  const done = succeeded + failed + cancelled;
  const seconds = Math.max((nowMs - status.startedAtMs) / 1_000, 0.001);
  const rate = done / seconds;
  const moved = bytes.managerToWorker + bytes.workerToWorker + bytes.workerToManager +
    bytes.urlToWorker;
  const parts = [
    `tasks: ${done}/${submitted} done`,
    `${tasks.waiting + tasks.ready} waiting`,
    `${running} running`,
    `${failed} failed`,
  ];
  const there = workers.away === 0
    ? `${workers.connected}`
    : `${workers.connected} (${workers.away} away)`;
  const rest = [`workers: ${there}`, `moved: ${formatSize(moved)}`, `${rate.toFixed(1)}/s`];
  if (done < submitted && done > 0) rest.push(`about ${timeLeft(submitted - done, rate)} left`);
  return `${parts.join(", ")}; ${rest.join("; ")}`;
}

function timeLeft(tasks: number, rate: number): string {
  const seconds = Math.ceil(tasks / rate);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
