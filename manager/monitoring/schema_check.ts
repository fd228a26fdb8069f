/** Whether a database that may come from anybody has the tables that are read of it. */

import { DatabaseSync } from "node:sqlite";

import { TABLES_SINCE } from "./old_schema.ts";
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
  const version = schemaVersionOf(db);
  for (const name of tableNames()) {
    const entry = found.get(name) as Entry | undefined;
    const isNewer = typeof version === "number" && (TABLES_SINCE.get(name) ?? 0) > version;
    if (entry === undefined && isNewer) continue;
    if (entry === undefined) return `it has no table ${name} of Tendril`;
    const isTable = entry.type === "table" && /^CREATE TABLE\b/i.test(entry.sql ?? "");
    if (!isTable) return `its ${name} is no table of Tendril`;
  }
  return undefined;
}

/** The version of its tables, if they are Tendril's and say one. */
export function schemaVersionOf(db: DatabaseSync): number | "absent" | "unknown" {
  const entry = db.prepare(ENTRIES).get("tendril_schema") as Entry | undefined;
  // A view could be anything.
  if (entry?.type !== "table") return "absent";
  const version = db.prepare("SELECT version FROM tendril_schema LIMIT 1").get()?.["version"];
  return typeof version === "number" ? version : "unknown";
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
