/** The manager's core alone, each time in a fresh process; there is nothing to set beside it. */
import process from "node:process";
import { fileURLToPath } from "node:url";

import type { CoreFigures } from "./core.ts";
import { type Figure, repeat } from "./figure.ts";

/** Tasks and calls a second, and bytes of memory for each that waits. */
export async function measureManagerCore(): Promise<Figure[]> {
  const runs = await repeat(() => runFresh<CoreFigures>("core.ts"));
  return [{
    name: "core: 100000 tasks, 1000 workers",
    unit: "tasks/s",
    beside: "",
    aim: "200000",
    runs: runs.map(({ tasksPerSecond }) => ({ value: tasksPerSecond, baseline: 0 })),
  }, {
    name: "core: 100000 calls, 4 instances",
    unit: "calls/s",
    beside: "",
    aim: "200000",
    runs: runs.map(({ callsPerSecond }) => ({ value: callsPerSecond, baseline: 0 })),
  }, {
    name: "core: memory",
    unit: "bytes/task",
    beside: "",
    aim: "at most 1024",
    runs: runs.map(({ bytesPerPendingTask }) => ({ value: bytesPerPendingTask, baseline: 0 })),
  }];
}

/** What a bench of this folder prints, as a process of its own. */
export async function runFresh<T>(script: string): Promise<T> {
  const child = Bun.spawn({
    cmd: [process.execPath, fileURLToPath(new URL(script, import.meta.url).href)],
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(await new Response(child.stdout).text()) as T;
}
