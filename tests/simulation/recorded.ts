/**
 * That the records of a run say what happened: its facts go the way that they go in a manager, into
 * a database in memory, which is compared with the core's tables now and then and at the end.
 *
 * @module
 */

import type { SQLInputValue } from "node:sqlite";

import type { Fact } from "../../manager/core/fact.ts";
import type { ManagerState, WorkerRecord } from "../../manager/core/state.ts";
import { summarize } from "../../manager/core/summary.ts";
import { RunDatabase } from "../../manager/monitoring/database.ts";
import { Recorder } from "../../manager/monitoring/recorder.ts";
import { newRandom, nextRandom, type RandomState } from "../../shared/random.ts";
import type { TaskEnd } from "../../manager/core/instruction.ts";
import type { Scenario } from "./scenario.ts";
import { ToldCheck } from "./told.ts";
import { VineCheck } from "./vine_recorded.ts";

/** Chance that what a step told is recorded at once, and not with what comes after it. */
const RECORD_CHANCE = 0.2;

/** Chance that what is recorded is compared with the state. */
const COMPARE_CHANCE = 0.03;

/** The same where something is to be found. */
const FIND_CHANCE = 0.3;

/** Instant 0 of the run, epoch milliseconds. */
const EPOCH_MS = 1_700_000_000_000;

/** What instants as text, or as sums, may be off. */
const SLACK_MS = 0.01;

type Row = Record<string, unknown>;

/** The records of one run, and what they should say. */
export class RecordCheck {
  readonly #state: ManagerState;
  readonly #random: RandomState;
  readonly #unheard: Fact["kind"] | undefined;
  readonly #told: ToldCheck = new ToldCheck();
  readonly #database: RunDatabase = new RunDatabase({ path: ":memory:" });
  /** Of a run of which all is heard. */
  readonly #vine: VineCheck | undefined;
  readonly #recorder: Recorder;
  readonly #ends: Map<number, TaskEnd> = new Map();

