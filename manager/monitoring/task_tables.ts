/** Rows of tasks and their tries: Parsl's `task`, `try`, `status` and `resource`, and ours. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

import { join } from "@std/path";

import type { Attempt, Attempts } from "./attempts.ts";
import type { OpenTask, Submission } from "./open_task.ts";
import type { TryEnd } from "./record.ts";
import { sqlTime, sqlTimeOrNull } from "./sql_time.ts";
import { StatusTable } from "./status_table.ts";
import {
  insertInto,
  instantOrNull,
  literalOf,
  numberOrNull,
  type SqlValue,
  updateOf,
  wholeOrNull,
} from "./statement.ts";

/** What is known of a task from its submission on. */
const FIXED_COLUMNS: readonly string[] = [
  "task_id",
  "kind",
  "name",
  "command",
  "library",
  "function",
  "category",
  "tag",
  "priority",
  "submitted_at_ms",
  "requested_cores",
  "requested_memory_bytes",
  "requested_disk_bytes",
  "requested_gpus",
  "argument_bytes",
  "app_call_id",
];

/** What changes as it goes on. */
const CHANGING_COLUMNS: readonly string[] = [
  "state",
  "outcome",
  "message",
  "try_count",
  "worker_id",
  "host",
  "dispatched_at_ms",
  "started_at_ms",
  "ended_at_ms",
  "staged_ms",
  "ran_ms",
  "value_bytes",
  "stdout_bytes",
  "stderr_bytes",
];

/** The same, but for most calls: they are null of a task of which nothing such is known. */
const RARE_COLUMNS: readonly string[] = [
  "exit_code",
  "signal",
  "mount",
  "allocated_cores",
  "allocated_memory_bytes",
  "allocated_disk_bytes",
  "allocated_gpus",
  "used_cores",
  "used_memory_bytes",
  "used_disk_bytes",
  "used_process_count",
  "used_cpu_ms",
  "stdout_tail",
  "stderr_tail",
];

/** Label of the executor in Parsl's tables. */
const EXECUTOR = "tendril";

/** Tries that took less are no more than a point in Parsl's plots. */
const PLOTTED_MS = 1_000;

const NONE: readonly SqlValue[] = [];

/** Mounts that Parsl's columns name. */
const NAMED_MOUNTS_MAX = 100;

/** What is written of tasks. */
export class TaskTables {
  readonly #runId: string;
  readonly #attempts: Attempts;
  /** Folder of what failed tasks wrote. */
  readonly #outputs: string | undefined;
  readonly #insertTask: StatementSync;
  readonly #updateTask: StatementSync;
  /** The same with rare columns. */
  readonly #insertWhole: StatementSync;
  readonly #updateWhole: StatementSync;
  readonly #recover: StatementSync;
  readonly #insertMount: StatementSync;
  readonly #insertAttempt: StatementSync;
  readonly #insertParslTask: StatementSync;
  readonly #updateParslTask: StatementSync;
  readonly #insertTry: StatementSync;
  readonly #statuses: StatusTable;
  readonly #findCall: StatementSync;
  readonly #insertResource: StatementSync;

