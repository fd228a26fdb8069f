/** Files: how large, how often there, how often moved. */

import type { DatabaseSync, SQLInputValue } from "node:sqlite";

import {
  type FileDetail,
  type FileRow,
  type LevelRow,
  type Question,
  type Rows,
  ROWS_MAX,
  type TransferRow,
} from "../api.ts";
import type { ReportFile } from "../report_tables.ts";
import { likePattern, searchedNumber, searchWords } from "../search_words.ts";
import { all, first, tuples } from "./statement.ts";
import { TRANSFER_COLUMNS } from "./transfers.ts";

type FilesQuestion = Extract<Question, { readonly kind: "files" }>;
type Flat = Omit<FileRow, "isNondeterministic" | "isForgotten"> & {
  readonly isNondeterministic: number;
  readonly isForgotten: number;
};

const COLUMNS = `file_id AS fileId, kind, source, cache_name AS cacheName, level,
  size_bytes AS sizeBytes, producer_task_id AS producerTaskId,
  is_nondeterministic AS isNondeterministic, forgotten_at_ms IS NOT NULL AS isForgotten,
  round(declared_at_ms) AS declaredAtMs`;
const REPLICAS = `(SELECT count(*) FROM replica
  WHERE replica.file_id = file.file_id AND gone_at_ms IS NULL)`;
const TRANSFERS = `(SELECT count(*) FROM transfer WHERE transfer.file_id = file.file_id)`;
const MOVED = `(SELECT coalesce(sum(moved_bytes), 0) FROM transfer
  WHERE transfer.file_id = file.file_id)`;
const COUNTED = `${COLUMNS}, ${REPLICAS} AS replicas, ${TRANSFERS} AS transfers,
  ${MOVED} AS movedBytes`;

const KEYS: { readonly [Sort in FilesQuestion["sort"]]: string } = {
  id: "file_id",
  size: "size_bytes",
  replicas: REPLICAS,
  level: "CASE level WHEN 'task' THEN 0 WHEN 'workflow' THEN 1 WHEN 'worker' THEN 2 ELSE 3 END",
  transfers: TRANSFERS,
};

/** Answers `files`; those that turned out to be others are told as those. */
export function answerFiles(db: DatabaseSync, question: FilesQuestion): Rows<FileRow> {
  const parts = ["merged_into IS NULL"];
  const values: SQLInputValue[] = [];
  if (question.level !== undefined) {
    parts.push("level = ?");
    values.push(question.level);
  }
  for (const word of searchWords(question.search)) {
    parts.push(`(source LIKE ? ESCAPE '\\' OR cache_name LIKE ? ESCAPE '\\'
      OR kind LIKE ? ESCAPE '\\' OR file_id = ?)`);
    const pattern = likePattern(word);
    values.push(pattern, pattern, pattern, searchedNumber(word));
  }
  const condition = parts.join(" AND ");
  const key = KEYS[question.sort];
  const direction = question.isDescending ? "DESC" : "ASC";
  const order = question.sort === "id"
    ? `file_id ${direction}`
    : `${key} IS NULL, ${key} ${direction}, file_id`;
  const rows = all<Flat & { declaredAtMs: number }>(
    db,
    `SELECT ${COUNTED} FROM file WHERE file_id IN (
       SELECT file_id FROM file WHERE ${condition} ORDER BY ${order} LIMIT ? OFFSET ?
     ) ORDER BY ${order}`,
    ...values,
    question.limit,
    question.offset,
  );
  const count = first<{ total: number }>(
    db,
    `SELECT count(*) AS total FROM file WHERE ${condition}`,
    ...values,
  );
  return {
    total: count?.total ?? 0,
    rows: rows.map(({ declaredAtMs: _declaredAtMs, ...flat }) => rowOf(flat)),
  };
}

