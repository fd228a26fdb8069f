/**
 * Filters, searches, sorts and cuts the rows of a report as the database does those of a run: texts
 * by their code points, what is not known last, letters of ASCII alike in either size.
 *
 * @module
 */

import {
  type FileRow,
  type Question,
  type Rows,
  SHOWN_STATES,
  type TaskRow,
  type WorkerRow,
} from "./api.ts";
import { APP_STATES, type CallRow } from "./call_api.ts";
import type { Expectations } from "./packed_rows.ts";
import { lowerAscii, searchedNumber, searchWords } from "./search_words.ts";

/** A task of a report: its row, and what is searched beside that. */
export interface ReportTask extends TaskRow {
  readonly library: string | null;
}

/** A file of a report: its row, and when it was declared. */
export interface ReportFile extends FileRow {
  readonly declaredAtMs: number;
}

/** What of a task follows from the rest of its row, and from where its worker is. */
export function expectedOfTasks(
  workers: readonly WorkerRow[],
): Expectations<ReportTask> {
  const hosts = new Map(workers.map(({ workerId, host }) => [workerId, host]));
  return {
    host: ({ workerId }) => workerId === null ? null : hosts.get(workerId) ?? null,
    endedAtMs: ({ startedAtMs, ranMs }) =>
      startedAtMs === null || ranMs === null ? null : startedAtMs + Math.round(ranMs),
  };
}

/** What of a file follows from the rest of its row. */
export const EXPECTED_OF_FILES: Expectations<ReportFile> = {
  movedBytes: ({ sizeBytes, transfers }) => (sizeBytes ?? 0) * transfers,
};

type TasksQuestion = Extract<Question, { readonly kind: "tasks" }>;
type CallsQuestion = Extract<Question, { readonly kind: "calls" }>;
type FilesQuestion = Extract<Question, { readonly kind: "files" }>;
type Key = string | number | null;

const TASK_KEYS: { readonly [Sort in TasksQuestion["sort"]]: (task: ReportTask) => Key } = {
  id: ({ taskId }) => taskId,
  name: ({ name }) => name,
  category: ({ category }) => category,
  state: ({ state }) => SHOWN_STATES.indexOf(state),
  outcome: ({ outcome }) => outcome,
  try: (task) => task.try,
  host: ({ host }) => host,
  submitted: ({ submittedAtMs }) => submittedAtMs,
  started: ({ startedAtMs }) => startedAtMs,
  ended: ({ endedAtMs }) => endedAtMs,
  ran: ({ ranMs }) => ranMs,
  cores: ({ usedCores }) => usedCores,
  memory: ({ usedMemoryBytes }) => usedMemoryBytes,
  disk: ({ usedDiskBytes }) => usedDiskBytes,
};

/** Answers `tasks`. */
export function tasksOf(tasks: readonly ReportTask[], question: TasksQuestion): Rows<TaskRow> {
  const { states, outcomes, category, taskKind, workerId } = question;
  const words = searchWords(question.search);
  const found = tasks.filter((task) =>
    (states === undefined || states.includes(task.state)) &&
    (outcomes === undefined || hasOutcome(task, outcomes)) &&
    (category === undefined || task.category === category) &&
    (taskKind === undefined || task.kind === taskKind) &&
    (workerId === undefined || task.workerId === workerId) &&
    words.every((word) => isWordOfTask(task, word))
  );
  const key = TASK_KEYS[question.sort];
  const { total, rows } = page(found, key, ({ taskId }) => taskId, question);
  return { total, rows: rows.map(({ library: _library, ...row }) => row) };
}

function hasOutcome({ outcome }: TaskRow, outcomes: readonly string[]): boolean {
  if (outcome === null) return false;
  return outcomes.includes(outcome) ||
    outcomes.includes("failed") && outcome !== "success" && outcome !== "cancelled";
}

function isWordOfTask(task: ReportTask, word: string): boolean {
  return task.taskId === searchedNumber(word) ||
    hasWord([task.name, task.command, task.tag, task.category], word) ||
    hasWord([task.library, task.message, task.host], word);
}

function hasWord(texts: readonly (string | null)[], word: string): boolean {
  return texts.some((text) => text !== null && lowerAscii(text).includes(word));
}

const CALL_KEYS: { readonly [Sort in CallsQuestion["sort"]]: (call: CallRow) => Key } = {
  id: ({ callId }) => callId,
  app: ({ app }) => app,
  state: ({ state }) => APP_STATES.indexOf(state),
  try: (call) => call.try,
  host: ({ host }) => host,
  called: ({ calledAtMs }) => calledAtMs,
  ran: ({ ranMs }) => ranMs,
};

/** Answers `calls`. */
export function callsOf(calls: readonly CallRow[], question: CallsQuestion): Rows<CallRow> {
  const { states, app } = question;
  const words = searchWords(question.search);
  const found = calls.filter((call) =>
    (states === undefined || states.includes(call.state)) &&
    (app === undefined || call.app === app) &&
    words.every((word) =>
      call.callId === searchedNumber(word) ||
      hasWord([call.app, call.label, call.argumentText], word) ||
      hasWord([call.message, call.host, call.memoKey], word)
    )
  );
  return page(found, CALL_KEYS[question.sort], ({ callId }) => callId, question);
}

const LEVELS = ["task", "workflow", "worker", "forever"];

const FILE_KEYS: { readonly [Sort in FilesQuestion["sort"]]: (file: ReportFile) => Key } = {
  id: ({ fileId }) => fileId,
  size: ({ sizeBytes }) => sizeBytes,
  replicas: ({ replicas }) => replicas,
  level: ({ level }) => LEVELS.indexOf(level),
  transfers: ({ transfers }) => transfers,
};

/** Answers `files`. */
export function filesOf(files: readonly ReportFile[], question: FilesQuestion): Rows<FileRow> {
  const words = searchWords(question.search);
  const found = files.filter((file) =>
    (question.level === undefined || file.level === question.level) &&
    words.every((word) =>
      file.fileId === searchedNumber(word) ||
      hasWord([file.source, file.cacheName, file.kind], word)
    )
  );
  const { total, rows } = page(found, FILE_KEYS[question.sort], ({ fileId }) => fileId, question);
  return { total, rows: rows.map(({ declaredAtMs: _declaredAtMs, ...row }) => row) };
}

function page<Row>(
  found: readonly Row[],
  key: (row: Row) => Key,
  number: (row: Row) => number,
  { isDescending, offset, limit }: Pick<TasksQuestion, "isDescending" | "offset" | "limit">,
): Rows<Row> {
  const keyed = found.map((row) => ({ row, key: key(row), number: number(row) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) {
      return Number(a.key === null) - Number(b.key === null) || a.number - b.number;
    }
    const order = compareKeys(a.key, b.key);
    return (isDescending ? -order : order) || a.number - b.number;
  });
  return { total: found.length, rows: keyed.slice(offset, offset + limit).map(({ row }) => row) };
}

function compareKeys(a: string | number, b: string | number): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return compareTexts(String(a), String(b));
}

/** By code points, as the bytes of UTF-8 compare; `<` compares units of UTF-16. */
export function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const difference = rankOf(a.charCodeAt(index)) - rankOf(b.charCodeAt(index));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Halves of pairs stand for code points above all others. */
function rankOf(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
