/** The three logs of a run that TaskVine's own tools read. */

import { mkdirSync } from "node:fs";

import { join } from "@std/path";

import type { LogPlace } from "./log_lines.ts";
import { PerformanceLog } from "./performance_log.ts";
import type { RecordSink } from "./record.ts";
import { TaskGraphLog } from "./task_graph_log.ts";
import { TransactionsLog } from "./transactions_log.ts";

/** Opens `transactions`, `performance` and `taskgraph` in a folder, which is made if needed. */
export function openVineLogs(folder: string, onTrouble: LogPlace["onTrouble"]): RecordSink {
  mkdirSync(folder, { recursive: true });
  const sinks: readonly RecordSink[] = [
    new TransactionsLog({ path: join(folder, "transactions"), onTrouble }),
    new PerformanceLog({ path: join(folder, "performance"), onTrouble }),
    new TaskGraphLog({ path: join(folder, "taskgraph"), onTrouble }),
  ];
  return {
    apply(atMs, record) {
      for (const sink of sinks) sink.apply(atMs, record);
    },
    flush() {
      for (const sink of sinks) sink.flush();
    },
    close() {
      for (const sink of sinks) sink.close();
    },
  };
}