  constructor(
    database: DatabaseSync,
    { runId, attempts, outputs }: {
      readonly runId: string;
      readonly attempts: Attempts;
      readonly outputs: string | undefined;
    },
  ) {
    this.#runId = runId;
    this.#attempts = attempts;
    this.#outputs = outputs;
    const insert = (columns: readonly string[]) =>
      insertInto(database, "task_detail", [...FIXED_COLUMNS, ...columns], { recovery_count: 0 });
    const update = (columns: readonly string[]) =>
      updateOf(database, "task_detail", { columns, key: "task_id = ?" });
    this.#insertTask = insert(CHANGING_COLUMNS);
    this.#updateTask = update(CHANGING_COLUMNS);
    this.#insertWhole = insert([...CHANGING_COLUMNS, ...RARE_COLUMNS]);
    this.#updateWhole = update([...CHANGING_COLUMNS, ...RARE_COLUMNS]);
    this.#recover = database.prepare(
      "UPDATE task_detail SET recovery_count = recovery_count + ?, try_count = max(try_count, ?) " +
        "WHERE task_id = ?",
    );
    this.#insertMount = insertInto(database, "mount", ["task_id", "role", "mount", "file_id"]);
    this.#insertAttempt = insertInto(database, "attempt", ATTEMPT_COLUMNS);
    this.#insertParslTask = insertInto(database, "task", PARSL_TASK_COLUMNS, {
      run_id: runId,
      task_memoize: "False",
    });
    this.#updateParslTask = updateOf(database, "task", {
      columns: [
        "task_stdout",
        "task_stderr",
        "task_time_returned",
        "task_fail_count",
        "task_fail_cost",
      ],
      key: `task_id = ? AND run_id = ${literalOf(runId)}`,
    });
    this.#insertTry = insertInto(database, "try", PARSL_TRY_COLUMNS, {
      run_id: runId,
      task_executor: EXECUTOR,
    });
    this.#statuses = new StatusTable(database, runId);
    this.#findCall = database.prepare("SELECT app_call_id FROM task_detail WHERE task_id = ?");
    this.#insertResource = insertInto(database, "resource", RESOURCE_COLUMNS);
  }

  /** Writes what of a task is not written, or has changed. */
  write(task: OpenTask): void {
    if (task.isRecovery) this.#writeRecovery(task);
    else if (task.submission === undefined) this.#updateOne(task);
    else this.#insertOne(task, task.submission);
    for (const attempt of task.attempts ?? []) this.#writeAttempt(task, attempt);
    if (task.statuses !== undefined) this.#statuses.write(task.taskId, task.statuses);
    task.submission = undefined;
    task.attempts = undefined;
    task.statuses = undefined;
  }

  #insertOne(task: OpenTask, submission: Submission): void {
    const { sort, tag, mounts, argumentBytes, depends } = submission;
    const { requested } = sort;
    const hasRare = hasRareValues(task);
    (hasRare ? this.#insertWhole : this.#insertTask).run(
      task.taskId,
      sort.taskKind,
      sort.name,
      sort.command,
      sort.library ?? null,
      sort.function ?? null,
      sort.category,
      tag ?? null,
      sort.priority,
      task.submittedAtMs,
      numberOrNull(requested.cores),
      wholeOrNull(requested.memoryBytes),
      wholeOrNull(requested.diskBytes),
      wholeOrNull(requested.gpus),
      argumentBytes === undefined || argumentBytes < 0 ? null : argumentBytes,
      task.triedCall?.callId ?? null,
      ...changingValues(task),
      ...(hasRare ? rareValues(task) : NONE),
    );
    for (const { role, mount, fileId } of mounts) {
      this.#insertMount.run(task.taskId, role, mount, fileId);
    }
    if (task.triedCall !== undefined) return;
    this.#insertParslTask.run(
      task.taskId,
      depends.join(","),
      sort.name,
      mountNames(mounts, "input"),
      mountNames(mounts, "output"),
      sqlTime(task.submittedAtMs),
      ...this.#parslEnd(task),
    );
  }

  #updateOne(task: OpenTask): void {
    if (hasRareValues(task)) {
      this.#updateWhole.run(...changingValues(task), ...rareValues(task), task.taskId);
    } else this.#updateTask.run(...changingValues(task), task.taskId);
    const isUnchanged = task.ending === undefined && task.failCount === 0;
    if (isUnchanged || task.triedCall !== undefined) return;
    this.#updateParslTask.run(...this.#parslEnd(task), task.taskId);
  }

  #writeRecovery(task: OpenTask): void {
    // Counted with the first of its writes, at which it has no try yet, and never again.
    this.#recover.run(task.isCounted ? 0 : 1, task.tryCount, task.taskId);
    task.isCounted = true;
  }

  /** `task_stdout`, `task_stderr`, `task_time_returned`, `task_fail_count`, `task_fail_cost`. */
  #parslEnd({ taskId, tryCount, end, ending, failCount }: OpenTask): SqlValue[] {
    const hasFailed = ending !== undefined && ending.outcome !== "success";
    const { stdoutBytes = 0, stderrBytes = 0 } = hasFailed && end !== undefined ? end : {};
    const folder = this.#outputs;
    const pathOf = (stream: string) => join(folder ?? "", `${taskId}-${tryCount}.${stream}`);
    return [
      folder !== undefined && stdoutBytes > 0 ? pathOf("stdout") : null,
      folder !== undefined && stderrBytes > 0 ? pathOf("stderr") : null,
      sqlTimeOrNull(ending?.atMs),
      failCount,
      failCount,
    ];
  }

  #writeAttempt(task: OpenTask, attempt: Attempt): void {
    this.#attempts.place(attempt);
    const { taskId, try: number, workerId, startedAtMs, endedAtMs } = attempt;
    const { end, failHistory } = attempt.past ?? task;
    this.#insertAttempt.run(
      taskId,
      number,
      workerId,
      attempt.lane ?? null,
      attempt.dispatchedAtMs,
      instantOrNull(startedAtMs),
      instantOrNull(endedAtMs),
      attempt.outcome ?? null,
      attempt.message === "" ? null : attempt.message,
      attempt.isRecovery ? 1 : 0,
    );
    const isOfCall = task.triedCall !== undefined ||
      (attempt.isRecovery && this.#isTryOfCall(taskId));
    if (!isOfCall) this.#writeTry(attempt, failHistory);
    if (endedAtMs === 0 || end === undefined) return;
    const { callId, tryNumber } = task.triedCall ?? {};
    if (!isOfCall) this.#writeUse(attempt, end, { taskId, tryId: number - 1 });
    else if (callId !== undefined) {
      this.#writeUse(attempt, end, {
        taskId: callId,
        tryId: Math.max(0, (tryNumber?.() ?? 0) - 1),
      });
    }
  }

  /** Tasks that ended are not remembered, and what is known of them is in their rows. */
  #isTryOfCall(taskId: number): boolean {
    return typeof this.#findCall.get(taskId)?.["app_call_id"] === "number";
  }

  #writeTry(attempt: Attempt, failHistory: string): void {
    const { taskId, try: number, host, startedAtMs, endedAtMs } = attempt;
    this.#insertTry.run(
      number - 1,
      taskId,
      host,
      sqlTime(attempt.dispatchedAtMs),
      startedAtMs === 0 ? null : sqlTime(startedAtMs),
      endedAtMs === 0 ? null : sqlTime(endedAtMs),
      failHistory === "" ? null : failHistory,
    );
  }

  /**
   * What a try used as it ran, and at its end. Parsl's plots are made of what was added from one row
   * to the next, second by second: where nothing was measured on the way, its start is a row too.
   */
  #writeUse(
    attempt: Attempt,
    { used, series = [], ranMs }: TryEnd,
    { taskId, tryId }: { readonly taskId: number; readonly tryId: number },
  ): void {
    if (used === undefined || attempt.startedAtMs === 0) return;
    const memoryBytes = this.#attempts.memoryOf(attempt.workerId);
    const last = { ...used, atMs: ranMs };
    const before = series.filter(({ atMs }) => atMs < ranMs);
    if (before.length === 0 && ranMs >= PLOTTED_MS) before.push({ ...last, atMs: 0, cpuMs: 0 });
    let beforeMs = 0;
    for (const sample of [...before, last]) {
      this.#insertResource.run(
        tryId,
        taskId,
        this.#runId,
        sqlTime(attempt.startedAtMs + sample.atMs),
        (sample.atMs - beforeMs) / 1000,
        memoryBytes === 0 ? null : 100 * sample.memoryBytes / memoryBytes,
        // Those beside the one that was started.
        Math.max(0, sample.processCount - 1),
        // User and system time are not told apart: all of it stands here.
        sample.cpuMs / 1000,
        0,
        sample.memoryBytes,
        sample === last ? "exited" : "running",
      );
      beforeMs = sample.atMs;
    }
  }
}

