/** Prepared statements of each open database, made once. */

import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";

/** Filters make some tens of statements; what is beyond that is made anew. */
const STATEMENTS_MAX = 300;

const statementsByDatabase = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

/** All rows; `Row` is what the statement selects. */
export function all<Row>(db: DatabaseSync, sql: string, ...values: SQLInputValue[]): Row[] {
  // The statement names its columns as `Row` does.
  return prepared(db, sql).all(...values) as Row[];
}

/** The first row, if any. */
export function first<Row>(
  db: DatabaseSync,
  sql: string,
  ...values: SQLInputValue[]
): Row | undefined {
  return prepared(db, sql).get(...values) as Row | undefined;
}

/** All rows as lists of their values, for statements with many of them. */
export function tuples<Tuple extends readonly unknown[]>(
  db: DatabaseSync,
  sql: string,
  ...values: SQLInputValue[]
): Tuple[] {
  const statement = prepared(db, `${sql} `);
  statement.setReturnArrays(true);
  // As `all`; the space keeps it apart from a statement that returns rows.
  return statement.all(...values) as unknown as Tuple[];
}

function prepared(db: DatabaseSync, sql: string): StatementSync {
  let statements = statementsByDatabase.get(db);
  if (statements === undefined) statementsByDatabase.set(db, statements = new Map());
  const known = statements.get(sql);
  if (known !== undefined) return known;
  if (statements.size >= STATEMENTS_MAX) statements.clear();
  const statement = db.prepare(sql);
  statements.set(sql, statement);
  return statement;
}
