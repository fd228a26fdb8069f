/** Whether a database that may come from anybody has the tables that are read of it. */

import { DatabaseSync } from "node:sqlite";

import { SCHEMA } from "./schema.ts";

/** An entry of `sqlite_schema`. */
interface Entry {
  readonly name: string;
  readonly type: string;
  readonly sql: string | null;
}

const ENTRIES = "SELECT name, type, sql FROM sqlite_schema WHERE name = ?";

/**
 * What is wrong with the tables of `db`, or undefined. What is called as a table of ours and is a
 * view, or is made by a module of SQLite's, runs what its author wrote whenever it is read.
 */
export function findSchemaFault(db: DatabaseSync): string | undefined {
  // What functions the file itself may call.
  db.exec("PRAGMA trusted_schema = 0");
  const found = db.prepare(ENTRIES);
  for (const name of tableNames()) {
    const entry = found.get(name) as Entry | undefined;
    if (entry === undefined) return `it has no table ${name} of Tendril`;
    const isTable = entry.type === "table" && /^CREATE TABLE\b/i.test(entry.sql ?? "");
    if (!isTable) return `its ${name} is no table of Tendril`;
  }
  return undefined;
}

let names: readonly string[] | undefined;

function tableNames(): readonly string[] {
  if (names !== undefined) return names;
  const db = new DatabaseSync(":memory:");
  try {
    db.exec(SCHEMA);
    const rows = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    return names = rows.map(({ name }) => String(name));
  } finally {
    db.close();
  }
}