const ATTEMPT_COLUMNS: readonly string[] = [
  "task_id",
  "try",
  "worker_id",
  "lane",
  "dispatched_at_ms",
  "started_at_ms",
  "ended_at_ms",
  "outcome",
  "message",
  "is_recovery",
];

const PARSL_TASK_COLUMNS: readonly string[] = [
  "task_id",
  "task_depends",
  "task_func_name",
  "task_inputs",
  "task_outputs",
  "task_time_invoked",
  "task_stdout",
  "task_stderr",
  "task_time_returned",
  "task_fail_count",
  "task_fail_cost",
];

const PARSL_TRY_COLUMNS: readonly string[] = [
  "try_id",
  "task_id",
  "hostname",
  "task_try_time_launched",
  "task_try_time_running",
  "task_try_time_returned",
  "task_fail_history",
];

const RESOURCE_COLUMNS: readonly string[] = [
  "try_id",
  "task_id",
  "run_id",
  "timestamp",
  "resource_monitoring_interval",
  "psutil_process_memory_percent",
  "psutil_process_children_count",
  "psutil_process_time_user",
  "psutil_process_time_system",
  "psutil_process_memory_resident",
  "psutil_process_status",
];

/** The values of `CHANGING_COLUMNS`. */
function changingValues(task: OpenTask): SqlValue[] {
  const { attempt, end, ending } = task;
  return [
    task.state,
    ending?.outcome ?? null,
    ending?.message ?? "",
    task.tryCount,
    attempt?.workerId ?? null,
    attempt?.host ?? null,
    attempt?.dispatchedAtMs ?? null,
    instantOrNull(attempt?.startedAtMs ?? 0),
    ending?.atMs ?? null,
    end?.stagedMs ?? null,
    end?.ranMs ?? null,
    end?.valueBytes ?? null,
    end?.stdoutBytes ?? null,
    end?.stderrBytes ?? null,
  ];
}

