import { expect, test } from "bun:test";

import type { Policies } from "../../../manager/core/policy.ts";
import type { FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import type { TaskWish } from "./wishes.ts";

const PLAIN: Partial<Policies> = { dispatchAhead: 1, dispatchAheadMs: 0 };

/** Where tasks of these wishes went, each task having ended before the next one. */
function placesOf(fixture: ManagerFixture, ...wishes: TaskWish[]): string[] {
  return wishes.map((wish) => {
    const taskId = fixture.submits(wish);
    const worker = fixture.dispatched[0]?.split(" ")[0] ?? "nowhere";
    fixture.brings(worker);
    fixture.finishes(worker, taskId);
    return worker;
  });
}

test("chooseWorker() with placement disk takes the worker with most free disk", () => {
  const fixture = new ManagerFixture({ ...PLAIN, placement: "disk" });
  for (const name of ["a", "b", "c"]) fixture.joins(name, { cores: 2, diskBytes: 10_000 });
  fixture.holds("a", 5_000);
  fixture.holds("b", 1_000);
  fixture.holds("c", 3_000);
  expect(placesOf(fixture, {}, {})).toEqual(["b", "b"]);
  fixture.holds("b", 9_000);
  expect(placesOf(fixture, {})).toEqual(["c"]);
});

test("chooseWorker() with placement disk counts what is on its way to a worker", () => {
  const fixture = new ManagerFixture({ ...PLAIN, placement: "disk" });
  const file = fixture.local("large", { sizeBytes: 6_000 });
  fixture.joins("a", { cores: 2, diskBytes: 12_000 });
  fixture.joins("b", { cores: 2, diskBytes: 10_000 });
  fixture.submits({ inputs: [file] });
  expect(fixture.dispatched).toEqual(["a 1.1"]);
  fixture.submits({});
  expect(fixture.dispatched).toEqual(["b 2.1"]);
});

test("chooseWorker() with placement fast takes the worker whose tries ran shortest", () => {
  const fixture = new ManagerFixture({ ...PLAIN, placement: "fast" });
  for (const name of ["a", "b", "c"]) fixture.joins(name, { cores: 1 });
  const ranMs: Record<string, number> = { a: 100, b: 900, c: 30 };
  fixture.nowMs = 10_000;
  for (let round = 0; round < 4; round++) {
    const first = fixture.submits({}, {}, {}) - 2;
    for (const tryOf of fixture.dispatched) {
      const worker = tryOf.split(" ")[0]!;
      const taskId = Number(tryOf.split(" ")[1]!.split(".")[0]) as TaskId;
      expect(taskId).toBeGreaterThanOrEqual(first);
      fixture.nowMs += 1_000;
      fixture.finishes(worker, taskId, { ranMs: ranMs[worker]! });
    }
  }
  fixture.submits({}, {});
  expect(fixture.dispatched.map((tryOf) => tryOf[0])).toEqual(["c", "a"]);
});

test("chooseWorker() with placement random takes them all, and the same for the same seed", () => {
  const draw = (): string[] => {
    const fixture = new ManagerFixture({ ...PLAIN, placement: "random" });
    for (let index = 0; index < 8; index++) fixture.joins(`w${index}`, { cores: 1 + index });
    return placesOf(fixture, ...Array.from({ length: 64 }, () => ({})));
  };
  const places = draw();
  expect(new Set(places).size).toBe(8);
  expect(draw()).toEqual(places);
});

test("chooseWorker() passes over a worker without room on its disk while another has some", () => {
  const fixture = new ManagerFixture(PLAIN);
  const file = fixture.local("large", { sizeBytes: 4_000 });
  fixture.joins("a", { cores: 8, diskBytes: 10_000 });
  fixture.joins("b", { cores: 4, diskBytes: 10_000 });
  fixture.holds("a", 7_000);
  expect(placesOf(fixture, {}, { inputs: [file] })).toEqual(["a", "b"]);
  // It has the file by now, and the other one has none to spare for what a task states either.
  expect(placesOf(fixture, { inputs: [file] }, { diskBytes: 5_000 })).toEqual(["b", "b"]);
  fixture.holds("b", 8_000);
  // Nobody has room: what is idle has to go somewhere.
  expect(placesOf(fixture, { diskBytes: 5_000 })).toEqual(["a"]);
});

test("chooseWorker() leaves a holder without room for what most of the inputs take", () => {
  const fixture = new ManagerFixture(PLAIN);
  const [small, large] = [
    fixture.local("small", { sizeBytes: 1_000 }),
    fixture.local("large", { sizeBytes: 5_000 }),
  ];
  fixture.joins("a", { cores: 1, diskBytes: 10_000 });
  expect(placesOf(fixture, { inputs: [small] })).toEqual(["a"]);
  fixture.joins("b", { cores: 1, diskBytes: 10_000 });
  fixture.holds("a", 8_000);
  expect(placesOf(fixture, { inputs: [small, large] })).toEqual(["b"]);
});

test("chooseWorker() keeps to a holder of most of the inputs, which can make room for the rest", () => {
  const fixture = new ManagerFixture(PLAIN);
  const [small, large] = [
    fixture.local("small", { sizeBytes: 1_000 }),
    fixture.local("large", { sizeBytes: 5_000 }),
  ];
  fixture.joins("a", { cores: 1, diskBytes: 10_000 });
  expect(placesOf(fixture, { inputs: [large] })).toEqual(["a"]);
  fixture.joins("b", { cores: 1, diskBytes: 10_000 });
  fixture.holds("a", 9_500);
  expect(placesOf(fixture, { inputs: [small, large] })).toEqual(["a"]);
});

/** A cluster of a small and a large worker, the large one being busy for now. */
function twoDisks(): { fixture: ManagerFixture; files: FileId[]; busy: TaskId } {
  const fixture = new ManagerFixture(PLAIN);
  const files = ["left", "right"].map((name) => fixture.local(name, { sizeBytes: 6_000 }));
  fixture.joins("large", { cores: 1, diskBytes: 20_000 });
  const busy = fixture.submits({});
  fixture.joins("small", { cores: 1, diskBytes: 10_000 });
  return { fixture, files, busy };
}

test("setApart() has a task whose inputs are too large for a disk wait for a larger one", () => {
  const { fixture, files, busy } = twoDisks();
  const task = fixture.submits({ inputs: files });
  expect(fixture.dispatched).toEqual([]);
  // Others of its kind do not wait behind it.
  const other = fixture.submits({});
  expect(fixture.dispatched).toEqual([`small ${other}.1`]);
  fixture.finishes("large", busy);
  expect(fixture.dispatched).toEqual([`large ${task}.1`]);
});

test("setApart() leaves nothing of the task in the queue that it leaves", () => {
  const { fixture, files, busy } = twoDisks();
  const small = fixture.submits({});
  const task = fixture.submits({ inputs: files }, {}) - 1;
  expect(fixture.dispatched).toEqual([]);
  fixture.finishes("small", small);
  expect(fixture.dispatched).toEqual([`small ${task + 1}.1`]);
  fixture.finishes("large", busy);
  expect(fixture.dispatched).toEqual([`large ${task}.1`]);
});

test("setApart() fails a task whose inputs fit on no disk, naming them and the limit", () => {
  const { fixture, files } = twoDisks();
  const third = fixture.local("third", { sizeBytes: 9_000 });
  const task = fixture.submits({ inputs: [...files, third] });
  expect(fixture.outcome(task)).toBe("disk_full");
  expect(fixture.ends.get(task)?.message).toBe(
    "Cannot run the task: its inputs have 21000 bytes together, the largest, " +
      '"mount2", 9000, and no worker that could run it has more than 20000 bytes of disk',
  );
});

test("setApart() fails nothing before there is a worker", () => {
  const fixture = new ManagerFixture(PLAIN);
  const task = fixture.submits({ inputs: [fixture.local("file", { sizeBytes: 2 ** 41 })] });
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.joins("small", { diskBytes: 10_000 });
  expect(fixture.outcome(task)).toBe("disk_full");
});

test("tryOnLargerDisk() tries a task on the next larger disk, then says how large the last was", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("small", { cores: 3, diskBytes: 10_000 });
  fixture.joins("about", { cores: 2, diskBytes: 10_100 });
  fixture.joins("large", { cores: 1, diskBytes: 20_000 });
  const full = { outcome: "disk_full", message: "no room" } as const;
  const task = fixture.submits({});
  expect(fixture.dispatched).toEqual([`small ${task}.1`]);
  fixture.finishes("small", task, full);
  expect(fixture.dispatched).toEqual([`large ${task}.2`]);
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.finishes("large", task, full);
  expect(fixture.outcome(task)).toBe("disk_full");
  expect(fixture.ends.get(task)?.message).toBe(
    "no room; it was tried on 2 workers for want of disk, of which this is the one with most, " +
      "20000 bytes",
  );
});

