/**
 * What is told of tasks that fail without being asked: while work goes on a few a minute and then
 * their number, at the end the first ones.
 *
 * @module
 */

import type { TaskId } from "../shared/ids.ts";
import { plainText, stripControls } from "../shared/plain_text.ts";
import { renderSpans } from "../shared/span.ts";
import type { Outcome } from "../shared/task.ts";

/** Tasks that are told of in a minute while work goes on, and at the end. */
const TOLD_MAX = 3;
const TOLD_MS = 60_000;
const SHOWN_MAX = 5;

/** Lines of what each wrote last. */
const LINES_MAX = 10;
const LINE_CHARS_MAX = 500;
/** Bytes of it that are looked at. */
const STDERR_BYTES_MAX: number = LINES_MAX * LINE_CHARS_MAX * 4;

/** A task that failed. */
export interface FailedTask {
  readonly id: TaskId;
  /** Name of the app that it is a call of, if it is one. */
  readonly app?: string | undefined;
  /** Number of its last try. */
  readonly try: number;
  readonly outcome: Outcome;
  readonly message: string;
  /** The end of what it wrote. */
  readonly stderr: Uint8Array;
}

/** The failures of one run, or one wait. */
export class FailureNews {
  readonly #hasColours: boolean;
  /** The first ones, and those among them that were told of. */
  readonly #first: FailedTask[] = [];
  readonly #told: Set<TaskId> = new Set();
  #count = 0;
  #sinceMs = -Infinity;
  #toldCount = 0;
  #hiddenCount = 0;

  constructor({ hasColours }: { readonly hasColours: boolean }) {
    this.#hasColours = hasColours;
  }

  /** Takes a failure; returns what to print now, which may be nothing. */
  note(task: FailedTask, nowMs: number): string {
    this.#count += 1;
    if (this.#first.length < SHOWN_MAX) {
      this.#first.push({ ...task, stderr: task.stderr.slice(-STDERR_BYTES_MAX) });
    }
    const before = this.tellHidden(nowMs);
    if (nowMs - this.#sinceMs >= TOLD_MS) {
      this.#sinceMs = nowMs;
      this.#toldCount = 0;
    }
    if (this.#toldCount === TOLD_MAX) {
      this.#hiddenCount += 1;
      return before;
    }
    this.#toldCount += 1;
    this.#told.add(task.id);
    return before + describeFailure(task, this.#hasColours);
  }

  /** Says how many were not told of, once a minute; empty when there is nothing to say. */
  tellHidden(nowMs: number): string {
    if (this.#hiddenCount === 0 || nowMs - this.#sinceMs < TOLD_MS) return "";
    const text = `and ${this.#hiddenCount} more failed since\n`;
    this.#hiddenCount = 0;
    return text;
  }

  /** What was taken so far, for `describeFailures`. */
  get all(): Failures {
    return { first: this.#first, count: this.#count, told: this.#told };
  }
}

/** Failures at the end of a run. */
export interface Failures {
  /** At least those that are shown, when there are so many. */
  readonly first: readonly FailedTask[];
  readonly count: number;
  /** Those that were told of while work went on. */
  readonly told: ReadonlySet<TaskId>;
}

/**
 * The first ones, those told of before on one line each, and how many there are besides. `more`
 * says where there is more of a task, of the first of them.
 */
export function describeFailures(
  { first, count, told }: Failures,
  { hasColours, more }: {
    readonly hasColours: boolean;
    readonly more: (task: FailedTask) => string | undefined;
  },
): string {
  const shown = first.slice(0, SHOWN_MAX);
  if (shown[0] === undefined) return "";
  const texts = shown.map((task) => {
    return describeFailure(task, hasColours, told.has(task.id) ? 0 : LINES_MAX);
  });
  if (count > shown.length) texts.push(`and ${count - shown.length} more failed\n`);
  const place = more(shown[0]);
  if (place !== undefined) texts.push(`more of it: ${place}\n`);
  return texts.join("");
}

/** How a task failed: a line, and what it wrote last. */
export function describeFailure(
  { id, app, outcome, message, stderr }: FailedTask,
  hasColours: boolean,
  linesMax: number = LINES_MAX,
): string {
  const found = message === "" ? "" : `: ${plainText(message, LINE_CHARS_MAX)}`;
  const which = app === undefined ? `task ${id}` : `task ${id} (${app})`;
  const head = renderSpans([
    { text: `${which} ended as ${outcome}`, tone: "bad" },
    { text: found },
  ], hasColours);
  const bytes = stderr.subarray(-STDERR_BYTES_MAX);
  const text = stripControls(new TextDecoder().decode(bytes)).trimEnd();
  const lines = text === "" || linesMax === 0 ? [] : text.split("\n").slice(-linesMax);
  const said = lines.map((line) => `  ${line.slice(0, LINE_CHARS_MAX)}\n`);
  return [`${head}\n`, ...said].join("");
}
