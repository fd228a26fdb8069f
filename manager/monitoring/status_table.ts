/**
 * Rows of Parsl's table `status`: of a task that nothing happened to there are five, which is more
 * than all its other rows together.
 *
 * @module
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";

import { sqlTime } from "./sql_time.ts";
import { literalOf, type SqlValue } from "./statement.ts";

/** One row, but for whose it is. */
export interface NamedStatus {
  readonly name: string;
  readonly atMs: number;
  /** Counted from 1; 0 before there was one. */
  readonly try: number;
}

/** Rows of one statement at most. */
const ROWS_MAX = 5;

/** Statements that are remembered: few sequences of names are common. */
const STATEMENTS_MAX = 64;

/** Where tasks and calls of apps stood when. */
export class StatusTable {
  readonly #database: DatabaseSync;
  readonly #runId: string;
  /** `{names of its rows: statement}` */
  readonly #statements: Map<string, StatementSync> = new Map();

  constructor(database: DatabaseSync, runId: string) {
    this.#database = database;
    this.#runId = runId;
  }

  /** Adds rows of a task or call. */
  write(taskId: number, statuses: readonly NamedStatus[]): void {
    for (let from = 0; from < statuses.length; from += ROWS_MAX) {
      const rows = statuses.length <= ROWS_MAX ? statuses : statuses.slice(from, from + ROWS_MAX);
      const values: SqlValue[] = [taskId];
      let names = "";
      for (const { name, atMs, try: number } of rows) {
        names += `${name} `;
        values.push(sqlTime(atMs), Math.max(0, number - 1));
      }
      this.#statementFor(names, rows).run(...values);
    }
  }

  /** What does not differ is in the text of the statement: to bind it costs as much as to write it. */
  #statementFor(names: string, rows: readonly NamedStatus[]): StatementSync {
    const known = this.#statements.get(names);
    if (known !== undefined) return known;
    const runId = literalOf(this.#runId);
    const values = rows.map(({ name }, index) =>
      `(?1, ${literalOf(name)}, ?${2 + 2 * index}, ${runId}, ?${3 + 2 * index})`
    );
    const statement = this.#database.prepare(
      "INSERT OR REPLACE INTO status (task_id, task_status_name, timestamp, run_id, try_id) " +
        `VALUES ${values.join(", ")}`,
    );
    if (this.#statements.size >= STATEMENTS_MAX) this.#statements.clear();
    this.#statements.set(names, statement);
    return statement;
  }
}