test("tryOnLargerDisk() counts no disk of a worker with less than the min of the category", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.category("default", { min: { gpus: 1 } });
  fixture.joins("small", { gpus: 1, diskBytes: 10_000 });
  fixture.joins("large", { diskBytes: 90_000 });
  const task = fixture.submits({ request: {} });
  expect(fixture.dispatched).toEqual([`small ${task}.1`]);
  fixture.finishes("small", task, { outcome: "disk_full", message: "no room" });
  expect(fixture.outcome(task)).toBe("disk_full");
});

test("tryOnLargerDisk() counts no try against the task's own retries", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("small", { cores: 2, diskBytes: 10_000 });
  fixture.joins("large", { cores: 1, diskBytes: 20_000 });
  const task = fixture.submits({ retries: 1 });
  fixture.finishes("small", task, { outcome: "disk_full" });
  fixture.finishes("large", task, { outcome: "exit" });
  expect(fixture.outcome(task)).toBeUndefined();
  // It goes on among those that need a large disk.
  fixture.finishes("large", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("tryOnLargerDisk() gives a file that has no room to a worker with more, too", () => {
  const fixture = new ManagerFixture(PLAIN);
  const file = fixture.url("unknown");
  fixture.joins("small", { cores: 2, diskBytes: 10_000 });
  fixture.joins("large", { cores: 1, diskBytes: 20_000 });
  const task = fixture.submits({ inputs: [file] });
  expect(fixture.fetches).toEqual(["small unknown from url"]);
  fixture.failsToBring("small", { canRetry: false, isDiskFull: true });
  expect(fixture.dispatched).toEqual([`large ${task}.2`]);
});

test("chooseWorker() follows the placement of the task in place of the policy", () => {
  const fixture = new ManagerFixture(PLAIN);
  const file = fixture.local("large", { sizeBytes: 4_000 });
  fixture.joins("a", { cores: 2, diskBytes: 20_000 });
  expect(placesOf(fixture, { inputs: [file] })).toEqual(["a"]);
  fixture.joins("b", { cores: 4, diskBytes: 20_000 });
  fixture.joins("c", { cores: 2, diskBytes: 90_000 });
  const inputs = [file];
  expect(placesOf(
    fixture,
    { inputs },
    { inputs, placement: "disk" },
    { placement: "disk" },
    { placement: "spread" },
    { inputs, placement: "files" },
  )).toEqual(["a", "c", "c", "b", "a"]);
  const random = Array.from({ length: 40 }, (): TaskWish => ({ placement: "random" }));
  expect(new Set(placesOf(fixture, ...random)).size).toBe(3);
});
