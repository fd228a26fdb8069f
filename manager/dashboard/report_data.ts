/**
 * What a self-contained report holds, and how its page answers questions from it as the database
 * would. Pure: the same code runs where the report is written and in the browser that shows it.
 *
 * How `page/client.ts` uses it: a report's page has one data block,
 * `<script type="text/plain" id="tendril-report">BASE64</script>`. When
 * `document.getElementById(REPORT_ELEMENT_ID)` is there, the page is a report, nothing is fetched:
 * `const data = await openReport(element.textContent)` once, then each `ask(question)` is
 * `answerFromReport(data, question)`. Its session is `{ version: API_VERSION, isLive: false, canAct:
 * false }`. What a report had no room for is told by `isPartial` of a task's, a worker's or a file's
 * detail, by `isCut` of the vine and the graph, and by a note of the run.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import type {
  Answers,
  FileDetail,
  Graph,
  Overview,
  Question,
  RunInfo,
  TaskDetail,
  Timeline,
  TransferRow,
  Vine,
  WorkerDetail,
  WorkerRow,
} from "./api.ts";
import type { CallDetail, CallRow } from "./call_api.ts";
import { type PackedRows, unpackRows } from "./packed_rows.ts";
import {
  callsOf,
  EXPECTED_OF_FILES,
  expectedOfTasks,
  filesOf,
  type ReportFile,
  type ReportTask,
  tasksOf,
} from "./report_tables.ts";
import { thinSeries } from "./series.ts";
import { type Bar, type DrawnLane, drawTimeline } from "./timeline_bars.ts";

/** Id of the element whose text is the packed report. */
export const REPORT_ELEMENT_ID = "tendril-report";

/** Grows when what is packed changes its meaning. */
export const REPORT_VERSION = 1;

/** What a report holds besides its large tables. */
export interface ReportAnswers {
  readonly run: RunInfo;
  /** With the finest curves that there is room for. */
  readonly overview: Overview;
  readonly workerTotal: number;
  readonly timeline: Omit<Timeline, "bars">;
  readonly levels: Answers["levels"];
  readonly running: Answers["transfers"];
  readonly transfers: Answers["transfers"];
  readonly vine: Vine;
  /** Of the files that moved most. */
  readonly vines: readonly Vine[];
  /** What `auto` is, and the other one. */
  readonly graphs: readonly Graph[];
  readonly tasks: readonly TaskDetail[];
  readonly workers: readonly WorkerDetail[];
  readonly files: readonly FileDetail[];
  readonly apps: Answers["apps"];
  readonly calls: readonly CallDetail[];
}

/** What is packed. */
export interface PackedReport {
  readonly version: typeof REPORT_VERSION;
  readonly answers: ReportAnswers;
  readonly tasks: PackedRows;
  readonly files: PackedRows;
  readonly workers: PackedRows;
  readonly bars: PackedRows;
  readonly calls: PackedRows;
}

/** A bar of the timeline in a report. */
export interface ReportBar extends Bar {
  readonly lane: number;
  readonly label: number;
}

/** A report that is open. */
export interface ReportData {
  readonly answers: ReportAnswers;
  readonly tasks: readonly ReportTask[];
  readonly files: readonly ReportFile[];
  readonly workers: readonly WorkerRow[];
  readonly bars: readonly ReportBar[];
  readonly calls: readonly CallRow[];
}

/** Unpacks what stands in a report's element: JSON, gzip, base64. */
export async function openReport(text: string): Promise<ReportData> {
  const bytes = Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return unpackReport(await new Response(unpacked).json());
}

/** Opens what was packed. */
export function unpackReport(packed: PackedReport): ReportData {
  if (packed.version !== REPORT_VERSION) {
    throw new RangeError(
      `Cannot open report of version "${packed.version}" as one of version ${REPORT_VERSION}`,
    );
  }
  const workers = unpackRows<Omit<WorkerRow, "features"> & { features: string }>(packed.workers)
    .map((row) => ({
      ...row,
      features: row.features === "" ? [] : row.features.split("\n"),
    }));
  return {
    answers: packed.answers,
    tasks: unpackRows(packed.tasks, expectedOfTasks(workers)),
    files: unpackRows(packed.files, EXPECTED_OF_FILES),
    workers,
    bars: unpackRows(packed.bars),
    calls: unpackRows(packed.calls),
  };
}

/** Answers `question` from what the report holds. */
export function answerFromReport<Kind extends Question["kind"]>(
  data: ReportData,
  question: Extract<Question, { readonly kind: Kind }>,
): Answers[Kind];
export function answerFromReport(data: ReportData, question: Question): Answers[Question["kind"]] {
  const { answers } = data;
  switch (question.kind) {
    case "run":
      return answers.run;
    case "overview":
      return overviewOf(answers, question);
    case "tasks":
      return tasksOf(data.tasks, question);
    case "task":
      return answers.tasks.find(({ taskId }) => taskId === question.taskId) ??
        partOfTask(data, question.taskId);
    case "timeline":
      return timelineOf(data, question);
    case "workers":
      return { total: answers.workerTotal, rows: data.workers };
    case "worker":
      return answers.workers.find(({ workerId }) => workerId === question.workerId) ??
        partOfWorker(data, question.workerId);
    case "files":
      return filesOf(data.files, question);
    case "levels":
      return answers.levels;
    case "file":
      return answers.files.find(({ fileId }) => fileId === question.fileId) ??
        partOfFile(data, question.fileId);
    case "transfers": {
      const { total, rows } = question.isRunning ? answers.running : answers.transfers;
      return { total, rows: rows.slice(0, question.limit) };
    }
    case "vine":
      return vineOf(data, question);
    case "calls":
      return callsOf(data.calls, question);
    case "call":
      return answers.calls.find(({ callId }) => callId === question.callId) ??
        partOfCall(data, question.callId);
    case "apps":
      return answers.apps;
    case "graph":
      return graphOf(answers.graphs, question.grouping);
    default:
      return unreachable(question);
  }
}