/** True of a task of which one of `RARE_COLUMNS` is known, or was at its last writing. */
function hasRareValues(task: OpenTask): boolean {
  const { end, ending, allocated } = task;
  task.hasRare ||= allocated !== undefined || ending?.mount !== undefined ||
    end?.exitCode !== undefined || end?.signal !== undefined || end?.used !== undefined ||
    end?.stdoutTail !== undefined || end?.stderrTail !== undefined;
  return task.hasRare;
}

/** The values of `RARE_COLUMNS`. */
function rareValues({ end, ending, allocated }: OpenTask): SqlValue[] {
  const used = end?.used;
  return [
    end?.exitCode ?? null,
    end?.signal ?? null,
    ending?.mount ?? null,
    allocated?.cores ?? null,
    wholeOrNull(allocated?.memoryBytes),
    wholeOrNull(allocated?.diskBytes),
    wholeOrNull(allocated?.gpus),
    used?.cores ?? null,
    wholeOrNull(used?.memoryBytes),
    wholeOrNull(used?.diskBytes),
    wholeOrNull(used?.processCount),
    used?.cpuMs ?? null,
    end?.stdoutTail ?? null,
    end?.stderrTail ?? null,
  ];
}

function mountNames(mounts: Submission["mounts"], role: "input" | "output"): string | null {
  const names = mounts.filter((mount) => mount.role === role).map(({ mount }) => mount);
  return names.length === 0 ? null : names.slice(0, NAMED_MOUNTS_MAX).join(",");
}
