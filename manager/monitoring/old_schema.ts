/** Records of earlier versions as questions expect them: what they have not is empty. */

import type { DatabaseSync } from "node:sqlite";

import { SCHEMA } from "./schema.ts";

/** The oldest records that can be read. */
export const SCHEMA_VERSION_MIN = 1;

/** `{table: the first version that has it}`, of those that the first has not. */
export const TABLES_SINCE: ReadonlyMap<string, number> = new Map([["app_call", 2]]);

/** Of version 1: there were no calls of apps. */
const BEFORE_APPS =
  `CREATE TEMP VIEW task_detail AS SELECT *, NULL AS app_call_id FROM main.task_detail;`;

/**
 * Puts temporary tables and views of this connection in front of those of the file, which stays as
 * it is.
 */
export function bridgeOldSchema(db: DatabaseSync, version: number): void {
  if (version >= 2) return;
  const [created = ""] = /CREATE TABLE IF NOT EXISTS app_call \([^;]*;/.exec(SCHEMA) ?? [];
  db.exec(`PRAGMA temp_store = MEMORY; ${created.replace("TABLE", "TEMP TABLE")} ${BEFORE_APPS}`);
}
