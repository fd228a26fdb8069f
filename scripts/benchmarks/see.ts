/**
 * What it costs to be seen: many tasks on simulated workers with no records, with the database and
 * the logs, and with a dashboard that is looked at besides. The parts of each figure ran in turn.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";

import { type Figure, repeat, type Run } from "./figure.ts";
import { measureDrawing } from "./see_draw.ts";
import type { SeeMode, SeeRun } from "./see_run.ts";

const TASK_COUNT = 100_000;
const WORKER_COUNT = 500;

/** At full speed all processors are busy; paced as real tasks are, the manager has time to spare. */
const PACED_TASK_COUNT = 20_000;
const PACED_RAN_MS = 1_000;

const MODES: readonly SeeMode[] = ["none", "records", "dashboard"];

type SeeRuns = Readonly<Record<SeeMode, SeeRun>>;

/** Throughput, processor time and answers. */
export async function measureSee(): Promise<Figure[]> {
  const full = await repeat(() => runAll(TASK_COUNT, 0));
  const paced = await repeat(() => runAll(PACED_TASK_COUNT, PACED_RAN_MS));
  const compare = (
    all: readonly SeeRuns[],
    { mode, what }: {
      readonly mode: SeeMode;
      readonly what: "tasksPerSecond" | "cpuUsPerTask" | "cpuShare";
    },
  ): Run[] => all.map((runs) => ({ value: runs[mode][what], baseline: runs.none[what] }));
  const beside = "nothing recorded";
  const alone = (value: (runs: SeeRuns) => number): Run[] =>
    full.map((runs) => ({ value: value(runs), baseline: 0 }));
  return [
    ...(["records", "dashboard"] as const).flatMap((mode): Figure[] => {
      const with_ = mode === "records" ? "database and logs" : "the dashboard open besides";
      return [{
        name: `${TASK_COUNT} tasks on ${WORKER_COUNT} simulated workers, ${with_}`,
        unit: "tasks/s",
        beside,
        aim: "0.95",
        runs: compare(full, { mode, what: "tasksPerSecond" }),
      }, {
        name: `the manager's processor time, ${with_}`,
        unit: "us a task",
        beside,
        aim: "",
        runs: compare(full, { mode, what: "cpuUsPerTask" }),
      }, {
        name: `the manager's share of one processor, tasks of ${PACED_RAN_MS / 1000} s, ${with_}`,
        unit: "of 1",
        beside,
        aim: mode === "records" ? "" : "0.02 above records alone",
        runs: compare(paced, { mode, what: "cpuShare" }),
      }];
    }),
    {
      name: `search in a table of ${TASK_COUNT} tasks`,
      unit: "ms",
      beside: "",
      aim: "200",
      runs: alone(({ dashboard }) => dashboard.searchMs),
    },
    {
      name: `records of ${TASK_COUNT} tasks`,
      unit: "MB",
      beside: "",
      aim: "",
      runs: alone(({ records }) => records.recordedBytes / 1e6),
    },
    ...await measureDrawing(),
  ];
}

/** One run of each, one after the other. */
async function runAll(tasks: number, ranMs: number): Promise<SeeRuns> {
  const runs: Partial<Record<SeeMode, SeeRun>> = {};
  for (const mode of MODES) runs[mode] = await runOne(mode, { tasks, ranMs });
  return runs as SeeRuns;
}

async function runOne(
  mode: SeeMode,
  { tasks, ranMs }: { readonly tasks: number; readonly ranMs: number },
): Promise<SeeRun> {
  const program = fileURLToPath(new URL("see_run.ts", import.meta.url).href);
  await using child = Bun.spawn({
    cmd: [process.execPath, program, mode, String(tasks), String(WORKER_COUNT), String(ranMs)],
    stdio: ["ignore", "pipe", "inherit"],
  });
  const line = await new Response(child.stdout).text();
  if (await child.exited !== 0) throw new Error(`Cannot measure with ${mode}: it failed`);
  return JSON.parse(line);
}
