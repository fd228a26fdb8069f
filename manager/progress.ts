/** What `tendril run` shows while a workflow runs: one line that is redrawn, or plain lines. */

import type { TaskId } from "../shared/ids.ts";
import { ProgressLine } from "../shared/progress_line.ts";
import { renderSpans } from "../shared/span.ts";
import type { ClearLine, Terminal } from "../shared/terminal.ts";
import type { Fact } from "./core/fact.ts";
import { describeFailures, type FailedTask, FailureNews } from "./failure_news.ts";
import { describeEnd, describeProgress, viewOf } from "./progress_text.ts";
import type { ManagerStatus } from "./status.ts";

/** Between two looks of a person. */
const REDRAW_MS = 250;

const NO_BYTES = new Uint8Array();

/** What progress is shown of, and where. */
export interface ProgressOptions {
  readonly status: () => ManagerStatus;
  /** Calls `listener` with what became true; returns how to stop. */
  readonly subscribe: (listener: (facts: readonly Fact[]) => void) => () => void;
  /** Name of the app that a task is a call of, if it is one. */
  readonly appOf: (id: TaskId) => string | undefined;
  /** Where there is more of a task that failed. */
  readonly more: (task: FailedTask) => string | undefined;
  /** The process was interrupted: the line is not shown any more. */
  readonly isEnding: () => boolean;
  readonly terminal: Terminal;
  /** Calls `clear` before anything else is written to the terminal; returns how to stop. */
  readonly beforeOutput: (clear: ClearLine) => () => void;
}

/** Shows the progress of one manager until it is closed. */
export class Progress implements Disposable {
  readonly #options: ProgressOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #unsubscribe: () => void;
  readonly #line: ProgressLine;
  readonly #news: FailureNews;

  constructor(options: ProgressOptions) {
    const { terminal, beforeOutput, subscribe } = options;
    this.#options = options;
    this.#line = new ProgressLine(terminal, { beforeOutput });
    this.#news = new FailureNews(terminal);
    this.#unsubscribe = subscribe((facts) => this.#hear(facts));
    this.#timer = setInterval(() => this.#show(), REDRAW_MS);
    // A workflow that is over is not kept alive by showing it.
    this.#timer.unref?.();
  }

  /** Writes how it ended, if there was anything to tell, and stops. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#unsubscribe();
    this.#line[Symbol.dispose]();
    const { status, terminal, more } = this.#options;
    const last = status();
    if (isIdle(last)) return;
    const { hasColours } = terminal;
    const failures = describeFailures(this.#news.all, { hasColours, more });
    const end = renderSpans(describeEnd(last, Date.now()), hasColours);
    terminal.write(`${failures}${end}\n`);
  }

  #hear(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.kind !== "task_ended" || fact.outcome === "success") continue;
      const { end: { taskId: id, message, result, try: number }, outcome } = fact;
      if (outcome === "cancelled") continue;
      const stderr = result?.stderr ?? NO_BYTES;
      const app = this.#options.appOf(id);
      const task = { id, app, try: number, outcome, message, stderr };
      this.#print(this.#news.note(task, performance.now()));
    }
  }

  #print(text: string): void {
    if (text !== "") this.#line.print(text);
  }

  #show(): void {
    const { status, isEnding } = this.#options;
    if (isEnding()) return this.#line.hide();
    this.#print(this.#news.tellHidden(performance.now()));
    const now = status();
    if (isIdle(now)) return;
    const view = viewOf(now);
    this.#line.show((columns) => describeProgress(view, { nowMs: Date.now(), columns }));
  }
}

/** Nothing was asked of it. */
function isIdle({ tasks, apps }: ManagerStatus): boolean {
  return tasks.submitted === 0 && apps === undefined;
}
