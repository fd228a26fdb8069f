/** One task with all that is recorded of it. */

import type { DatabaseSync } from "node:sqlite";

import { type Amounts, type MountRow, ROWS_MAX, type TaskDetail, type TryRow } from "../api.ts";
import { all, first, tuples } from "./statement.ts";
import { WHOLE_TASK_COLUMNS } from "./tasks.ts";

type Flat =
  & Omit<
    TaskDetail,
    "requested" | "allocated" | "used" | "mounts" | "consumers" | "tries" | "isPartial"
  >
  & { readonly [amount: string]: number | null };

/** Answers `task`. */
export function answerTask(db: DatabaseSync, taskId: number): TaskDetail | null {
  const flat = first<Flat>(
    db,
    `SELECT ${WHOLE_TASK_COLUMNS}, library, function, priority, exit_code AS exitCode, signal,
       mount, round(dispatched_at_ms) AS dispatchedAtMs, round(staged_ms, 3) AS stagedMs,
       app_call_id AS appCallId, recovery_count AS recoveryCount, argument_bytes AS argumentBytes,
       value_bytes AS valueBytes, stdout_tail AS stdoutTail, stderr_tail AS stderrTail
     FROM task_detail WHERE task_id = ?`,
    taskId,
  );
  if (flat === undefined) return null;
  return {
    ...flat,
    ...amountsOf(db, taskId),
    mounts: mountsOf(db, taskId),
    consumers: consumersOf(db, taskId),
    tries: triesOf(db, taskId),
    isPartial: false,
  };
}

function amountsOf(
  db: DatabaseSync,
  taskId: number,
): Pick<TaskDetail, "requested" | "allocated" | "used"> {
  const select = (of: string): Amounts =>
    first<Amounts>(
      db,
      `SELECT ${of}_cores AS cores, ${of}_memory_bytes AS memoryBytes,
         ${of}_disk_bytes AS diskBytes, ${of === "used" ? "NULL" : `${of}_gpus`} AS gpus
       FROM task_detail WHERE task_id = ?`,
      taskId,
    ) ?? { cores: null, memoryBytes: null, diskBytes: null, gpus: null };
  const process = first<{ processCount: number | null; cpuMs: number | null }>(
    db,
    `SELECT used_process_count AS processCount, round(used_cpu_ms, 3) AS cpuMs
     FROM task_detail WHERE task_id = ?`,
    taskId,
  ) ?? { processCount: null, cpuMs: null };
  return {
    requested: { ...select("requested") },
    allocated: { ...select("allocated") },
    used: { ...select("used"), ...process },
  };
}

/** Inputs first; a file that turned out to be another one is told as that. */
function mountsOf(db: DatabaseSync, taskId: number): readonly MountRow[] {
  return all<MountRow>(
    db,
    `SELECT mount.role, mount.mount, file.file_id AS fileId, file.kind, file.source,
       file.size_bytes AS sizeBytes, file.producer_task_id AS producerTaskId
     FROM mount JOIN file AS declared ON declared.file_id = mount.file_id
       JOIN file ON file.file_id = coalesce(declared.merged_into, declared.file_id)
     WHERE mount.task_id = ?
     ORDER BY CASE mount.role WHEN 'input' THEN 0 WHEN 'environment' THEN 1 ELSE 2 END,
       mount.mount, mount.file_id LIMIT ?`,
    taskId,
    ROWS_MAX,
  );
}

function consumersOf(db: DatabaseSync, taskId: number): readonly number[] {
  return tuples<[number]>(
    db,
    `SELECT DISTINCT reader.task_id FROM mount AS made
       JOIN mount AS reader ON reader.file_id = made.file_id AND reader.role <> 'output'
     WHERE made.task_id = ? AND made.role = 'output' ORDER BY 1 LIMIT ?`,
    taskId,
    ROWS_MAX,
  ).map(([reader]) => reader);
}

function triesOf(db: DatabaseSync, taskId: number): readonly TryRow[] {
  const rows = all<Omit<TryRow, "isRecovery"> & { isRecovery: number }>(
    db,
    `SELECT attempt.try, attempt.worker_id AS workerId,
       (SELECT host FROM worker WHERE worker.worker_id = attempt.worker_id LIMIT 1) AS host,
       round(dispatched_at_ms) AS dispatchedAtMs, round(started_at_ms) AS startedAtMs,
       round(ended_at_ms) AS endedAtMs, outcome, message, is_recovery AS isRecovery
     FROM attempt WHERE task_id = ? ORDER BY try LIMIT ?`,
    taskId,
    ROWS_MAX,
  );
  return rows.map((row) => ({ ...row, isRecovery: row.isRecovery !== 0 }));
}