/** All files, at most `max`, for a report. */
export function allFiles(db: DatabaseSync, max: number): Rows<ReportFile> {
  const rows = all<Flat & { declaredAtMs: number }>(
    db,
    `SELECT ${COUNTED} FROM file WHERE merged_into IS NULL ORDER BY file_id LIMIT ?`,
    max,
  );
  const count = first<{ total: number }>(
    db,
    "SELECT count(*) AS total FROM file WHERE merged_into IS NULL",
  );
  return {
    total: count?.total ?? 0,
    rows: rows.map(({ declaredAtMs, ...flat }) => ({ ...rowOf(flat), declaredAtMs })),
  };
}

function rowOf({ isNondeterministic, isForgotten, ...flat }: Flat): FileRow {
  return {
    ...flat,
    isNondeterministic: isNondeterministic !== 0,
    isForgotten: isForgotten !== 0,
  };
}

/** Answers `levels`: the shortest kept first. */
export function answerLevels(db: DatabaseSync): Rows<LevelRow> {
  const rows = all<LevelRow>(
    db,
    `SELECT level, count(*) AS files, coalesce(sum(size_bytes), 0) AS bytes,
       coalesce(sum(held.replicas), 0) AS replicas,
       coalesce(sum(held.bytes), 0) AS replicaBytes
     FROM file LEFT JOIN (
       SELECT file_id, count(*) AS replicas, sum(size_bytes) AS bytes FROM replica
       WHERE gone_at_ms IS NULL GROUP BY file_id
     ) AS held USING (file_id)
     WHERE merged_into IS NULL GROUP BY level ORDER BY ${KEYS.level}`,
  );
  return { total: rows.length, rows };
}

/** One file in a table. */
export function fileRow(db: DatabaseSync, fileId: number): FileRow | null {
  const found = fileWithInstant(db, fileId);
  return found === null ? null : found.row;
}

function fileWithInstant(
  db: DatabaseSync,
  fileId: number,
): { readonly row: FileRow; readonly declaredAtMs: number } | null {
  const found = first<Flat & { declaredAtMs: number }>(
    db,
    `SELECT ${COUNTED} FROM file
     WHERE file_id = (SELECT coalesce(merged_into, file_id) FROM file WHERE file_id = ?)`,
    fileId,
  );
  if (found === undefined) return null;
  const { declaredAtMs, ...flat } = found;
  return { row: rowOf(flat), declaredAtMs };
}

/** Answers `file`; of one that turned out to be another, that one. */
export function answerFile(db: DatabaseSync, fileId: number): FileDetail | null {
  const found = fileWithInstant(db, fileId);
  if (found === null) return null;
  const { row, declaredAtMs } = found;
  return {
    ...row,
    declaredAtMs,
    holders: all<FileDetail["holders"][number]>(
      db,
      `SELECT worker_id AS workerId,
         (SELECT host FROM worker WHERE worker.worker_id = replica.worker_id LIMIT 1) AS host,
         round(ready_at_ms) AS readyAtMs, round(gone_at_ms) AS goneAtMs
       FROM replica WHERE file_id = ? ORDER BY gone_at_ms IS NOT NULL, ready_at_ms, worker_id
       LIMIT ?`,
      row.fileId,
      ROWS_MAX,
    ),
    consumers: tuples<[number]>(
      db,
      `SELECT DISTINCT task_id FROM mount WHERE role <> 'output' AND file_id IN (
         SELECT file_id FROM file WHERE file_id = ?1 OR merged_into = ?1
       ) ORDER BY 1 LIMIT ?2`,
      row.fileId,
      ROWS_MAX,
    ).map(([taskId]) => taskId),
    history: all<TransferRow>(
      db,
      `SELECT ${TRANSFER_COLUMNS} FROM transfer LEFT JOIN file ON file.file_id = transfer.file_id
       WHERE transfer.file_id = ? ORDER BY started_at_ms, transfer_id LIMIT ?`,
      row.fileId,
      ROWS_MAX,
    ),
    isPartial: false,
  };
}
