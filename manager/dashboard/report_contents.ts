/**
 * Collects from a database what a report holds: all tasks and files as rows up to a limit, and
 * details as far as there is room, of what failed first.
 *
 * @module
 */

import type { DatabaseSync } from "node:sqlite";
import { gzipSync } from "node:zlib";

import {
  type Answers,
  type FileDetail,
  type Graph,
  ROWS_MAX,
  type RunInfo,
  type TaskDetail,
  type WorkerDetail,
} from "./api.ts";
import type { CallDetail, CallRow } from "./call_api.ts";
import { packRows } from "./packed_rows.ts";
import { answer } from "./queries/answer.ts";
import { allFiles } from "./queries/files.ts";
import { allCalls } from "./queries/calls.ts";
import { allTasks } from "./queries/tasks.ts";
import {
  type PackedReport,
  REPORT_VERSION,
  type ReportAnswers,
  type ReportBar,
} from "./report_data.ts";

import { EXPECTED_OF_FILES, expectedOfTasks } from "./report_tables.ts";

/** How much of a run a report holds. */
export interface ReportLimits {
  readonly tasksMax: number;
  readonly filesMax: number;
  readonly barsMax: number;
  readonly pointsMax: number;
  /** Transfers of the vine of all files. */
  readonly transfersMax: number;
  /** Files whose vine can be looked at, those that moved most. */
  readonly vinesMax: number;
  /** Characters of JSON that details of tasks, of workers, and of files take, each. */
  readonly detailCharsMax: number;
}

/** 100,000 tasks on 500 workers stay under 5 MB with these. */
export const REPORT_LIMITS: ReportLimits = {
  tasksMax: 200_000,
  filesMax: 100_000,
  barsMax: 20_000,
  pointsMax: 2_000,
  transfersMax: 5_000,
  vinesMax: 20,
  detailCharsMax: 2_500_000,
};

/** Packs the report as text for its element. */
export function packReport(db: DatabaseSync, limits: ReportLimits = REPORT_LIMITS): string {
  const packed = JSON.stringify(collectReport(db, limits));
  return gzipSync(packed, { level: 6 }).toString("base64");
}

/** All that a report holds. */
export function collectReport(db: DatabaseSync, limits: ReportLimits): PackedReport {
  const tasks = allTasks(db, limits.tasksMax);
  const files = allFiles(db, limits.filesMax);
  const calls = allCalls(db, limits.tasksMax);
  const { rows: workers, total: workerTotal } = answer(db, { kind: "workers" });
  const { bars, ...timeline } = answer(db, { kind: "timeline", barsMax: limits.barsMax });
  const run = answer(db, { kind: "run" });
  const answers: ReportAnswers = {
    run: { ...run, notes: [...run.notes, ...notesOf(run, { tasks, files, calls }, limits)] },
    overview: answer(db, { kind: "overview", points: limits.pointsMax }),
    workerTotal,
    timeline,
    running: answer(db, { kind: "transfers", isRunning: true, limit: ROWS_MAX }),
    transfers: answer(db, { kind: "transfers", isRunning: false, limit: ROWS_MAX }),
    ...vinesOf(db, limits),
    graphs: graphsOf(db),
    levels: answer(db, { kind: "levels" }),
    apps: answer(db, { kind: "apps" }),
    calls: callDetails(db, calls.rows, limits),
    ...detailsOf(db, { tasks: tasks.rows, workers }, limits),
  };
  const columns = bars.id.map((id, index): ReportBar => ({
    id,
    lane: bars.lane[index] ?? 0,
    startMs: bars.startMs[index] ?? 0,
    endMs: bars.endMs[index] ?? 0,
    kind: bars.kind[index] ?? "task",
    count: bars.count[index] ?? 1,
    label: bars.label[index] ?? 0,
    state: bars.state[index] ?? 0,
  }));
  return {
    version: REPORT_VERSION,
    answers,
    tasks: packRows(tasks.rows, expectedOfTasks(workers)),
    files: packRows(files.rows, EXPECTED_OF_FILES),
    workers: packRows(workers.map((row) => ({ ...row, features: row.features.join("\n") }))),
    bars: packRows(columns),
    calls: packRows(calls.rows),
  };
}

interface Told {
  readonly calls: { readonly total: number; readonly rows: readonly unknown[] };
  readonly tasks: { readonly total: number; readonly rows: readonly unknown[] };
  readonly files: { readonly total: number; readonly rows: readonly unknown[] };
}