  constructor(state: ManagerState, { seed, records }: Pick<Scenario, "seed" | "records">) {
    this.#state = state;
    this.#unheard = records?.unheard;
    if (this.#unheard === undefined) this.#vine = new VineCheck();
    this.#random = newRandom(seed);
    const database = this.#database;
    this.#recorder = new Recorder({
      run: () => RUN,
      writer: {
        start: () => {},
        write: ({ atMs, records }) => {
          for (const [index, record] of records.entries()) {
            database.apply(atMs[index] ?? 0, record);
            this.#vine?.apply(atMs[index] ?? 0, record);
          }
        },
      },
      summarize: () => summaryOf(state),
      tagOf: (taskId) => taskId % 3 === 0 ? `tag-${taskId}` : undefined,
      describeFile: () => undefined,
      epochMs: EPOCH_MS,
    });
  }

  /** Takes what a step told, and throws when that, or what is recorded, cannot be. */
  hear(facts: readonly Fact[]): void {
    this.#told.hear(facts);
    const heard = facts.filter(({ kind }) => kind !== this.#unheard);
    if (heard.length > 0) this.#recorder.hear(heard, this.#state.nowMs);
    if (nextRandom(this.#random) >= RECORD_CHANCE) return;
    this.#recorder.flush();
    const drawn = nextRandom(this.#random);
    // Rows that are written are changed later by other statements than those that are not.
    if (drawn < 0.3) this.#database.write();
    const chance = this.#unheard === undefined ? COMPARE_CHANCE : FIND_CHANCE;
    if (drawn < chance) this.compare();
  }

  /** A task was returned to its user. */
  settle(end: TaskEnd): void {
    this.#ends.set(end.taskId, end);
  }

  /** Throws unless the records say what the state, and what users were told, say. */
  compare(): void {
    this.#recorder.flush();
    this.#database.write();
    this.#compareTasks();
    this.#compareAttempts();
    this.#checkLanes();
    this.#compareFiles();
    this.#compareReplicas();
    this.#compareTransfers();
    this.#compareWorkers();
    this.#compareInstances();
  }

  /** As `compare`, of a run that is over; lets go of everything. */
  end(): void {
    this.compare();
    this.#told.end();
    this.#recorder.close();
    this.#database.flush();
    this.#compareCounts();
    this.#database.close();
    this.#vine?.end(this.#ends.size);
  }

  #compareTasks(): void {
    const statuses = new Map<unknown, Row[]>();
    for (const row of this.#rows("SELECT * FROM status ORDER BY task_id, timestamp")) {
      statuses.set(row["task_id"], [...statuses.get(row["task_id"]) ?? [], row]);
    }
    const rows = this.#rows(
      "SELECT d.*, t.task_fail_count, t.task_time_returned FROM task_detail d " +
        "LEFT JOIN task t USING (task_id)",
    );
    expectSame("number of tasks", rows.length, this.#state.counters.submitted);
    for (const row of rows) {
      const taskId = Number(row["task_id"]);
      const names = (statuses.get(taskId) ?? []).map((status) =>
        String(status["task_status_name"])
      );
      const what = `task ${taskId} (${names.join(" ")})`;
      const end = this.#ends.get(taskId);
      const task = this.#state.tasks.get(taskId as never);
      const isOpen = end === undefined;
      if (isOpen && task === undefined) throw new Error(`Nobody knows of ${what}`);
      expectSame(`outcome of ${what}`, row["outcome"], end?.outcome ?? null);
      expectSame(`message of ${what}`, row["message"], end?.message ?? "");
      const state = isOpen ? stateOf(this.#state, taskId) : "done";
      expectSame(`state of ${what}`, row["state"], state);
      expectSame(`return of ${what}`, row["task_time_returned"] === null, isOpen);
      const tryCount = task?.tryCount ?? row["try_count"];
      expectSame(`tries of ${what}`, row["try_count"], tryCount);
      if (end !== undefined && Number(row["try_count"]) < end.try) {
        throw new Error(`Too few tries are recorded of ${what}`);
      }
      if (task !== undefined) {
        expectSame(`recoveries of ${what}`, row["recovery_count"], task.recoveryCount);
      }
      checkStatuses(what, names, end?.outcome);
      const again = names.filter((name) => name === "fail_retryable").length;
      const least = again + (end === undefined || end.outcome === "success" ? 0 : 1);
      const failCount = Number(row["task_fail_count"]);
      const most = end === undefined ? again + 1 : least;
      const isCancelled = end?.outcome === "cancelled";
      if (failCount > most || failCount < least - (isCancelled ? 1 : 0)) {
        throw new Error(`Recorded: ${failCount} failures of ${what}`);
      }
    }
  }

  #compareAttempts(): void {
    const wanted = new Map<string, string>();
    for (const { state } of this.#state.tasks.values()) {
      if (state.kind !== "dispatched") continue;
      const { taskId, try: number, worker, isStarted } = state.attempt;
      wanted.set(`${taskId}.${number}`, `${worker.workerId} ${isStarted ? "started" : "there"}`);
    }
    const open = this.#rows("SELECT * FROM attempt WHERE ended_at_ms IS NULL OR outcome IS NULL");
    const found = open.map((row): [string, string] => {
      const where = `${row["worker_id"]} ${row["started_at_ms"] === null ? "there" : "started"}`;
      return [`${row["task_id"]}.${row["try"]}`, where];
    });
    expectAlike("try that goes on", new Map(found), wanted);
    const parsl = this.#rows("SELECT * FROM try WHERE task_try_time_returned IS NULL");
    expectSame("tries of Parsl's that go on", parsl.length, wanted.size);
    const numbers = this.#rows(
      "SELECT task_id, count(*) AS count, max(try) AS last, d.try_count AS tries " +
        "FROM attempt JOIN task_detail d USING (task_id) GROUP BY task_id " +
        "HAVING count(*) != max(try) OR max(try) != d.try_count",
    );
    if (numbers.length > 0) {
      throw new Error(`Tries are not all there: ${JSON.stringify(numbers[0])}`);
    }
    const odd = this.#rows(
      "SELECT * FROM attempt WHERE started_at_ms < dispatched_at_ms OR ended_at_ms < started_at_ms " +
        "OR ended_at_ms < dispatched_at_ms OR (started_at_ms IS NOT NULL AND lane IS NULL) " +
        "OR outcome = 'worker_lost' AND message IS NULL",
    );
    if (odd.length > 0) throw new Error(`A try cannot have been: ${JSON.stringify(odd[0])}`);
  }

  /** Two tries of one worker are never on the same bar at the same time. */
  #checkLanes(): void {
    const rows = this.#rows(
      "SELECT * FROM attempt WHERE started_at_ms IS NOT NULL ORDER BY worker_id, lane, " +
        "started_at_ms, ended_at_ms NULLS LAST",
    );
    for (const [index, row] of rows.entries()) {
      const next = rows[index + 1];
      const isBar = next?.["worker_id"] === row["worker_id"] && next?.["lane"] === row["lane"];
      if (next === undefined || !isBar) continue;
      const endedAtMs = Number(row["ended_at_ms"] ?? Infinity);
      if (Number(next["started_at_ms"]) >= endedAtMs - SLACK_MS) continue;
      throw new Error(`Two tries on a bar: ${JSON.stringify(row)} and ${JSON.stringify(next)}`);
    }
  }

  #compareFiles(): void {
    const records = new Set(this.#state.files.values());
    const wanted = new Map<string, string>();
    for (const file of records) wanted.set(String(file.fileId), `${file.bound?.name ?? null}`);
    const found = this.#rows(
      "SELECT * FROM file WHERE forgotten_at_ms IS NULL AND merged_into IS NULL",
    );
    const names = found.map((row): [string, string] => {
      return [String(row["file_id"]), String(row["cache_name"])];
    });
    expectAlike("file", new Map(names), wanted);
    for (const row of found) {
      const file = this.#state.files.get(Number(row["file_id"]) as never);
      const sizeBytes = file?.bound?.sizeBytes ?? -1;
      if (sizeBytes >= 0) {
        expectSame(`size of file ${row["file_id"]}`, row["size_bytes"], sizeBytes);
      }
    }
    const aliases = [...records].flatMap((file) => {
      return file.aliases.map((alias): [string, string] => [`${alias}`, `${file.fileId}`]);
    });
    const merged = this.#rows("SELECT * FROM file WHERE merged_into IS NOT NULL")
      .filter((row) => row["forgotten_at_ms"] === null)
      .map((row): [string, string] => [String(row["file_id"]), String(row["merged_into"])]);
    expectAlike("other number of a file", new Map(merged), new Map(aliases));
    const unknown = this.#rows(
      "SELECT * FROM mount WHERE file_id NOT IN (SELECT file_id FROM file)",
    );
    if (unknown.length > 0) throw new Error(`A mount of nothing: ${JSON.stringify(unknown[0])}`);
  }

  #compareReplicas(): void {
    const wanted = new Map<string, string>();
    for (const file of new Set(this.#state.files.values())) {
      for (const [worker, replica] of file.replicas) {
        if (replica.state !== "ready") continue;
        wanted.set(`${file.fileId} ${worker.workerId}`, `of run ${replica.generation}`);
      }
    }
    const rows = this.#rows("SELECT * FROM replica WHERE gone_at_ms IS NULL");
    const found = rows.map((row): [string, string] => {
      return [`${row["file_id"]} ${row["worker_id"]}`, `of run ${row["generation"]}`];
    });
    expectSame("copies", found.length, new Map(found).size);
    expectAlike("copy", new Map(found), wanted);
    const odd = this.#rows("SELECT * FROM replica WHERE gone_at_ms < ready_at_ms");
    if (odd.length > 0) throw new Error(`A copy was gone before: ${JSON.stringify(odd[0])}`);
  }

  #compareTransfers(): void {
    const wanted = new Map<string, string>();
    for (const { transferId, source, file, worker } of this.#state.transfers.values()) {
      if (source === undefined) continue;
      const sender = source.kind === "worker" ? source.worker.workerId : source.kind;
      wanted.set(`${transferId}`, `${file.fileId} from ${sender} to ${worker.workerId}`);
    }
    for (const { transferId, goal, file, worker } of this.#state.deliveries.values()) {
      if (transferId === undefined || worker === undefined) continue;
      // One that is away has not been told.
      if (worker.link.kind !== "open") continue;
      wanted.set(`${transferId}`, `${file.fileId} from ${worker.workerId} to ${goal}`);
    }
    const rows = this.#rows("SELECT * FROM transfer WHERE state = 'running'");
    const found = new Map<string, string>();
    for (const row of rows) {
      const isIn = row["target"] === "worker";
      const from = isIn ? row["source_id"] ?? row["source"] : row["worker_id"];
      const to = isIn ? row["worker_id"] : row["target"];
      const isAway = !isIn && this.#workerOf(row)?.link.kind === "grace";
      if (!isAway) found.set(`${row["transfer_id"]}`, `${row["file_id"]} from ${from} to ${to}`);
    }
    expectAlike("transfer", found, wanted);
    const sums = this.#rows(
      "SELECT source || ' to ' || target AS route, sum(moved_bytes) AS bytes FROM transfer " +
        "GROUP BY 1",
    );
    const bytes = new Map(sums.map((row) => [String(row["route"]), Number(row["bytes"])]));
    const { counters } = this.#state;
    const routes = {
      "manager to worker": counters.managerToWorkerBytes,
      "worker to worker": counters.workerToWorkerBytes,
      "url to worker": counters.urlToWorkerBytes,
      "worker to url": counters.workerToUrlBytes,
    };
    for (const [route, count] of Object.entries(routes)) {
      expectSame(`bytes from ${route}`, bytes.get(route) ?? 0, count);
    }
    // Small outputs ride in results, and are counted as well.
    const toManager = bytes.get("worker to manager") ?? 0;
    expectSame("more came here", toManager > counters.workerToManagerBytes, false);
  }

  #workerOf(row: Row): WorkerRecord | undefined {
    return this.#state.workers.get(String(row["worker_id"]) as never);
  }

  #compareWorkers(): void {
    const wanted = new Map<string, string>();
    for (const { workerId, host, isLeaving } of this.#state.workers.values()) {
      if (!isLeaving) wanted.set(workerId, host);
    }
    const rows = this.#rows("SELECT * FROM worker WHERE left_at_ms IS NULL");
    const found = rows.map((row): [string, string] => [`${row["worker_id"]}`, `${row["host"]}`]);
    expectSame("workers", found.length, new Map(found).size);
    expectAlike("worker", new Map(found), wanted);
    const active = this.#rows(
      "SELECT uid, active FROM node WHERE id IN (SELECT max(id) FROM node GROUP BY uid)",
    ).filter((row) => row["active"] === 1);
    expectSame("Parsl's nodes", active.length, wanted.size);
  }

  #compareInstances(): void {
    const wanted = new Map<string, string>();
    for (const { instances, isLeaving, workerId } of this.#state.workers.values()) {
      if (isLeaving) continue;
      for (const { instanceId, library, state } of instances.values()) {
        if (state === "stopping") continue;
        wanted.set(`${instanceId}`, `${library.spec.name} at ${workerId} ${state}`);
      }
    }
    const rows = this.#rows("SELECT * FROM library_instance WHERE ended_at_ms IS NULL");
    const found = new Map<string, string>();
    for (const row of rows) {
      const id = `${row["instance_id"]}`;
      const instance = this.#workerOf(row)?.instances.get(Number(id) as never);
      // Told to stop: it is there until its worker says otherwise.
      if (instance?.state === "stopping") continue;
      found.set(id, `${row["library"]} at ${row["worker_id"]} ${row["state"]}`);
    }
    expectAlike("instance", found, wanted);
    const odd = this.#rows(
      "SELECT * FROM library_instance WHERE ended_at_ms IS NOT NULL AND state NOT IN " +
        "('stopped', 'start_failed', 'died')",
    );
    if (odd.length > 0) throw new Error(`An instance ended as ${JSON.stringify(odd[0])}`);
  }

  #compareCounts(): void {
    const { succeeded, failed, cancelled, recoveries } = this.#state.counters;
    const [workflow] = this.#rows("SELECT * FROM workflow");
    expectSame("tasks completed", workflow?.["tasks_completed_count"], succeeded);
    const [untried] = this.#rows(
      "SELECT count(DISTINCT task_id) AS count FROM status WHERE task_status_name = 'dep_fail'",
    );
    // Parsl counts those that never ran neither as failed nor as completed.
    const tried = failed + cancelled - Number(untried?.["count"]);
    expectSame("tasks failed", workflow?.["tasks_failed_count"], tried);
    const [sums] = this.#rows("SELECT sum(recovery_count) AS recoveries FROM task_detail");
    expectSame("recoveries", sums?.["recoveries"] ?? 0, recoveries);
    const [last] = this.#rows("SELECT * FROM sample ORDER BY at_ms DESC LIMIT 1");
    expectSame("tasks that succeeded", last?.["succeeded_total"], succeeded);
  }

  #rows(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#database.connection.prepare(sql).all(...values) as Row[];
  }
}