function overviewOf(
  { run, overview }: ReportAnswers,
  { fromMs, toMs, points }: Extract<Question, { readonly kind: "overview" }>,
): Overview {
  const series = thinSeries(overview.series, {
    fromMs: fromMs ?? run.startedAtMs,
    toMs: toMs ?? Math.max(run.recordedAtMs, run.startedAtMs),
    points,
    startedAtMs: run.startedAtMs,
  });
  return { ...overview, series };
}

function timelineOf(
  { answers, bars }: ReportData,
  question: Extract<Question, { readonly kind: "timeline" }>,
): Timeline {
  const { timeline } = answers;
  const wanted = question.workerIds === undefined ? undefined : new Set(question.workerIds);
  const fromMs = question.fromMs ?? Math.min(timeline.fromMs, question.toMs ?? timeline.fromMs);
  const toMs = question.toMs ?? Math.max(timeline.toMs, fromMs);
  const byLane: ReportBar[][] = timeline.lanes.map(() => []);
  for (const bar of bars) {
    // What goes on does so until the end of what is looked at.
    const endMs = bar.state === RUNNING ? Math.max(toMs, bar.startMs) : bar.endMs;
    byLane[bar.lane]?.push({ ...bar, endMs });
  }
  const lanes: DrawnLane[] = timeline.lanes
    .map((lane, index) => ({ ...lane, bars: byLane[index] ?? [] }))
    .filter(({ workerId }) => wanted === undefined || wanted.has(workerId));
  const view = { fromMs, toMs, barsMax: question.barsMax };
  // Merging leaves the first of several as it is, or copies it.
  return drawTimeline(
    lanes,
    view,
    (drawn) =>
      (drawn as readonly ReportBar[]).map(({ label, kind }) => ({
        label: timeline.labels[label] ?? "",
        kind,
      })),
  );
}

const RUNNING = 2;

function vineOf(
  { answers, files }: ReportData,
  { fileId, transfersMax }: Extract<Question, { readonly kind: "vine" }>,
): Vine {
  const known = fileId === undefined
    ? answers.vine
    : answers.vines.find(({ file }) => file?.fileId === fileId);
  if (known === undefined) {
    const file = files.find((row) => row.fileId === fileId) ?? null;
    const isMoved = file !== null && file.transfers > 0;
    return { ...answers.vine, file: withoutInstant(file), edges: [], isCut: isMoved };
  }
  if (known.edges.length <= transfersMax) return known;
  const largest = known.edges
    .map((edge, index) => ({ edge, index }))
    .sort((a, b) => b.edge.bytes - a.edge.bytes || a.index - b.index)
    .slice(0, transfersMax)
    .sort((a, b) => a.index - b.index)
    .map(({ edge }) => edge);
  return { ...known, edges: largest, isCut: true };
}

function withoutInstant(file: ReportFile | null): Vine["file"] {
  if (file === null) return null;
  const { declaredAtMs: _declaredAtMs, ...row } = file;
  return row;
}

function graphOf(graphs: readonly Graph[], wanted: string): Graph {
  return graphs.find(({ grouping }) => wanted === grouping) ?? graphs[0] ??
    { grouping: "tasks", nodes: [], edges: [], isCut: false };
}

const UNKNOWN = { cores: null, memoryBytes: null, diskBytes: null, gpus: null };

/** What the row of a task tells of it. */
function partOfTask({ tasks }: ReportData, taskId: number): TaskDetail | null {
  const task = tasks.find((row) => row.taskId === taskId);
  if (task === undefined) return null;
  return {
    ...task,
    function: null,
    priority: 0,
    exitCode: null,
    signal: null,
    mount: null,
    dispatchedAtMs: null,
    stagedMs: null,
    requested: UNKNOWN,
    allocated: UNKNOWN,
    used: {
      cores: task.usedCores,
      memoryBytes: task.usedMemoryBytes,
      diskBytes: task.usedDiskBytes,
      gpus: null,
      processCount: null,
      cpuMs: null,
    },
    appCallId: null,
    recoveryCount: 0,
    argumentBytes: null,
    valueBytes: null,
    mounts: [],
    consumers: [],
    tries: [],
    stdoutTail: null,
    stderrTail: null,
    isPartial: true,
  };
}

/** What the row of a call tells of it. */
function partOfCall({ calls }: ReportData, callId: number): CallDetail | null {
  const call = calls.find((row) => row.callId === callId);
  if (call === undefined) return null;
  return {
    ...call,
    category: null,
    isMemoized: call.memoKey !== null,
    failCost: 0,
    depends: [],
    joins: [],
    outputs: [],
    stdout: null,
    stderr: null,
    tries: [],
    causes: [],
    isPartial: true,
  };
}

function partOfWorker({ tasks, workers }: ReportData, workerId: string): WorkerDetail | null {
  const worker = workers.find((row) => row.workerId === workerId);
  if (worker === undefined) return null;
  const runningTasks = tasks
    .filter((task) => task.workerId === workerId && task.state !== "done")
    .map(({ library: _library, ...row }) => row);
  const lists = { runningTasks, cache: [], libraries: [], sessions: [] };
  return { ...worker, pid: 0, address: null, ...lists, isPartial: true };
}

function partOfFile({ files }: ReportData, fileId: number): FileDetail | null {
  const file = files.find((row) => row.fileId === fileId);
  if (file === undefined) return null;
  const history: readonly TransferRow[] = [];
  return { ...file, holders: [], consumers: [], history, isPartial: true };
}