/** What is left out is said. */
function notesOf(
  { recordedAtMs }: RunInfo,
  { tasks, files, calls }: Told,
  { tasksMax, filesMax }: ReportLimits,
): RunInfo["notes"] {
  const notes: RunInfo["notes"][number][] = [];
  const add = (text: string): void => {
    notes.push({ atMs: recordedAtMs, kind: "report", text });
  };
  if (tasks.total > tasks.rows.length) {
    add(`This report holds ${tasksMax} of ${tasks.total} tasks, those that failed first`);
  }
  if (calls.total > calls.rows.length) {
    add(`This report holds ${tasksMax} of ${calls.total} calls of apps, those that failed first`);
  }
  if (files.total > files.rows.length) {
    add(`This report holds ${filesMax} of ${files.total} files`);
  }
  return notes;
}

function vinesOf(
  db: DatabaseSync,
  { transfersMax, vinesMax }: ReportLimits,
): Pick<ReportAnswers, "vine" | "vines"> {
  const { rows } = answer(db, {
    kind: "files",
    sort: "transfers",
    isDescending: true,
    offset: 0,
    limit: vinesMax,
  });
  return {
    vine: answer(db, { kind: "vine", transfersMax }),
    vines: rows
      .filter(({ transfers }) => transfers > 0)
      .map(({ fileId }) => answer(db, { kind: "vine", fileId, transfersMax })),
  };
}

function graphsOf(db: DatabaseSync): readonly Graph[] {
  const shown = answer(db, { kind: "graph", grouping: "auto" });
  const others = (["tasks", "categories", "calls", "apps"] as const)
    .filter((grouping) => grouping !== shown.grouping)
    .map((grouping) => answer(db, { kind: "graph", grouping }))
    .filter(({ grouping, nodes }) =>
      grouping === "tasks" || grouping === "categories" || nodes.length > 0
    );
  return [shown, ...others];
}

/** Details of calls as far as there is room: of those that failed, then of the others. */
function callDetails(
  db: DatabaseSync,
  calls: readonly CallRow[],
  { detailCharsMax }: ReportLimits,
): readonly CallDetail[] {
  const hasFailed = ({ state }: CallRow): boolean => state === "failed" || state === "dep_fail";
  const ordered = [...calls.filter(hasFailed), ...calls.filter((call) => !hasFailed(call))];
  return fitting<CallDetail>(
    ordered.map(({ callId }) => () => answer(db, { kind: "call", callId })),
    detailCharsMax,
  );
}

/** Details as far as there is room: of failed tasks, then of the others as they were submitted. */
function detailsOf(
  db: DatabaseSync,
  { tasks, workers }: {
    readonly tasks: ReturnType<typeof allTasks>["rows"];
    readonly workers: Answers["workers"]["rows"];
  },
  { detailCharsMax, vinesMax }: ReportLimits,
): Pick<ReportAnswers, "tasks" | "workers" | "files"> {
  const hasFailed = ({ outcome }: (typeof tasks)[number]): boolean =>
    outcome !== null && outcome !== "success" && outcome !== "cancelled";
  const ordered = [...tasks.filter(hasFailed), ...tasks.filter((task) => !hasFailed(task))];
  const moved = answer(db, {
    kind: "files",
    sort: "transfers",
    isDescending: true,
    offset: 0,
    limit: Math.max(ROWS_MAX, vinesMax),
  });
  return {
    tasks: fitting<TaskDetail>(
      ordered.map(({ taskId }) => () => answer(db, { kind: "task", taskId })),
      detailCharsMax,
    ),
    workers: fitting<WorkerDetail>(
      workers.map(({ workerId }) => () => answer(db, { kind: "worker", workerId })),
      detailCharsMax,
    ),
    files: fitting<FileDetail>(
      moved.rows.map(({ fileId }) => () => answer(db, { kind: "file", fileId })),
      detailCharsMax,
    ),
  };
}

/** Takes one after another until there is no room for the next. */
function fitting<Detail>(details: readonly (() => Detail | null)[], charsMax: number): Detail[] {
  const taken: Detail[] = [];
  let room = charsMax;
  for (const ask of details) {
    const detail = ask();
    if (detail === null) continue;
    room -= JSON.stringify(detail).length;
    if (room < 0) break;
    taken.push(detail);
  }
  return taken;
}
