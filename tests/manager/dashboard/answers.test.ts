/** One suite for whatever answers the dashboard's questions: a database, and a report of it. */

import { afterAll, describe, expect, test } from "bun:test";

import type { Question } from "../../../manager/dashboard/api.ts";
import type { SyntheticRun } from "../monitoring/synthetic_run.ts";
import {
  files,
  fromDatabase,
  fromReport,
  hasFailed,
  idsOf,
  IMPLEMENTATIONS,
  numbersOf,
  openAnsweredRuns,
  sum,
  tasks,
} from "./answered_runs.ts";

const runs = openAnsweredRuns();
afterAll(() => runs[Symbol.dispose]());
const { ended, endedRun, going, goingRun, empty } = runs;

for (const [name, ofDatabase] of IMPLEMENTATIONS) {
  describe(name, () => {
    const askEnded = ofDatabase(ended);
    const askGoing = ofDatabase(going);
    const askEmpty = ofDatabase(empty);

    test("tells which run the records are of", () => {
      const run = askEnded({ kind: "run" });
      expect(run).toMatchObject({
        version: 1,
        runId: "synthetic",
        startedAtMs: endedRun.startedAtMs,
        endedAtMs: Math.round(endedRun.endedAtMs),
        categories: ["align", "fetch", "merge", "score"],
      });
      expect(run.notes.map(({ kind }) => kind)).toEqual(["host_blocked"]);
      expect(askGoing({ kind: "run" })).toMatchObject({
        endedAtMs: null,
        recordedAtMs: Math.round(goingRun.recordedAtMs),
      });
    });

    test("counts tasks by where they stand", () => {
      for (const [ask, run] of [[askEnded, endedRun], [askGoing, goingRun]] as const) {
        const { now } = ask({ kind: "overview", points: 10 });
        const count = (keep: (task: SyntheticRun["tasks"][number]) => boolean): number =>
          numbersOf(run, keep).length;
        expect(now).toMatchObject({
          submitted: run.tasks.length,
          running: count(({ state }) => state === "running"),
          dispatched: count(({ state }) => state === "dispatched"),
          succeeded: count(({ outcome }) => outcome === "success"),
          failed: count(hasFailed),
          cancelled: count(({ outcome }) => outcome === "cancelled"),
        });
        expect(now.waiting + now.ready).toBe(count(({ state }) => state === "pending"));
      }
    });

    test("tells how long each category ran, the slowest first", () => {
      const { categories } = askEnded({ kind: "overview", points: 10 });
      for (const { name, count, failed, medianMs, p90Ms } of categories) {
        const within = endedRun.tasks.filter(({ category }) => category === name);
        const ran = within.flatMap(({ ranMs }) => ranMs ?? []).sort((a, b) => a - b);
        expect([count, failed]).toEqual([within.length, within.filter(hasFailed).length]);
        expect(medianMs).toBeCloseTo(ran[Math.ceil(ran.length / 2) - 1]!, 3);
        expect(p90Ms).toBeCloseTo(ran[Math.ceil(ran.length * 0.9) - 1]!, 3);
      }
      const medians = categories.map(({ medianMs }) => medianMs);
      expect(medians).toEqual(medians.toSorted((a, b) => b - a));
    });

    test("tells how many failed by outcome, with the latest", () => {
      const { failures } = askEnded({ kind: "overview", points: 10 });
      expect(failures.length).toBeGreaterThan(0);
      expect(sum(failures.map(({ count }) => count))).toBe(numbersOf(endedRun, hasFailed).length);
      for (const { outcome, count, taskId, message } of failures) {
        const alike = endedRun.tasks.filter((task) => task.outcome === outcome);
        const latest = alike.toSorted((a, b) => b.endedAtMs! - a.endedAtMs!)[0]!;
        expect({ count, taskId, message }).toEqual({
          count: alike.length,
          taskId: latest.taskId,
          message: latest.message,
        });
      }
    });

    test("tells the time left from the rate of the last minute", () => {
      const atMs = Math.round(goingRun.recordedAtMs);
      const fromMs = Math.max(goingRun.startedAtMs, atMs - 60_000);
      expect(fromMs).toBeGreaterThan(goingRun.startedAtMs);
      const ends = goingRun.tasks.flatMap(({ endedAtMs }) => endedAtMs ?? []);
      // Samples are a second apart.
      const sampledAtMs = goingRun.samples.findLast(({ atMs }) => atMs <= fromMs)!.atMs;
      const rate = ends.filter((at) => at > sampledAtMs).length / (atMs - fromMs);
      const { leftMs } = askGoing({ kind: "overview", points: 10 });
      expect(leftMs).toBe(Math.round((goingRun.tasks.length - ends.length) / rate));
      expect(askEnded({ kind: "overview", points: 10 }).leftMs).toBe(0);
    });

    test("tells curves of as many points as are asked for, of the time that is asked for", () => {
      const { startedAtMs, recordedAtMs, samples } = endedRun;
      const whole = askEnded({ kind: "overview", points: 5_000 }).series;
      expect(whole.atMs).toEqual(samples.map(({ atMs }) => Math.round(atMs)));
      expect(whole.running).toEqual(samples.map(({ running }) => running));
      const toMs = Math.round((startedAtMs + recordedAtMs) / 2);
      const part = askEnded({ kind: "overview", points: 7, fromMs: startedAtMs + 5_000, toMs });
      expect(part.series.atMs.length).toBe(7);
      expect(part.series.atMs.at(-1)).toBeLessThanOrEqual(toMs);
      expect(part.series.atMs[0]).toBeGreaterThanOrEqual(startedAtMs + 5_000);
      const seconds = whole.atMs.map((at, i) => (at - (whole.atMs[i - 1] ?? startedAtMs)) / 1_000);
      const ends = sum(whole.rate.map((rate, index) => rate * seconds[index]!));
      expect(Math.round(ends)).toBe(endedRun.tasks.length);
    });

    test("tells bytes by route", () => {
      const moved = (keep: (transfer: SyntheticRun["transfers"][number]) => boolean): number =>
        sum(endedRun.transfers.filter(keep).map(({ movedBytes }) => movedBytes));
      expect(askEnded({ kind: "overview", points: 1 }).bytes).toEqual({
        managerToWorker: moved(({ source }) => source === "manager"),
        workerToWorker: moved(({ source, target }) => source === "worker" && target === "worker"),
        workerToManager: moved(({ target }) => target === "manager"),
        urlToWorker: moved(({ source }) => source === "url"),
        workerToUrl: 0,
      });
    });

    test("draws each try that has run, each instance and each transfer as a bar", () => {
      const { bars, lanes, labels } = askEnded({ kind: "timeline", barsMax: 100_000 });
      const drawn = endedRun.attempts.filter(({ startedAtMs }) => startedAtMs !== null);
      const kinds = (kind: string): number => bars.kind.filter((other) => other === kind).length;
      expect(kinds("task") + kinds("call")).toBe(drawn.length);
      expect(kinds("library")).toBe(endedRun.instances.length);
      expect(kinds("transfer")).toBe(endedRun.transfers.length);
      expect(
        bars.state.filter((state, index) => state === 1 && bars.kind[index] !== "library").length,
      )
        .toBe(
          drawn.filter(hasFailed).length +
            endedRun.transfers.filter(({ state }) => state === "failed").length,
        );
      for (const [index, id] of bars.id.entries()) {
        if (bars.kind[index] !== "task") continue;
        const lane = lanes[bars.lane[index]!]!;
        const own = drawn.find((row) =>
          row.taskId === id && Math.round(row.startedAtMs!) === bars.startMs[index]
        )!;
        expect([lane.workerId, lane.kind, lane.index]).toEqual([own.workerId, "slot", own.lane!]);
        expect(labels[bars.label[index]!]).toBe(endedRun.tasks[id - 1]!.name);
      }
    });

    test("draws fewer bars where they are many, and loses none of what they stand for", () => {
      const all = askEnded({ kind: "timeline", barsMax: 100_000 });
      const few = askEnded({ kind: "timeline", barsMax: 100 });
      expect(few.bars.id.length).toBeLessThanOrEqual(100);
      expect(sum(few.bars.count)).toBe(all.bars.id.length);
      expect(few.lanes).toEqual(all.lanes);
      expect(few.bars.state).toContain(1);
    });

    test("draws the part of the timeline that is asked for, in lanes that stay", () => {
      const { startedAtMs, recordedAtMs } = goingRun;
      const toMs = Math.round(recordedAtMs) - 1_000;
      const fromMs = startedAtMs + 20_000;
      const whole = askGoing({
        kind: "timeline",
        barsMax: 100_000,
        workerIds: ["w-0002", "w-0003"],
      });
      const part = askGoing({
        kind: "timeline",
        barsMax: 100_000,
        workerIds: ["w-0002", "w-0003"],
        fromMs,
        toMs,
      });
      expect(part.lanes).toEqual(whole.lanes);
      expect(new Set(whole.lanes.map(({ workerId }) => workerId)).size).toBe(2);
      expect(
        part.bars.startMs.every((at, index) => at <= toMs && part.bars.endMs[index]! >= fromMs),
      )
        .toBe(true);
      const running = whole.bars.endMs.filter((_, index) => whole.bars.state[index] === 2);
      expect(running.every((at) => at === whole.toMs)).toBe(true);
      expect(running.length).toBeGreaterThan(0);
      expect(askGoing({ kind: "timeline", barsMax: 9, workerIds: ["nobody"] }).lanes).toEqual([]);
    });

    test("tells what each worker did, holds and moved", () => {
      for (const [ask, run] of [[askEnded, endedRun], [askGoing, goingRun]] as const) {
        const { total, rows } = ask({ kind: "workers" });
        expect(total).toBe(6);
        for (const row of rows) {
          const { workerId } = row;
          const tries = run.attempts.filter((attempt) => attempt.workerId === workerId);
          const held = run.replicas.filter((replica) =>
            replica.workerId === workerId && replica.goneAtMs === null
          );
          const moved = (keep: (transfer: SyntheticRun["transfers"][number]) => boolean): number =>
            sum(run.transfers.filter(keep).map(({ movedBytes }) => movedBytes));
          expect(row).toMatchObject({
            running: tries.filter((t) => t.startedAtMs !== null && t.endedAtMs === null).length,
            done: tries.filter(({ outcome }) => outcome === "success").length,
            failed: tries.filter(hasFailed).length,
            replicas: held.length,
            cachedBytes: sum(held.map(({ sizeBytes }) => sizeBytes)),
            receivedBytes: moved((t) => t.target === "worker" && t.workerId === workerId),
            sentBytes: moved((t) =>
              t.sourceId === workerId || t.target === "manager" && t.workerId === workerId
            ),
          });
          const { runningTasks, cache, sessions } = ask({ kind: "worker", workerId })!;
          expect(idsOf(runningTasks)).toEqual(
            numbersOf(run, (task) => task.workerId === workerId && task.state !== "done"),
          );
          expect(cache.length).toBe(held.length);
          expect(sessions.length).toBe(
            run.workers.filter((session) => session.workerId === workerId).length,
          );
        }
        expect(ask({ kind: "worker", workerId: "nobody" })).toBeNull();
      }
      expect(endedRun.workers.length).toBe(7);
    });

    test("tells files by size, replicas and transfers, and finds them", () => {
      const transfersOf = (id: number): SyntheticRun["transfers"] =>
        endedRun.transfers.filter(({ fileId }) => fileId === id);
      const { total, rows } = askEnded(files({ sort: "transfers", isDescending: true }));
      expect(total).toBe(endedRun.files.length - 1);
      for (const row of rows) {
        expect([row.transfers, row.movedBytes]).toEqual([
          transfersOf(row.fileId).length,
          sum(transfersOf(row.fileId).map(({ movedBytes }) => movedBytes)),
        ]);
      }
      const counts = rows.map(({ transfers }) => transfers);
      expect(counts).toEqual(counts.toSorted((a, b) => b - a));
      const sizes = askGoing(files({ sort: "size" })).rows.map(({ sizeBytes }) => sizeBytes);
      const known = sizes.filter((size) => size !== null);
      expect(sizes.slice(0, known.length)).toEqual(known.toSorted((a, b) => a - b));
      expect(sizes.slice(known.length).every((size) => size === null)).toBe(true);
      expect(askEnded(files({ search: "REFERENCE" })).rows.map(({ fileId }) => fileId)).toEqual([
        1,
      ]);
      expect(askEnded(files({ level: "worker" })).rows.every(({ kind }) => kind === "url")).toBe(
        true,
      );
    });

    test("tells one file with who holds and who reads it", () => {
      const file = askEnded({ kind: "file", fileId: 1 })!;
      expect(file.holders.length).toBe(
        endedRun.replicas.filter(({ fileId }) => fileId === 1).length,
      );
      expect(file.consumers).toEqual(
        endedRun.mounts.filter(({ fileId, role }) => fileId === 1 && role === "input")
          .map(({ taskId }) => taskId),
      );
      expect(file.history.map(({ transferId }) => transferId).toSorted((a, b) => a - b)).toEqual(
        endedRun.transfers.filter(({ fileId }) => fileId === 1).map((row) => row.transferId),
      );
      expect(askEnded({ kind: "file", fileId: 99_999 })).toBeNull();
    });

    test("sums files and what workers hold of them by level", () => {
      const { rows } = askEnded({ kind: "levels" });
      expect(rows.map(({ level }) => level)).toEqual(["workflow", "worker"]);
      for (const row of rows) {
        const fileIds = endedRun.files
          .filter(({ level, fileId }) => level === row.level && fileId !== 3)
          .map(({ fileId }) => fileId);
        const held = endedRun.replicas
          .filter(({ fileId, goneAtMs }) => goneAtMs === null && fileIds.includes(fileId));
        expect([row.files, row.replicas, row.replicaBytes]).toEqual([
          fileIds.length,
          held.length,
          sum(held.map(({ sizeBytes }) => sizeBytes)),
        ]);
      }
      expect(askEmpty({ kind: "levels" })).toEqual({ total: 0, rows: [] });
    });

    test("tells transfers that run, and the latest", () => {
      const running = goingRun.transfers.filter(({ state }) => state === "running");
      const { total, rows } = askGoing({ kind: "transfers", isRunning: true, limit: 1_000 });
      expect(total).toBe(running.length);
      expect(rows.map(({ transferId }) => transferId).toSorted((a, b) => a - b)).toEqual(
        running.map(({ transferId }) => transferId),
      );
      const latest = askEnded({ kind: "transfers", isRunning: false, limit: 3 });
      expect(latest.total).toBe(endedRun.transfers.length);
      expect(latest.rows.length).toBe(3);
      for (const { fileId, sizeBytes } of latest.rows) {
        expect(sizeBytes).toBe(endedRun.files.find((file) => file.fileId === fileId)!.sizeBytes);
      }
    });

    test("tells how a file spread as a tree from the manager through all workers", () => {
      const { nodes, edges, file, isCut } = askEnded({
        kind: "vine",
        fileId: 1,
        transfersMax: 100,
      });
      const reached = new Set([0]);
      for (const edge of edges) {
        if (edge.isFailed) continue;
        expect(reached.has(edge.from)).toBe(true);
        reached.add(edge.to);
      }
      expect([nodes[0]!.id, file!.fileId, isCut]).toEqual(["manager", 1, false]);
      expect(reached.size).toBe(1 + 6);
      const starts = edges.map(({ startMs }) => startMs);
      expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    });

    test("tells the largest transfers of all files, and that others were left out", () => {
      const whole = askEnded({ kind: "vine", transfersMax: 20_000 });
      expect(whole.edges.length).toBe(endedRun.transfers.length);
      expect(whole.nodes.filter(({ kind }) => kind === "url").map(({ id }) => id)).toEqual([
        "url:data.example.org",
      ]);
      const largest = askEnded({ kind: "vine", transfersMax: 6 });
      expect(largest.isCut).toBe(true);
      expect(sum(largest.edges.map(({ bytes }) => bytes))).toBe(
        sum(
          endedRun.transfers.map(({ movedBytes }) => movedBytes).toSorted((a, b) => b - a).slice(
            0,
            6,
          ),
        ),
      );
    });

    test("groups the graph by category, or tells each task and file", () => {
      const groups = askEnded({ kind: "graph", grouping: "auto" });
      expect(groups.grouping).toBe("categories");
      const align = groups.nodes.find(({ id }) => id === "category:align")!;
      expect(sum(Object.values(align.states))).toBe(160);
      const reads = groups.edges.find(({ from, to }) =>
        from === "files:temp:fetch" && to === "category:align"
      );
      expect(reads?.count).toBe(160);
      const single = askEnded({ kind: "graph", grouping: "tasks" });
      expect(single.nodes.filter(({ kind }) => kind === "task").length).toBe(400);
      expect(single.nodes.filter(({ kind }) => kind === "file").length).toBe(
        endedRun.files.length - 1,
      );
      expect(sum(single.edges.map(({ count }) => count))).toBe(endedRun.mounts.length);
      expect(single.isCut).toBe(false);
    });

    test("answers every question of records that hold nothing yet", () => {
      expect(askEmpty({ kind: "run" })).toMatchObject({ runId: "", endedAtMs: null });
      const { now, leftMs, series } = askEmpty({ kind: "overview", points: 10 });
      expect([now.submitted, leftMs, series.atMs]).toEqual([0, null, []]);
      expect(askEmpty(tasks({}))).toEqual({ total: 0, rows: [] });
      expect(askEmpty({ kind: "task", taskId: 1 })).toBeNull();
      expect(askEmpty({ kind: "timeline", barsMax: 10 }).lanes).toEqual([]);
      expect(askEmpty({ kind: "workers" })).toEqual({ total: 0, rows: [] });
      expect(askEmpty({ kind: "worker", workerId: "w" })).toBeNull();
      expect(askEmpty(files({}))).toEqual({ total: 0, rows: [] });
      expect(askEmpty({ kind: "file", fileId: 1 })).toBeNull();
      expect(askEmpty({ kind: "transfers", isRunning: false, limit: 1 }).rows).toEqual([]);
      expect(askEmpty({ kind: "vine", transfersMax: 1 }).edges).toEqual([]);
      expect(askEmpty({ kind: "graph", grouping: "auto" }).nodes).toEqual([]);
    });
  });
}

test("answerFromReport() answers as the database does", () => {
  for (const db of [ended, going]) {
    const [one, other] = [fromDatabase(db), fromReport(db)];
    const questions: readonly Question[] = [
      { kind: "run" },
      { kind: "overview", points: 40 },
      tasks({ sort: "name" }),
      tasks({ search: "e 1", sort: "ended", isDescending: true, limit: 50 }),
      { kind: "task", taskId: 33 },
      { kind: "timeline", barsMax: 300 },
      { kind: "workers" },
      { kind: "worker", workerId: "w-0002" },
      files({ sort: "replicas", isDescending: true }),
      { kind: "levels" },
      { kind: "file", fileId: 2 },
      { kind: "transfers", isRunning: false, limit: 20 },
      { kind: "vine", transfersMax: 20 },
      { kind: "vine", fileId: 2, transfersMax: 20 },
      { kind: "graph", grouping: "tasks" },
    ];
    for (const question of questions) {
      expect(JSON.parse(JSON.stringify(other(question)))).toEqual(
        JSON.parse(JSON.stringify(one(question))),
      );
    }
  }
});
