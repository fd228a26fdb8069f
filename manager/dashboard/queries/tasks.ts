/** Tables of tasks: filtered, searched, sorted and cut where the records are. */

import type { DatabaseSync, SQLInputValue } from "node:sqlite";

import {
  type Question,
  type Rows,
  SHOWN_STATES,
  type TaskFilter,
  type TaskRow,
  type TaskSort,
} from "../api.ts";
import type { ReportTask } from "../report_tables.ts";
import { likePattern, searchedNumber, searchWords } from "../search_words.ts";
import { all, first, tuples } from "./statement.ts";

type TasksQuestion = Extract<Question, { readonly kind: "tasks" }>;

/** Of commands and messages a table tells that many characters; the task's page has all. */
const TEXT_CHARS_MAX = 400;

/** What `TaskRow` is selected with, but for its texts. */
const COLUMNS = `task_id AS taskId, kind, name, category, tag, state, outcome, try_count AS try,
  worker_id AS workerId, host, round(submitted_at_ms) AS submittedAtMs,
  round(started_at_ms) AS startedAtMs, round(ran_ms, 3) AS ranMs, round(ended_at_ms) AS endedAtMs,
  used_cores AS usedCores, used_memory_bytes AS usedMemoryBytes, used_disk_bytes AS usedDiskBytes`;

/** `TaskRow` of a table. */
export const TASK_COLUMNS: string = `${COLUMNS}, substr(command, 1, ${TEXT_CHARS_MAX}) AS command,
  substr(message, 1, ${TEXT_CHARS_MAX}) AS message`;

/** `TaskRow` with the whole of its texts. */
export const WHOLE_TASK_COLUMNS: string = `${COLUMNS}, command, message`;

const STATE_RANK = SHOWN_STATES.map((state, rank) => `WHEN '${state}' THEN ${rank}`).join(" ");

/** What is told is what is sorted by, so that a report sorts alike. */
const KEYS: { readonly [Sort in TaskSort]: string } = {
  id: "task_id",
  name: "name",
  category: "category",
  state: `CASE state ${STATE_RANK} END`,
  outcome: "outcome",
  try: "try_count",
  host: "host",
  submitted: "round(submitted_at_ms)",
  started: "round(started_at_ms)",
  ended: "round(ended_at_ms)",
  ran: "round(ran_ms, 3)",
  cores: "used_cores",
  memory: "used_memory_bytes",
  disk: "used_disk_bytes",
};

/** Answers `tasks`; what is not known comes last in either direction. */
export function answerTasks(db: DatabaseSync, question: TasksQuestion): Rows<TaskRow> {
  const { sql, values } = taskCondition(question);
  const key = KEYS[question.sort];
  const direction = question.isDescending ? "DESC" : "ASC";
  const order = question.sort === "id"
    ? `task_id ${direction}`
    : `${key} IS NULL, ${key} ${direction}, task_id`;
  const { total, page } = findTasks(db, question, { sql, values, order });
  const rows = all<TaskRow>(
    db,
    `SELECT ${TASK_COLUMNS} FROM task_detail
     WHERE task_id IN (SELECT value FROM json_each(?)) ORDER BY ${order}`,
    JSON.stringify(page),
  );
  return { total, rows };
}

/** Numbers of the tasks of one page, in some order, and how many there are on all. */
function findTasks(
  db: DatabaseSync,
  { search, offset, limit }: TasksQuestion,
  { sql, values, order }: Condition & { readonly order: string },
): { readonly total: number; readonly page: readonly number[] } {
  const wanted = `SELECT task_id FROM task_detail WHERE ${sql} ORDER BY ${order}`;
  // To look into the texts twice, once to count, takes longer than to tell all that were found.
  if (searchWords(search).length > 0) {
    const found = tuples<[taskId: number]>(db, wanted, ...values);
    const page = found.slice(offset, offset + limit).map(([taskId]) => taskId);
    return { total: found.length, page };
  }
  const page = tuples<[taskId: number]>(db, `${wanted} LIMIT ? OFFSET ?`, ...values, limit, offset);
  return { total: countTasks(db, sql, values), page: page.map(([taskId]) => taskId) };
}

/** All tasks, at most `max`, for a report: those that failed are not left out before others. */
export function allTasks(db: DatabaseSync, max: number): Rows<ReportTask> {
  const rows = all<ReportTask>(
    db,
    `SELECT * FROM (
       SELECT ${TASK_COLUMNS}, library FROM task_detail
       ORDER BY outcome IS NULL OR outcome IN ('success', 'cancelled'), task_id LIMIT ?
     ) ORDER BY taskId`,
    max,
  );
  return { total: countTasks(db, "TRUE", []), rows };
}

function countTasks(db: DatabaseSync, sql: string, values: readonly SQLInputValue[]): number {
  const row = first<{ count: number }>(
    db,
    `SELECT count(*) AS count FROM task_detail WHERE ${sql}`,
    ...values,
  );
  return row?.count ?? 0;
}

interface Condition {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
}

/** The rows of `task_detail` that a filter lets pass. */
function taskCondition(filter: TaskFilter): Condition {
  const parts: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (sql: string, ...added: SQLInputValue[]): void => {
    parts.push(sql);
    values.push(...added);
  };
  const { states, outcomes, category, taskKind, workerId } = filter;
  if (states !== undefined) add(`state IN (${marks(states)})`, ...states);
  if (outcomes !== undefined) {
    const isAnyFailure = outcomes.includes("failed") ? 1 : 0;
    add(
      `(outcome IN (${marks(outcomes)})
        OR ? AND outcome IS NOT NULL AND outcome NOT IN ('success', 'cancelled'))`,
      ...outcomes,
      isAnyFailure,
    );
  }
  if (category !== undefined) add("category = ?", category);
  if (taskKind !== undefined) add("kind = ?", taskKind);
  if (workerId !== undefined) add("worker_id = ?", workerId);
  for (const word of searchWords(filter.search)) {
    const pattern = likePattern(word);
    const like = SEARCHED.map((column) => `${column} LIKE ? ESCAPE '\\'`);
    add(
      `(${like.join(" OR ")} OR task_id = ?)`,
      ...SEARCHED.map(() => pattern),
      searchedNumber(word),
    );
  }
  return { sql: parts.length === 0 ? "TRUE" : parts.join(" AND "), values };
}

const SEARCHED = ["name", "command", "tag", "category", "library", "message", "host"] as const;

function marks(values: readonly string[]): string {
  return values.map(() => "?").join(", ");
}
