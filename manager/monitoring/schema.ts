/**
 * The tables of `monitoring.db`. The first eight are Parsl's own, column by column, so that
 * `parsl-visualize` and scripts written for it read them; the others are ours.
 *
 * Times of Parsl's tables are text as SQLAlchemy writes DATETIME on SQLite, local time without a
 * zone: `2026-03-04 05:06:07.000000`. Times of ours are epoch milliseconds in columns that end in
 * `_at_ms`; sizes are bytes. One database holds one run.
 *
 * Where the key is more than one whole number a table is its own index (WITHOUT ROWID): that is half
 * the work of writing it, and readers see no difference.
 *
 * Source of Parsl's: parsl/monitoring/db_manager.py.
 *
 * @module
 */

/** Grows when a column of our tables changes its meaning or goes; `tendril_schema` holds it. */
export const SCHEMA_VERSION = 2;

/** Creates what is not there yet. */
export const SCHEMA: string = `
CREATE TABLE IF NOT EXISTS workflow (
  run_id TEXT NOT NULL PRIMARY KEY, workflow_name TEXT, workflow_version TEXT,
  time_began DATETIME NOT NULL, time_completed DATETIME, host TEXT NOT NULL, user TEXT NOT NULL,
  rundir TEXT NOT NULL, tasks_failed_count INTEGER NOT NULL, tasks_completed_count INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS task (
  task_id INTEGER NOT NULL, run_id TEXT NOT NULL, task_depends TEXT, task_func_name TEXT NOT NULL,
  task_memoize TEXT NOT NULL, task_hashsum TEXT, task_inputs TEXT, task_outputs TEXT,
  task_stdin TEXT, task_stdout TEXT, task_stderr TEXT, task_time_invoked DATETIME,
  task_time_returned DATETIME, task_fail_count INTEGER NOT NULL, task_fail_cost FLOAT NOT NULL,
  PRIMARY KEY (task_id, run_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ix_task_task_hashsum ON task (task_hashsum)
  WHERE task_hashsum IS NOT NULL;
CREATE TABLE IF NOT EXISTS try (
  try_id INTEGER NOT NULL, task_id INTEGER NOT NULL, run_id TEXT NOT NULL, block_id TEXT,
  hostname TEXT, task_executor TEXT NOT NULL, task_try_time_launched DATETIME,
  task_try_time_running DATETIME, task_try_time_returned DATETIME, task_fail_history TEXT,
  task_joins TEXT, PRIMARY KEY (try_id, task_id, run_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS status (
  task_id INTEGER NOT NULL, task_status_name TEXT NOT NULL, timestamp DATETIME NOT NULL,
  run_id TEXT NOT NULL, try_id INTEGER NOT NULL,
  PRIMARY KEY (task_id, run_id, task_status_name, timestamp)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS resource (
  try_id INTEGER NOT NULL, task_id INTEGER NOT NULL, run_id TEXT NOT NULL,
  timestamp DATETIME NOT NULL, resource_monitoring_interval FLOAT, psutil_process_pid INTEGER,
  psutil_process_memory_percent FLOAT, psutil_process_children_count FLOAT,
  psutil_process_time_user FLOAT, psutil_process_time_system FLOAT,
  psutil_process_memory_virtual FLOAT, psutil_process_memory_resident FLOAT,
  psutil_process_disk_read FLOAT, psutil_process_disk_write FLOAT, psutil_process_status TEXT,
  psutil_cpu_num TEXT, psutil_process_num_ctx_switches_voluntary FLOAT,
  psutil_process_num_ctx_switches_involuntary FLOAT,
  PRIMARY KEY (try_id, task_id, run_id, timestamp)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, run_id TEXT NOT NULL, hostname TEXT NOT NULL,
  uid TEXT NOT NULL, block_id TEXT NOT NULL, cpu_count INTEGER NOT NULL,
  total_memory BIGINT NOT NULL, active BOOLEAN NOT NULL, worker_count INTEGER NOT NULL,
  python_v TEXT NOT NULL, timestamp DATETIME NOT NULL, last_heartbeat DATETIME NOT NULL
);
CREATE TABLE IF NOT EXISTS block (
  run_id TEXT NOT NULL, executor_label TEXT NOT NULL, block_id TEXT NOT NULL, job_id TEXT,
  timestamp DATETIME NOT NULL, status TEXT NOT NULL,
  PRIMARY KEY (run_id, block_id, executor_label, timestamp)
);
CREATE TABLE IF NOT EXISTS tendril_schema (version INTEGER NOT NULL);

-- What the run was started with; one row. ended_at_ms is null of a run that goes on, or was killed.
CREATE TABLE IF NOT EXISTS run (
  run_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, tendril_version TEXT NOT NULL,
  host TEXT NOT NULL, user TEXT NOT NULL, pid INTEGER NOT NULL, directory TEXT NOT NULL,
  started_at_ms REAL NOT NULL, ended_at_ms REAL, recorded_at_ms REAL NOT NULL
);

-- One row a task, function calls among them. state: pending (it waits for inputs or for room),
-- dispatched, running, retrieving, done.
CREATE TABLE IF NOT EXISTS task_detail (
  task_id INTEGER NOT NULL PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,
  command TEXT NOT NULL, library TEXT, function TEXT, category TEXT NOT NULL, tag TEXT,
  priority REAL NOT NULL, state TEXT NOT NULL, outcome TEXT, message TEXT NOT NULL,
  try_count INTEGER NOT NULL, exit_code INTEGER, signal TEXT, mount TEXT, worker_id TEXT, host TEXT,
  submitted_at_ms REAL NOT NULL, dispatched_at_ms REAL, started_at_ms REAL, ended_at_ms REAL,
  staged_ms REAL, ran_ms REAL,
  requested_cores REAL, requested_memory_bytes INTEGER, requested_disk_bytes INTEGER,
  requested_gpus INTEGER,
  allocated_cores REAL, allocated_memory_bytes INTEGER, allocated_disk_bytes INTEGER,
  allocated_gpus INTEGER,
  used_cores REAL, used_memory_bytes INTEGER, used_disk_bytes INTEGER, used_process_count INTEGER,
  used_cpu_ms REAL,
  recovery_count INTEGER NOT NULL, argument_bytes INTEGER, value_bytes INTEGER,
  stdout_bytes INTEGER, stderr_bytes INTEGER,
  -- The ends of what a task wrote that failed.
  stdout_tail TEXT, stderr_tail TEXT,
  -- Of a task that is a try of it.
  app_call_id INTEGER
);
CREATE VIEW IF NOT EXISTS call AS
  SELECT task_id, library, function, tag, state, outcome, message, try_count, worker_id, host,
    submitted_at_ms, dispatched_at_ms, started_at_ms, ended_at_ms, staged_ms, ran_ms,
    argument_bytes, value_bytes
  FROM task_detail WHERE kind = 'call';

-- One row a call of an app; what runs of it are tasks, with its id as their app_call_id. kind:
-- javascript, python, command, join. state: pending, launched, running, joining, exec_done,
-- memo_done, fail_retryable, failed, dep_fail, cancelled. depends, joins: ids of calls, and outputs
-- names, with commas. host and task_id are those of the last try; task_id is null where another
-- executor than the manager ran it. earlier_tasks: those of the tries before, in order, with commas,
-- and 0 for a try that was none.
CREATE TABLE IF NOT EXISTS app_call (
  call_id INTEGER NOT NULL PRIMARY KEY, app TEXT NOT NULL, kind TEXT NOT NULL, label TEXT,
  category TEXT, executor TEXT NOT NULL, state TEXT NOT NULL, is_memoized INTEGER NOT NULL,
  memo_key TEXT, is_memo_hit INTEGER NOT NULL, try_count INTEGER NOT NULL,
  fail_count INTEGER NOT NULL, fail_cost REAL NOT NULL, depends TEXT, joins TEXT,
  argument_text TEXT NOT NULL, outputs TEXT, stdout TEXT, stderr TEXT, message TEXT NOT NULL,
  called_at_ms REAL NOT NULL, launched_at_ms REAL, started_at_ms REAL, ended_at_ms REAL, host TEXT,
  task_id INTEGER, earlier_tasks TEXT
);

-- One row a try, recoveries among them. lane: which of the bars of its worker it is drawn as, from 0.
CREATE TABLE IF NOT EXISTS attempt (
  task_id INTEGER NOT NULL, try INTEGER NOT NULL, worker_id TEXT NOT NULL, lane INTEGER,
  dispatched_at_ms REAL NOT NULL, started_at_ms REAL, ended_at_ms REAL, outcome TEXT,
  message TEXT, is_recovery INTEGER NOT NULL,
  PRIMARY KEY (task_id, try)
) WITHOUT ROWID;

-- role: input, output, environment.
CREATE TABLE IF NOT EXISTS mount (
  task_id INTEGER NOT NULL, role TEXT NOT NULL, mount TEXT NOT NULL, file_id INTEGER NOT NULL,
  PRIMARY KEY (task_id, role, mount, file_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mount_by_file ON mount (file_id);

-- kind: local, url, buffer, temp, mini_task, value. size_bytes is null while it is not known.
CREATE TABLE IF NOT EXISTS file (
  file_id INTEGER NOT NULL PRIMARY KEY, kind TEXT NOT NULL, source TEXT, cache_name TEXT,
  level TEXT NOT NULL, size_bytes INTEGER, is_directory INTEGER NOT NULL,
  producer_task_id INTEGER, is_nondeterministic INTEGER NOT NULL, merged_into INTEGER,
  declared_at_ms REAL NOT NULL, forgotten_at_ms REAL
);

-- One row for each time that a worker had the file.
CREATE TABLE IF NOT EXISTS replica (
  file_id INTEGER NOT NULL, worker_id TEXT NOT NULL, ready_at_ms REAL NOT NULL, gone_at_ms REAL,
  generation INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  PRIMARY KEY (file_id, worker_id, ready_at_ms)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS replica_by_worker ON replica (worker_id);

-- source: manager, worker, url, recipe; target: worker, manager, url. worker_id is the receiver, or
-- the sender to the manager or a url; source_id the peer that sends. state: running, done, failed,
-- called_off (nobody waited for it any more).
CREATE TABLE IF NOT EXISTS transfer (
  transfer_id INTEGER NOT NULL PRIMARY KEY, file_id INTEGER NOT NULL, source TEXT NOT NULL,
  source_id TEXT, target TEXT NOT NULL, worker_id TEXT NOT NULL, state TEXT NOT NULL,
  started_at_ms REAL NOT NULL, ended_at_ms REAL, moved_bytes INTEGER NOT NULL, message TEXT
);
CREATE INDEX IF NOT EXISTS transfer_by_file ON transfer (file_id);

-- One row for each time that a worker joined. features: a JSON list of names.
CREATE TABLE IF NOT EXISTS worker (
  worker_id TEXT NOT NULL, joined_at_ms REAL NOT NULL, left_at_ms REAL, reason TEXT,
  host TEXT NOT NULL, pid INTEGER NOT NULL, address TEXT, cores REAL NOT NULL,
  memory_bytes INTEGER NOT NULL, disk_bytes INTEGER NOT NULL, gpus INTEGER NOT NULL,
  features TEXT NOT NULL, PRIMARY KEY (worker_id, joined_at_ms)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS library (
  name TEXT NOT NULL PRIMARY KEY, program TEXT NOT NULL, mode TEXT NOT NULL,
  slots INTEGER NOT NULL, cores REAL NOT NULL, memory_bytes INTEGER NOT NULL,
  declared_at_ms REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS library_instance (
  instance_id INTEGER NOT NULL PRIMARY KEY, library TEXT NOT NULL, worker_id TEXT NOT NULL,
  state TEXT NOT NULL, starting_at_ms REAL NOT NULL, ready_at_ms REAL, ended_at_ms REAL
);

-- The whole manager at one instant: at most one a second, and while nothing changes one every five
-- seconds as long as tasks run, else none. Counts are those of that instant; *_total, bytes and times are sums since the start.
CREATE TABLE IF NOT EXISTS sample (
  at_ms REAL NOT NULL PRIMARY KEY,
  waiting INTEGER NOT NULL, ready INTEGER NOT NULL, dispatched INTEGER NOT NULL,
  running INTEGER NOT NULL, retrieving INTEGER NOT NULL, submitted_total INTEGER NOT NULL,
  succeeded_total INTEGER NOT NULL, failed_total INTEGER NOT NULL,
  cancelled_total INTEGER NOT NULL, calls_total INTEGER NOT NULL,
  workers_connected INTEGER NOT NULL, workers_away INTEGER NOT NULL,
  cores REAL NOT NULL, cores_committed REAL NOT NULL, cores_busy REAL NOT NULL,
  disk_bytes INTEGER NOT NULL, disk_used_bytes INTEGER NOT NULL,
  files INTEGER NOT NULL, transfers INTEGER NOT NULL, recoveries_total INTEGER NOT NULL,
  manager_to_worker_bytes INTEGER NOT NULL, worker_to_worker_bytes INTEGER NOT NULL,
  worker_to_manager_bytes INTEGER NOT NULL, url_to_worker_bytes INTEGER NOT NULL,
  worker_to_url_bytes INTEGER NOT NULL, scheduling_ms REAL NOT NULL, loop_delay_ms REAL NOT NULL
);

-- What a person should know: hosts blocked and drained, tasks that fit nowhere, damaged files.
CREATE TABLE IF NOT EXISTS note (
  note_id INTEGER NOT NULL PRIMARY KEY, at_ms REAL NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, text TEXT NOT NULL
);
`;