const RUN = {
  runId: "run",
  name: "simulated",
  version: "0",
  host: "host",
  user: "user",
  pid: 1,
  directory: "",
  startedAtMs: EPOCH_MS,
};

/** Statuses that may come after each; the first is `pending`. */
const FOLLOWERS: ReadonlyMap<string, readonly string[]> = new Map([
  ["pending", ["launched", "failed", "dep_fail"]],
  ["launched", ["running", "pending", "fail_retryable", "failed"]],
  ["running", ["running_ended", "fail_retryable", "failed"]],
  ["running_ended", ["fail_retryable", "exec_done", "failed", "pending"]],
  ["fail_retryable", ["pending"]],
  ["exec_done", []],
  ["failed", []],
  ["dep_fail", []],
]);

function checkStatuses(what: string, names: readonly string[], outcome: string | undefined): void {
  if (names[0] !== "pending") throw new Error(`The first status is wrong of ${what}`);
  for (const [index, name] of names.slice(1).entries()) {
    const before = names[index] ?? "";
    if (FOLLOWERS.get(before)?.includes(name) === true) continue;
    throw new Error(`Status ${name} follows ${before} in ${what}`);
  }
  const isOver = FOLLOWERS.get(names.at(-1) ?? "")?.length === 0;
  expectSame(`end of ${what}`, isOver, outcome !== undefined);
  if (isOver) expectSame(`success of ${what}`, names.at(-1) === "exec_done", outcome === "success");
}

