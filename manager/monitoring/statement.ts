/** Statements on one table, made of its columns. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

/** What SQLite takes. */
export type SqlValue = string | number | null;

/** Writes whole rows, `rowCount` at a time, in place of those of the same key. */
export function insertInto(
  database: DatabaseSync,
  table: string,
  columns: readonly string[],
  rowCount: number = 1,
): StatementSync {
  const row = `(${columns.map(() => "?").join(", ")})`;
  const rows = Array.from({ length: rowCount }, () => row).join(", ");
  return database.prepare(`INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES ${rows}`);
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
