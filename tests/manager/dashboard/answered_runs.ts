/** Made-up runs, and what answers questions about them: a database, and a report of it. */

import { DatabaseSync } from "node:sqlite";

import type { Answers, Question, TaskRow } from "../../../manager/dashboard/api.ts";
import { answer } from "../../../manager/dashboard/queries/answer.ts";
import { collectReport, type ReportLimits } from "../../../manager/dashboard/report_contents.ts";
import { answerFromReport, unpackReport } from "../../../manager/dashboard/report_data.ts";
import { SCHEMA } from "../../../manager/monitoring/schema.ts";
import { fillSyntheticRun, type SyntheticRun } from "../monitoring/synthetic_run.ts";

/** Asks one of the implementations. */
export type Ask = <Kind extends Question["kind"]>(
  question: Extract<Question, { readonly kind: Kind }>,
) => Answers[Kind];
/** A question for tasks. */
export type TasksQuestion = Extract<Question, { readonly kind: "tasks" }>;

const ALL: ReportLimits = {
  tasksMax: 1e6,
  filesMax: 1e6,
  barsMax: 1e6,
  pointsMax: 5_000,
  transfersMax: 20_000,
  vinesMax: 1_000,
  detailCharsMax: 1e9,
};

/** Asks the database itself. */
export function fromDatabase(db: DatabaseSync): Ask {
  return (question) => answer(db, question);
}

/** Asks a report of the database, of all that is in it. */
export function fromReport(db: DatabaseSync): Ask {
  // As it travels: through JSON.
  const data = unpackReport(JSON.parse(JSON.stringify(collectReport(db, ALL))));
  return (question) => answerFromReport(data, question);
}

/** The records that are asked: of a run that has ended, of one that goes on, and of nothing yet. */
export interface AnsweredRuns extends Disposable {
  readonly ended: DatabaseSync;
  readonly endedRun: SyntheticRun;
  readonly going: DatabaseSync;
  readonly goingRun: SyntheticRun;
  readonly empty: DatabaseSync;
}

/** Makes them up. */
export function openAnsweredRuns(): AnsweredRuns {
  const [ended, going, empty] = [":memory:", ":memory:", ":memory:"].map((path) =>
    new DatabaseSync(path)
  ) as [DatabaseSync, DatabaseSync, DatabaseSync];
  const endedRun = fillSyntheticRun(ended, { tasks: 400, workers: 6, seed: 3 });
  setOddTexts(ended, endedRun);
  const goingRun = fillSyntheticRun(going, { tasks: 400, workers: 6, seed: 4, until: 0.8 });
  empty.exec(SCHEMA);
  return {
    ended,
    endedRun,
    going,
    goingRun,
    empty,
    [Symbol.dispose]: () => {
      for (const db of [ended, going, empty]) db.close();
    },
  };
}

/** Texts that mean something to LIKE, to SQL and to sorting by bytes; times with fractions. */
function setOddTexts(ended: DatabaseSync, endedRun: SyntheticRun): void {
  ended.exec(`
    UPDATE task_detail SET name = '\u{1F33F} vine', tag = '50%_\\x' WHERE task_id = 7;
    UPDATE task_detail SET name = '\uFFFD last', tag = 'ÄRGER' WHERE task_id = 8;
    UPDATE task_detail SET name = 'O''Neil; DROP TABLE task_detail' WHERE task_id = 9;
    UPDATE file SET merged_into = 2, source = NULL WHERE file_id = 3;
  `);
  for (const taskId of [7, 8, 9]) {
    const { name, tag } = ended.prepare("SELECT name, tag FROM task_detail WHERE task_id = ?")
      .get(taskId) as { name: string; tag: string };
    Object.assign(endedRun.tasks[taskId - 1]!, { name, tag });
  }
}

/** `[name, how it is asked]` */
export const IMPLEMENTATIONS: readonly (readonly [string, (db: DatabaseSync) => Ask])[] = [
  ["answer()", fromDatabase],
  ["answerFromReport()", fromReport],
];

/** A question for tasks: all of them, unless it says otherwise. */
export function tasks(question: Partial<TasksQuestion>): TasksQuestion {
  return { kind: "tasks", sort: "id", isDescending: false, offset: 0, limit: 1_000, ...question };
}

/** As much for files. */
export function files(
  question: Partial<Extract<Question, { readonly kind: "files" }>>,
): Extract<Question, { readonly kind: "files" }> {
  return { kind: "files", sort: "id", isDescending: false, offset: 0, limit: 1_000, ...question };
}

/** Numbers of those tasks. */
export function idsOf(rows: readonly TaskRow[]): readonly number[] {
  return rows.map(({ taskId }) => taskId);
}

/** Numbers of the tasks of a run that are to be kept. */
export function numbersOf(
  run: SyntheticRun,
  keep: (task: SyntheticRun["tasks"][number]) => boolean,
): readonly number[] {
  return run.tasks.filter(keep).map(({ taskId }) => taskId);
}

/** Did it end otherwise than well? */
export function hasFailed({ outcome }: { readonly outcome: string | null }): boolean {
  return outcome !== null && outcome !== "success" && outcome !== "cancelled";
}

/** Of numbers. */
export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