/** Where a task stands that has not settled, as the records call it. */
function stateOf(state: ManagerState, taskId: number): string {
  const { kind, ...rest } = state.tasks.get(taskId as never)?.state ?? { kind: "lost" };
  if (kind === "dispatched" && "attempt" in rest) {
    return rest.attempt.isStarted ? "running" : "dispatched";
  }
  // Outputs of a failure come as well, before it is known what becomes of the task.
  const isMade = "result" in rest && rest.result.outcome === "success";
  return kind === "retrieving" && isMade ? kind : "pending";
}

function expectSame(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`Recorded: ${what} is ${found}, and should be ${wanted}`);
}

function expectAlike(
  what: string,
  found: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): void {
  for (const key of new Set([...found.keys(), ...wanted.keys()])) {
    expectSame(`${what} ${key}`, found.get(key), wanted.get(key));
  }
}

function summaryOf(state: ManagerState) {
  const summary = summarize(state);
  return {
    ...summary,
    submittedTotal: summary.submitted,
    succeededTotal: summary.succeeded,
    failedTotal: summary.failed,
    cancelledTotal: summary.cancelled,
    triesStartedTotal: summary.triesStarted,
    recoveriesTotal: summary.recoveries,
    cores: summary.coresTotal,
    memoryBytes: summary.memoryTotalBytes,
    memoryCommittedBytes: summary.memoryCommittedBytes,
    diskBytes: summary.diskTotalBytes,
    transfers: summary.transfersActive,
    schedulingMs: 0,
  };
}
