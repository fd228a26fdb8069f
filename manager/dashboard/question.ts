/** The shape of every question of api.ts, looked at once, where requests come in. */

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
import { type Question, ROWS_MAX, SHOWN_STATES, type TaskSort } from "./api.ts";

/** Characters of what is searched for. */
const SEARCH_CHARS_MAX = 500;

/** Characters of a name: of a category, a worker, an outcome. */
const NAME_CHARS_MAX = 256;

/** Workers that a timeline is asked of by name. */
const WORKERS_MAX = 1_000;

/** Outcomes that tables are filtered by; there are fewer. */
const OUTCOMES_MAX = 100;

/** Points of a curve: more than a screen has pixels. */
const POINTS_MAX = 10_000;

/** Bars of a timeline, about. */
const BARS_MAX = 100_000;

/** Edges of a vine. */
const TRANSFERS_MAX = 100_000;

/** Every sort, so that a new one does not compile without being taken. */
const TASK_SORTS: { readonly [Sort in TaskSort]: true } = {
  id: true,
  name: true,
  category: true,
  state: true,
  outcome: true,
  try: true,
  host: true,
  submitted: true,
  started: true,
  ended: true,
  ran: true,
  cores: true,
  memory: true,
  disk: true,
};

const label = text(NAME_CHARS_MAX);
const id = name(NAME_CHARS_MAX);
const search = text(SEARCH_CHARS_MAX);
const limit = whole(ROWS_MAX);

/** What a page may ask. */
export const questionCheck: Check<Question> = kinds<Question>({
  run: {},
  overview: { fromMs: optional(finite), toMs: optional(finite), points: whole(POINTS_MAX) },
  tasks: {
    search: optional(search),
    states: optional(short(oneOf(SHOWN_STATES), SHOWN_STATES.length)),
    outcomes: optional(short(id, OUTCOMES_MAX)),
    category: optional(label),
    taskKind: optional(oneOf(["command", "call"])),
    workerId: optional(id),
    sort: oneOf(Object.keys(TASK_SORTS) as TaskSort[]),
    isDescending: flag,
    offset: natural,
    limit,
  },
  task: { taskId: positive },
  timeline: {
    fromMs: optional(finite),
    toMs: optional(finite),
    workerIds: optional(short(id, WORKERS_MAX)),
    barsMax: whole(BARS_MAX),
  },
  workers: {},
  worker: { workerId: id },
  files: {
    search: optional(search),
    level: optional(label),
    sort: oneOf(["id", "size", "replicas", "level", "transfers"]),
    isDescending: flag,
    offset: natural,
    limit,
  },
  file: { fileId: positive },
  transfers: { isRunning: flag, limit },
  vine: { fileId: optional(positive), transfersMax: whole(TRANSFERS_MAX) },
  graph: { grouping: oneOf(["auto", "tasks", "categories"]) },
});

function whole(max: number): Check<number> {
  return ruled(natural, atMost(max));
}

function short<T>(check: Check<T>, most: number): Check<readonly T[]> {
  const isList = list(check);
  return (value) => {
    const isLong = Array.isArray(value) && value.length > most;
    return isLong ? ` has more than ${most} entries` : isList(value);
  };
}
