/**
 * One run of many tasks on simulated workers, with or without records and a dashboard that is looked
 * at: `bun see_run.ts none|records|dashboard TASKS WORKERS RAN_MS`. Prints what it took as JSON.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";
import { Manager } from "tendril";

import { accessPath, readAccessFile } from "../../shared/access_file.ts";
import type { Answers, Question } from "../../manager/dashboard/api.ts";
import { median } from "./baselines.ts";

/** What is switched on. */
export type SeeMode = "none" | "records" | "dashboard";

/** What one run took. */
export interface SeeRun {
  readonly tasksPerSecond: number;
  /** Processor time of the manager's process. */
  readonly cpuUsPerTask: number;
  /** Of the run's time in which the manager's process had a processor. */
  readonly cpuShare: number;
  /** Of tables of tasks that were searched when all had ended; 0 when there was no dashboard. */
  readonly searchMs: number;
  /** Of the questions that the viewer asked while the tasks ran; 0 when there was none. */
  readonly asked: number;
  readonly recordedBytes: number;
  /** From the end of the last task until all was recorded and the manager closed. */
  readonly closeMs: number;
}

/** Between two looks of the viewer at two pages. */
const LOOK_MS = 1_000;
const SEARCHES = 9;
const JOIN_MS_MAX = 60_000;

if (import.meta.main) {
  const [mode = "none", tasks = "0", workers = "0", ranMs = "0"] = process.argv.slice(2);
  const scratch = await mkdtemp(join(tmpdir(), "tendril-see-"));
  try {
    const counts = { tasks: Number(tasks), workers: Number(workers), ranMs: Number(ranMs) };
    process.stdout.write(`${JSON.stringify(await run(mode as SeeMode, counts, scratch))}\n`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function run(
  mode: SeeMode,
  { tasks, workers, ranMs }: Readonly<Record<"tasks" | "workers" | "ranMs", number>>,
  scratch: string,
): Promise<SeeRun> {
  const manager = await Manager.start({
    runDirectory: mode === "none" ? false : scratch,
    dashboard: mode === "dashboard",
  });
  const path = accessPath(manager.name);
  const program = fileURLToPath(new URL("simulated_workers.ts", import.meta.url).href);
  await using simulated = Bun.spawn({
    cmd: [process.execPath, program, path, String(workers), String(ranMs)],
    stdio: ["pipe", "ignore", "inherit"],
  });
  const untilMs = performance.now() + JOIN_MS_MAX;
  while (manager.status().workers.connected < workers) {
    if (performance.now() > untilMs) throw new Error("Cannot measure: the workers did not join");
    await Bun.sleep(10);
  }
  const look = mode === "dashboard" ? await viewer(manager.name) : undefined;
  await submitAll(manager, 2_000);
  const looking = new AbortController();
  const asked = look === undefined ? Promise.resolve(0) : lookOn(look, looking.signal);
  const startedMs = performance.now();
  const before = process.cpuUsage();
  await submitAll(manager, tasks);
  const ms = performance.now() - startedMs;
  const used = process.cpuUsage(before);
  const cpuMs = (used.user + used.system) / 1000;
  looking.abort();
  const askedCount = await asked;
  const searchMs = look === undefined ? 0 : await search(look);
  const closingMs = performance.now();
  await manager.close();
  const closeMs = performance.now() - closingMs;
  simulated.stdin.end();
  await simulated.exited;
  const recordedBytes = await sizeOf(scratch);
  return {
    tasksPerSecond: tasks / ms * 1000,
    cpuUsPerTask: cpuMs / tasks * 1000,
    cpuShare: cpuMs / ms,
    searchMs,
    asked: askedCount,
    recordedBytes,
    closeMs,
  };
}

/** Different enough for tables to have something to sort. */
async function submitAll(manager: Manager, count: number): Promise<void> {
  const tasks = Array.from({ length: count }, (_, index) => {
    const category = `step ${index % 7}`;
    return manager.submit({ command: `simulate --seed ${index}`, category, cores: 1 });
  });
  for (const task of tasks) await task.orThrow();
}

type Ask = <K extends Question["kind"]>(
  question: Extract<Question, { kind: K }>,
) => Promise<Answers[K]>;

/** Asks as a page does. */
async function viewer(name: string): Promise<Ask> {
  const { urls: [url = ""], secrets } = await readAccessFile(accessPath(name));
  return async (question) => {
    const answer = await fetch(`${url}/api/ask`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${secrets.viewer}`,
        "content-type": "application/json",
      },
      body: JSON.stringify(question),
    });
    if (!answer.ok) throw new Error(`Cannot look on: ${answer.status} ${await answer.text()}`);
    return await answer.json();
  };
}

/** Looks at the overview and at the newest tasks until `signal`; how many answers it got. */
async function lookOn(ask: Ask, signal: AbortSignal): Promise<number> {
  let count = 0;
  while (!signal.aborted) {
    const nextMs = performance.now() + LOOK_MS;
    await ask({ kind: "overview", points: 300 });
    await ask({ kind: "tasks", sort: "started", isDescending: true, offset: 0, limit: 100 });
    count += 2;
    await Bun.sleep(Math.max(0, nextMs - performance.now()));
  }
  return count;
}

/** Median time of one search in the table of all tasks. */
async function search(ask: Ask): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < SEARCHES; index++) {
    const startedMs = performance.now();
    const words = `seed ${index}99`;
    await ask({
      kind: "tasks",
      search: words,
      sort: "ran",
      isDescending: true,
      offset: 0,
      limit: 100,
    });
    times.push(performance.now() - startedMs);
  }
  return median(times);
}

async function sizeOf(folder: string): Promise<number> {
  const names = await Array.fromAsync(new Bun.Glob("**/*").scan({ cwd: folder, dot: true }));
  return names.reduce((sum, name) => sum + Bun.file(join(folder, name)).size, 0);
}
