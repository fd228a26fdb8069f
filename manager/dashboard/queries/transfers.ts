/** Transfers, those that are in flight or the latest. */

import type { DatabaseSync } from "node:sqlite";

import type { Question, Rows, TransferRow } from "../api.ts";
import { all, first } from "./statement.ts";

/** `TransferRow`, from `transfer` with the `file` that it moves. */
export const TRANSFER_COLUMNS = `transfer_id AS transferId, transfer.file_id AS fileId,
  coalesce(file.source, file.cache_name, '') AS file, transfer.source, source_id AS sourceId,
  target, worker_id AS workerId, state, round(started_at_ms) AS startedAtMs,
  round(ended_at_ms) AS endedAtMs, moved_bytes AS movedBytes,
  file.size_bytes AS sizeBytes, message`;

/** Answers `transfers`: the newest first. */
export function answerTransfers(
  db: DatabaseSync,
  { isRunning, limit }: Extract<Question, { readonly kind: "transfers" }>,
): Rows<TransferRow> {
  const condition = isRunning ? "state = 'running'" : "TRUE";
  const rows = all<TransferRow>(
    db,
    `SELECT ${TRANSFER_COLUMNS} FROM transfer LEFT JOIN file ON file.file_id = transfer.file_id
     WHERE ${condition} ORDER BY transfer_id DESC LIMIT ?`,
    limit,
  );
  const count = first<{ total: number }>(
    db,
    `SELECT count(*) AS total FROM transfer WHERE ${condition}`,
  );
  return { total: count?.total ?? 0, rows };
}
