/** What answers questions about tasks: a database, and a report of it. */

import { afterAll, describe, expect, test } from "bun:test";

import type { TaskRow } from "../../../manager/dashboard/api.ts";
import {
  type Ask,
  hasFailed,
  idsOf,
  IMPLEMENTATIONS,
  numbersOf,
  openAnsweredRuns,
  tasks,
  type TasksQuestion,
} from "./answered_runs.ts";

const runs = openAnsweredRuns();
afterAll(() => runs[Symbol.dispose]());
const { ended, endedRun, going, goingRun } = runs;

for (const [name, ofDatabase] of IMPLEMENTATIONS) {
  describe(name, () => {
    const askEnded = ofDatabase(ended);
    const askGoing = ofDatabase(going);

    test("filters tasks by state, outcome, category, kind and worker", () => {
      const found = (ask: Ask, question: Partial<TasksQuestion>): readonly number[] => {
        const { total, rows } = ask(tasks(question));
        expect(total).toBe(rows.length);
        return idsOf(rows);
      };
      expect(found(askGoing, { states: ["running", "dispatched"] })).toEqual(
        numbersOf(goingRun, ({ state }) => state === "running" || state === "dispatched"),
      );
      expect(found(askEnded, { outcomes: ["failed"] })).toEqual(numbersOf(endedRun, hasFailed));
      expect(found(askEnded, { outcomes: ["failed", "success"] })).toEqual(
        numbersOf(endedRun, ({ outcome }) => outcome !== "cancelled"),
      );
      expect(found(askEnded, { outcomes: [] })).toEqual([]);
      expect(found(askEnded, { category: "align", workerId: "w-0002" })).toEqual(
        numbersOf(endedRun, (task) => task.category === "align" && task.workerId === "w-0002"),
      );
      expect(found(askEnded, { taskKind: "call" })).toEqual(
        numbersOf(endedRun, ({ kind }) => kind === "call"),
      );
    });

    test("finds tasks that have all words, in whatever column", () => {
      const found = (search: string): readonly number[] => idsOf(askEnded(tasks({ search })).rows);
      expect(found("ALIGN s000017")).toEqual([17]);
      expect(found("377")).toContain(377);
      expect(found("scoring")).toEqual(numbersOf(endedRun, ({ library }) => library !== null));
      expect(found("batch_3%")).toEqual(
        numbersOf(endedRun, ({ tag }) => tag?.includes("batch_3%") ?? false),
      );
      expect(found("  ").length).toBe(400);
      expect(found("no such words")).toEqual([]);
    });

    test("takes what LIKE and SQL give a meaning as it stands", () => {
      const found = (search: string): readonly number[] => idsOf(askEnded(tasks({ search })).rows);
      expect(found("50%_\\x")).toEqual([7]);
      expect(found("5_%")).toEqual([]);
      expect(found("\\")).toEqual([7]);
      expect(found("o'neil; drop")).toEqual([9]);
      expect(found("\u{1F33F}")).toEqual([7]);
      expect(found("ÄRGER")).toEqual([8]);
      // Only letters of ASCII are alike in either size.
      expect(found("ärger")).toEqual([]);
      expect(found("vine\0nothing")).toEqual([]);
      expect(found("\0")).toEqual(found(""));
    });

    test("sorts tasks by each column either way, what is not known last", () => {
      const keys: readonly [TasksQuestion["sort"], (task: TaskRow) => string | number | null][] = [
        ["id", ({ taskId }) => taskId],
        ["category", ({ category }) => category],
        ["outcome", ({ outcome }) => outcome],
        ["try", (task) => task.try],
        ["host", ({ host }) => host],
        ["submitted", ({ submittedAtMs }) => submittedAtMs],
        ["started", ({ startedAtMs }) => startedAtMs],
        ["ended", ({ endedAtMs }) => endedAtMs],
        ["ran", ({ ranMs }) => ranMs],
        ["cores", ({ usedCores }) => usedCores],
        ["memory", ({ usedMemoryBytes }) => usedMemoryBytes],
        ["disk", ({ usedDiskBytes }) => usedDiskBytes],
      ];
      for (const [sort, key] of keys) {
        for (const isDescending of [false, true]) {
          const { rows } = askGoing(tasks({ sort, isDescending }));
          expect(rows.length).toBe(400);
          const expected = rows.toSorted((a, b) => {
            const [left, right] = [key(a), key(b)];
            if (left === right) return a.taskId - b.taskId;
            if (left === null || right === null) return left === null ? 1 : -1;
            return (left < right ? -1 : 1) * (isDescending ? -1 : 1);
          });
          expect(idsOf(rows)).toEqual(idsOf(expected));
        }
      }
    });

    test("sorts names by their code points", () => {
      const { rows } = askEnded(tasks({ sort: "name", isDescending: true, limit: 3 }));
      expect(rows.map(({ name }) => name)).toEqual([
        "\u{1F33F} vine",
        "\uFFFD last",
        "score_reads",
      ]);
    });

    test("tells a part of a table, and how many there are", () => {
      const question = tasks({ sort: "memory", isDescending: true });
      const whole = askEnded(question);
      const part = askEnded({ ...question, offset: 37, limit: 11 });
      expect(part).toEqual({ total: 400, rows: whole.rows.slice(37, 48) });
      expect(askEnded({ ...question, offset: 9_999 })).toEqual({ total: 400, rows: [] });
    });

    test("tells one task with its tries, its files and who reads them", () => {
      const retried = endedRun.tasks.find((task) =>
        task.tryCount > 1 && task.category === "fetch"
      )!;
      const { taskId } = retried;
      const task = askEnded({ kind: "task", taskId })!;
      const attempts = endedRun.attempts.filter((row) => row.taskId === taskId);
      expect(task.tries.map(({ workerId, outcome }) => [workerId, outcome])).toEqual(
        attempts.map(({ workerId, outcome }) => [workerId, outcome]),
      );
      expect(task.command).toBe(retried.command);
      expect(task.used).toMatchObject({ memoryBytes: retried.usedMemoryBytes, processCount: 1 });
      expect(task.requested).toEqual({ cores: 1, memoryBytes: 2e9, diskBytes: null, gpus: null });
      const output = endedRun.mounts.find((row) => row.taskId === taskId && row.role === "output")!;
      const readers = endedRun.mounts.filter(({ fileId, role }) =>
        fileId === output.fileId && role === "input"
      );
      expect(task.consumers).toEqual(readers.map((row) => row.taskId));
      expect(task.mounts.map(({ role }) => role)).toEqual(["input", "output"]);
      expect(task.isPartial).toBe(false);
      const failed = endedRun.tasks.find(({ outcome }) => outcome === "exit");
      if (failed !== undefined) {
        const { stderrTail, exitCode } = askEnded({ kind: "task", taskId: failed.taskId })!;
        expect([stderrTail, exitCode]).toEqual([failed.stderrTail, 1]);
      }
      expect(askEnded({ kind: "task", taskId: 401 })).toBeNull();
    });
  });
}
