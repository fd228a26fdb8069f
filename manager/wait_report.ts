/** Waits for tasks of a manager elsewhere, shows how far they are, and tells of those that failed. */

import process from "node:process";

import { ProgressLine } from "../shared/progress_line.ts";
import { renderSpans } from "../shared/span.ts";
import { standardError, type Terminal } from "../shared/terminal.ts";
import { formatDuration } from "../shared/units.ts";
import type { ClientConnection } from "./client.ts";
import type { ClientResult, TaskSelection, WaitCounts } from "./client_protocol.ts";
import { describeFailures, type FailedTask, FailureNews } from "./failure_news.ts";
import { Pace } from "./pace.ts";
import {
  averageRate,
  describeBytes,
  describeOutcomes,
  describeProgress,
  formatRate,
} from "./progress_text.ts";
import type { ByteCounts, ManagerStatus } from "./status.ts";

/** Between two counts that the manager sends. */
const PROGRESS_MS = 250;

/** Between two looks at what is moved. */
const STATUS_MS = 1_000;

/** Local workers have joined by then: when there is none, somebody must start one. */
const LONELY_MS = 3_000;

/** How tasks ended. */
export interface WaitReport {
  readonly counts: WaitCounts;
  /** The first that did not succeed. */
  readonly failures: readonly ClientResult[];
  readonly tookMs: number;
  /** Those of the failures that were told of while others went on. */
  readonly told: FailureNews;
  /** What the manager moved meanwhile, for whatever tasks; absent when nobody asked. */
  readonly bytes?: ByteCounts | undefined;
}

/** What to wait for. */
export interface WaitOptions {
  readonly selection: TaskSelection;
  readonly isShown: boolean;
}

/** Waits until the tasks have ended; undefined when it is interrupted: they go on. */
export async function waitForTasks(
  connection: ClientConnection,
  { selection, isShown }: WaitOptions,
): Promise<WaitReport | undefined> {
  const startedAtMs = performance.now();
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<undefined>();
  const onSignal = (): void => interrupt(undefined);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);
  const lonely = setTimeout(() => {
    tellOfNoWorkers(connection).catch(() => {
      // Whoever waits hears of a manager that is gone.
    });
  }, LONELY_MS);
  const terminal = standardError();
  const news = new FailureNews(terminal);
  const shown = isShown ? new ShownWait({ connection, terminal, news }) : undefined;
  try {
    const waited = connection.ask(
      { kind: "wait", selection, progressMs: isShown ? PROGRESS_MS : 0 },
      { onProgress: (progress) => shown?.show(progress) },
    );
    const report = await Promise.race([waited, interrupted]);
    if (report === undefined) return undefined;
    const tookMs = performance.now() - startedAtMs;
    return { ...report, tookMs, told: news, bytes: await shown?.bytes() };
  } finally {
    shown?.[Symbol.dispose]();
    clearTimeout(lonely);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, onSignal);
  }
}

/** The line of one wait, and the tasks that fail meanwhile. */
class ShownWait implements Disposable {
  readonly #connection: ClientConnection;
  readonly #line: ProgressLine;
  readonly #news: FailureNews;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #first: Promise<ManagerStatus | undefined>;
  #pace: Pace | undefined;
  #status: ManagerStatus | undefined;

  constructor({ connection, terminal, news }: {
    readonly connection: ClientConnection;
    readonly terminal: Terminal;
    readonly news: FailureNews;
  }) {
    this.#connection = connection;
    this.#news = news;
    this.#line = new ProgressLine(terminal, { firstLineMs: 0 });
    this.#first = this.#look();
    this.#timer = setInterval(() => void this.#look(), STATUS_MS);
  }

  /** Shows how they stand now. */
  show({ counts, failures }: {
    readonly counts: WaitCounts;
    readonly failures: readonly ClientResult[];
  }): void {
    const nowMs = performance.now();
    const texts = [this.#news.tellHidden(nowMs)];
    for (const task of failures) {
      if (task.outcome !== "cancelled") texts.push(this.#news.note(task, nowMs));
    }
    const text = texts.join("");
    if (text !== "") this.#line.print(text);
    const { total, pending: waiting, running, failed } = counts;
    const done = total - waiting - running;
    this.#pace ??= new Pace({ ended: done, pending: total - done }, nowMs);
    this.#pace.note({ ended: done, pending: total - done }, nowMs);
    const view = {
      counts: { total, waiting, running, failed, done },
      endedPerSecond: this.#pace.perSecond(nowMs),
      status: this.#status,
    };
    this.#line.show((columns) => describeProgress(view, { nowMs: Date.now(), columns }));
  }

  /** What the manager moved since the wait began. */
  async bytes(): Promise<ByteCounts | undefined> {
    const first = await this.#first;
    const last = await this.#look();
    if (first === undefined || last === undefined) return undefined;
    return bytesSince(first.bytes, last.bytes);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#line[Symbol.dispose]();
  }

  async #look(): Promise<ManagerStatus | undefined> {
    try {
      const { status } = await this.#connection.ask({ kind: "status" });
      this.#status = status;
      return status;
    } catch {
      // Whoever waits hears of a manager that is gone; workers and bytes are left out.
      return undefined;
    }
  }
}

function bytesSince(first: ByteCounts, last: ByteCounts): ByteCounts {
  return {
    managerToWorker: last.managerToWorker - first.managerToWorker,
    workerToWorker: last.workerToWorker - first.workerToWorker,
    workerToManager: last.workerToManager - first.workerToManager,
    urlToWorker: last.urlToWorker - first.urlToWorker,
    workerToUrl: last.workerToUrl - first.workerToUrl,
  };
}

/** How tasks ended: a line, and of the first failures what they wrote last. */
export function describeReport(
  { counts, failures, tookMs, told, bytes }: WaitReport,
  { hasColours, more }: {
    readonly hasColours: boolean;
    readonly more: (task: FailedTask) => string;
  },
): string {
  const first = failures.filter(({ outcome }) => outcome !== "cancelled");
  const shown = describeFailures(
    { first, count: counts.failed, told: told.all.told },
    { hasColours, more },
  );
  const rate = formatRate(averageRate(counts.total, tookMs));
  const spans = [
    ...describeOutcomes(counts),
    { text: `; in ${formatDuration(tookMs)}` },
    // What was over before it was waited for has no rate.
    ...(bytes === undefined ? [] : [{ text: `, ${rate}; ${describeBytes(bytes)}` }]),
  ];
  return `${shown}${renderSpans(spans, hasColours)}\n`;
}

async function tellOfNoWorkers(connection: ClientConnection): Promise<void> {
  const { workers } = await connection.ask({ kind: "workers" });
  if (workers.length > 0) return;
  const command = `tendril worker --name ${connection.name}`;
  process.stderr.write(`no worker is connected: start one with "${command}"\n`);
}
