/** What a real run tells Prometheus, and leaves for TaskVine's tools. */

import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";

import { expect, test } from "bun:test";
import { join } from "@std/path";

import { Manager } from "../../mod.ts";
import { accessPath, readAccessFile } from "../../shared/access_file.ts";
import { checkMetrics, HAS_PROMTOOL } from "../manager/monitoring/promtool.ts";
import {
  parsePerformance,
  parseTaskGraph,
  parseTransactions,
  sample,
  shapesOf,
} from "../manager/monitoring/vine_parser.ts";
import { Scratch } from "./scratch.ts";

/** Tasks, calls and every way of a file; ends with all of them done. */
async function work(manager: Manager, module: string): Promise<void> {
  const made = manager.temp();
  const input = manager.buffer("in");
  const maker = manager.submit({
    command: "cat x > y",
    inputs: { x: input },
    outputs: { y: made },
    category: "make",
    memory: "10MB",
  });
  await maker.orThrow();
  // Each waits until the other has started: one of them reads what another worker has made.
  await Promise.all([1, 2].map((name) => {
    const [own, other] = [`${module}.${name}`, `${module}.${3 - name}`];
    const command = `cat y; touch ${own}; until test -e ${other}; do sleep 0.02; done`;
    return manager.submit({ command, inputs: { y: made } }).orThrow();
  }));
  expect(await made.text()).toBe("in");
  expect((await manager.submit({ command: "exit 3" })).outcome).toBe("exit");
  const squares = manager.library({ name: "squares", module });
  expect(await squares.call<number>("square", 7).value()).toBe(49);
}

test(
  "A run tells Prometheus what promtool accepts, and TaskVine's tools what they know",
  async () => {
    await using scratch = await Scratch.open();
    const module = scratch.path("squares.ts");
    await writeFile(module, "export const square = (x: number): number => x * x;\n");
    const manager = await Manager.start({ runDirectory: scratch.path("runs"), dashboard: true });
    for (const _ of [1, 2]) await scratch.worker(manager);
    await work(manager, module);
    const { secrets } = await readAccessFile(accessPath(manager.name));
    const authorization = `Bearer ${secrets.viewer}`;
    const response = await fetch(`${manager.address}/metrics`, { headers: { authorization } });
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    if (HAS_PROMTOOL) expect(checkMetrics(text)).toEqual({ status: 0, said: "" });
    const { bytes, workers } = manager.status();
    const lines = text.split("\n");
    for (
      const line of [
        'tendril_tasks_ended_total{kind="command",outcome="success"} 3',
        'tendril_tasks_ended_total{kind="command",outcome="exit"} 1',
        'tendril_tasks_ended_total{kind="call",outcome="success"} 1',
        'tendril_task_duration_seconds_count{category="make"} 1',
        'tendril_call_duration_seconds_count{library="squares"} 1',
        'tendril_tasks{state="running"} 0',
        `tendril_transferred_bytes_total{route="worker_to_worker"} ${bytes.workerToWorker}`,
        `tendril_transferred_bytes_total{route="worker_to_manager"} ${bytes.workerToManager}`,
        `tendril_disk_bytes ${workers.diskBytes}`,
        'tendril_workers{state="connected"} 2',
      ]
    ) expect(lines).toContain(line);
    expect(bytes.workerToWorker).toBeGreaterThan(0);
    await manager.close();
    const read = (name: string) =>
      readFileSync(join(manager.runDirectory ?? "", "vine-logs", name), "utf8");
    const wanted = shapesOf(parseTransactions(sample("transactions")));
    const found = shapesOf(parseTransactions(read("transactions")));
    expect([...wanted.keys()].filter((format) => !found.has(format))).toEqual([]);
    expect([...found.keys()].filter((format) => !wanted.has(format))).toEqual([]);
    const ran = "US PID TASK COUNT RETRIEVED RESULT  STATUS  JSON JSON";
    expect([...found.get(ran) ?? []].filter((keys) => !wanted.get(ran)?.has(keys))).toEqual([]);
    const { columns, rows } = parsePerformance(read("performance"));
    expect(columns).toEqual(parsePerformance(sample("performance")).columns);
    expect(rows.at(-1)).toMatchObject({ tasks_done: 5, tasks_failed: 1, workers_released: 2 });
    const { tasks } = parseTaskGraph(read("taskgraph"));
    expect(tasks.map(({ program }) => program)).toEqual(["cat", "cat", "cat", "exit", "square"]);
    expect(tasks[1]?.inputs).toEqual(tasks[0]?.outputs ?? []);
  },
  120_000,
);
