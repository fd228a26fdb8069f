/** Statements on one table, made of its columns. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

/** What SQLite takes. */
export type SqlValue = string | number | null;

/** Values that are the same in all rows of a statement: what is in its text is not bound each time. */
export type Constants = Readonly<Record<string, string | number>>;

/** Writes whole rows, one at a time, in place of those of the same key; other columns are null. */
export function insertInto(
  database: DatabaseSync,
  table: string,
  columns: readonly string[],
  constants: Constants = {},
): StatementSync {
  const values = [...columns.map(() => "?"), ...Object.values(constants).map(literalOf)];
  const names = [...columns, ...Object.keys(constants)].join(", ");
  return database.prepare(
    `INSERT OR REPLACE INTO ${table} (${names}) VALUES (${values.join(", ")})`,
  );
}

/** A value as it stands in a statement. */
export function literalOf(value: string | number): string {
  return typeof value === "number" ? String(value) : `'${value.replaceAll("'", "''")}'`;
}

/** Changes columns of the row of a key. */
export function updateOf(
  database: DatabaseSync,
  table: string,
  { columns, key }: { readonly columns: readonly string[]; readonly key: string },
): StatementSync {
  const changes = columns.map((column) => `${column} = ?`).join(", ");
  return database.prepare(`UPDATE ${table} SET ${changes} WHERE ${key}`);
}

/** A number, where there may be none; what is no number of SQLite's either is none. */
export function numberOrNull(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : value;
}

/** The same for columns of whole numbers. */
export function wholeOrNull(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Math.round(value);
}

/** An instant that may not be known yet, which is 0. */
export function instantOrNull(atMs: number): number | null {
  return atMs === 0 ? null : atMs;
}
