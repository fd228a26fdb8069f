/** Reads questions as they come from browsers: every field is checked, and every amount has a limit. */

import {
  atMost,
  type Check,
  finite,
  flag,
  kinds,
  list,
  name,
  natural,
  oneOf,
  optional,
  positive,
  ruled,
  text,
} from "../../shared/message_check.ts";
import { APP_STATES, CALL_SORTS } from "./call_api.ts";
import { FILE_SORTS, type Question, ROWS_MAX, SHOWN_STATES, TASK_SORTS } from "./api.ts";

/** Characters of a search. */
export const SEARCH_CHARS_MAX = 1_000;
/** Instants of a curve. */
export const POINTS_MAX = 5_000;
/** Bars of a timeline. */
export const BARS_MAX = 100_000;
/** Edges of the vine. */
export const VINE_TRANSFERS_MAX = 20_000;
/** Categories, ids of workers and the like; what is longer is none of ours. */
const NAME_CHARS_MAX = 4_096;
/** Workers that a timeline can be asked of by name. */
const WORKERS_MAX = 1_000;
/** How much of a stranger's text an error repeats. */
const QUOTED_CHARS_MAX = 40;

const word = name(NAME_CHARS_MAX);
const search = optional(text(SEARCH_CHARS_MAX));
const states = optional(upTo(SHOWN_STATES.length, list(oneOf(SHOWN_STATES))));
const outcomes = optional(upTo(32, list(word)));
const limit = upToNumber(ROWS_MAX);
const instant: Check<number> = (value) =>
  finite(value) ?? atMost(8.64e15)(Math.abs(value as number));
const span = { fromMs: optional(instant), toMs: optional(instant) };

const check: Check<Question> = ruled(
  kinds<Question>({
    run: {},
    overview: { ...span, points: upToNumber(POINTS_MAX) },
    tasks: {
      search,
      states,
      outcomes,
      category: optional(text(NAME_CHARS_MAX)),
      taskKind: optional(oneOf(["command", "call"])),
      workerId: optional(word),
      sort: oneOf(TASK_SORTS),
      isDescending: flag,
      offset: natural,
      limit,
    },
    task: { taskId: natural },
    timeline: {
      ...span,
      workerIds: optional(upTo(WORKERS_MAX, list(word))),
      barsMax: upToNumber(BARS_MAX),
    },
    workers: {},
    worker: { workerId: word },
    files: {
      search,
      level: optional(word),
      sort: oneOf(FILE_SORTS),
      isDescending: flag,
      offset: natural,
      limit,
    },
    levels: {},
    file: { fileId: natural },
    transfers: { isRunning: flag, limit },
    vine: { fileId: optional(natural), transfersMax: upToNumber(VINE_TRANSFERS_MAX) },
    graph: { grouping: oneOf(["auto", "tasks", "categories", "calls", "apps"]) },
    calls: {
      search,
      states: optional(upTo(APP_STATES.length, list(oneOf(APP_STATES)))),
      app: optional(word),
      sort: oneOf(CALL_SORTS),
      isDescending: flag,
      offset: natural,
      limit,
    },
    call: { callId: natural },
    apps: {},
  }),
  checkSpan,
);

/**
 * Returns `value` as a question.
 *
 * @throws {TypeError} When it is none; the message names the field.
 */
export function readQuestion(value: unknown): Question {
  const failure = check(value);
  // What has passed the check is a question.
  if (failure === undefined) return value as Question;
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : value;
  const quoted = typeof kind === "string" ? kind.slice(0, QUOTED_CHARS_MAX) : typeof kind;
  throw new TypeError(
    `Cannot read question "${quoted}" as one that the records answer: question${failure}`,
  );
}

function checkSpan(question: Question): string | undefined {
  if (!("fromMs" in question || "toMs" in question)) return undefined;
  const { fromMs, toMs } = question;
  if (fromMs === undefined || toMs === undefined || fromMs <= toMs) return undefined;
  return ".toMs comes before .fromMs";
}

function upToNumber(max: number): Check<number> {
  return (value) => positive(value) ?? atMost(max)(value);
}

function upTo<T>(countMax: number, items: Check<readonly T[]>): Check<readonly T[]> {
  return (value) =>
    Array.isArray(value) && value.length > countMax
      ? ` has more than ${countMax} items`
      : items(value);
}
