/** The three logs of a run that TaskVine's own tools read. */

import { mkdirSync } from "node:fs";

import { join } from "@std/path";

import { PerformanceLog } from "./performance_log.ts";
import type { RecordSink } from "./record.ts";
import { TaskGraphLog } from "./task_graph_log.ts";
import { TransactionsLog } from "./transactions_log.ts";

/** One of the logs. */
export interface VineLog {
  readonly path: string;
  readonly sink: RecordSink;
}

/** Opens `transactions`, `performance` and `taskgraph` in a folder, which is made if needed. */
export function openVineLogs(folder: string): readonly VineLog[] {
  mkdirSync(folder, { recursive: true });
  const [transactions, performance, taskgraph] = [
    join(folder, "transactions"),
    join(folder, "performance"),
    join(folder, "taskgraph"),
  ];
  return [
    { path: transactions, sink: new TransactionsLog({ path: transactions }) },
    { path: performance, sink: new PerformanceLog({ path: performance }) },
    { path: taskgraph, sink: new TaskGraphLog({ path: taskgraph }) },
  ];
}
