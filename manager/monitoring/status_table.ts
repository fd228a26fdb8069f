/** Rows of Parsl's table `status`. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

import { sqlTime } from "./sql_time.ts";
import { insertInto, type SqlValue } from "./statement.ts";

/** One row, but for whose it is. */
export interface NamedStatus {
  readonly name: string;
  readonly atMs: number;
  /** Counted from 1; 0 before there was one. */
  readonly try: number;
}

/** One that nothing happened to has five, one that goes on has one or two more at a time. */
const ROW_COUNTS: readonly number[] = [5, 2, 1];

const COLUMNS: readonly string[] = [
  "task_id",
  "task_status_name",
  "timestamp",
  "run_id",
  "try_id",
];

/** Where tasks and calls of apps stood when. */
export class StatusTable {
  readonly #runId: string;
  /** Of so many rows, the most first: a statement costs as much as two rows. */
  readonly #inserts: readonly StatementSync[];

  constructor(database: DatabaseSync, runId: string) {
    this.#runId = runId;
    this.#inserts = ROW_COUNTS.map((count) => insertInto(database, "status", COLUMNS, count));
  }

  /** Adds rows of a task or call. */
  write(taskId: number, statuses: readonly NamedStatus[]): void {
    let written = 0;
    for (const [index, count] of ROW_COUNTS.entries()) {
      for (; statuses.length - written >= count; written += count) {
        const values: SqlValue[] = [];
        for (let row = written; row < written + count; row++) {
          const status = statuses[row];
          if (status === undefined) continue;
          const tryId = Math.max(0, status.try - 1);
          values.push(taskId, status.name, sqlTime(status.atMs), this.#runId, tryId);
        }
        this.#inserts[index]?.run(...values);
      }
    }
  }
}
