import { expect, test } from "bun:test";

import type { FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf, type TaskWish } from "./wishes.ts";

const GROUPS = { taskGroups: true, dispatchAhead: 1, dispatchAheadMs: 0 };

/** Submits a chain; returns the numbers of its links. */
function chain(fixture: ManagerFixture, name: string, ...wishes: TaskWish[]): TaskId[] {
  let before: FileId | undefined;
  const temps = wishes.map((_, index) => fixture.temp(`${name}${index}`));
  const links = wishes.map((wish, index): TaskWish => {
    const inputs = before === undefined ? [] : [before];
    before = temps[index]!;
    return { ...wish, inputs: [...inputs, ...wish.inputs ?? []], outputs: [before] };
  });
  const last = fixture.submits(...links);
  return links.map((_, index) => last - links.length + 1 + index as TaskId);
}

test("leadGroup() dispatches a chain to one worker, and the next chain to another", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a");
  fixture.joins("b");
  const [first, second, third] = chain(fixture, "x", {}, {}, {});
  expect(fixture.dispatched).toEqual([`a ${first}.1`, `a ${second}.1`, `a ${third}.1`]);
  const dispatch = fixture.toldOf("a", "dispatch")!;
  // It waits for the making that is to come.
  expect(dispatch.tasks.map(({ inputs }) => inputs[0]?.generation)).toEqual([undefined, 1, 1]);
  expect(fixture.fetches).toEqual([]);
  const other = chain(fixture, "y", {}, {});
  expect(fixture.dispatched).toEqual(other.map((taskId) => `b ${taskId}.1`));
});

test("promoteFollower() gives a link the room of the one before, and nobody else", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a");
  const [first, second, third] = chain(fixture, "x", {}, {}, {});
  const alone = fixture.submits({});
  for (const link of [first, second, third] as TaskId[]) {
    expect(fixture.task(alone).state.kind).toBe("ready");
    expect(fixture.state.workers.get(idOf("a"))?.committed.cores).toBe(1);
    fixture.starts("a", link);
    fixture.finishes("a", link);
    expect(fixture.outcome(link)).toBe("success");
  }
  expect(fixture.dispatched).toEqual([`a ${alone}.1`]);
});

test("leadGroup() keeps a chain at a bounded length, and goes on with it", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a");
  const links = chain(fixture, "x", ...Array.from({ length: 40 }, () => ({})));
  expect(fixture.state.counters.dispatched).toBe(17);
  for (const link of links) fixture.finishes("a", link);
  expect(fixture.ends.size).toBe(40);
});

test("joinGroup() has a link follow that is submitted while the one before runs", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a");
  const temp = fixture.temp("temp");
  const first = fixture.submits({ outputs: [temp] });
  fixture.starts("a", first);
  const second = fixture.submits({ inputs: [temp] });
  expect(fixture.dispatched).toEqual([`a ${second}.1`]);
});

test("dropFollower() takes links back when the first fails, is cancelled or lost", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a");
  const [first, second, third] = chain(fixture, "x", { retries: 1 }, {}, {}) as [
    TaskId,
    TaskId,
    TaskId,
  ];
  fixture.starts("a", first);
  fixture.finishes("a", first, { outcome: "exit" });
  const kills = fixture.told("a").filter(({ kind }) => kind === "kill");
  expect(kills).toMatchObject([{ taskId: second, try: 1 }, { taskId: third, try: 1 }]);
  // With the second try of the first go second tries of the others.
  expect(fixture.dispatched).toEqual([`a ${first}.2`, `a ${second}.2`, `a ${third}.2`]);
  expect(fixture.toldOf("a", "dispatch")?.tasks[1]?.inputs[0]?.generation).toBe(2);
  fixture.joins("b");
  fixture.exits("a");
  expect(fixture.dispatched).toEqual([`b ${first}.3`, `b ${second}.3`, `b ${third}.3`]);
  expect(fixture.task(second).lossCount).toBe(0);
  fixture.cancels(first);
  expect(fixture.outcome(third)).toBe("input_missing");
  expect(fixture.told("b").filter(({ kind }) => kind === "kill").length).toBe(3);
});

test("dropFollower() takes links back of a try that is recalled for an idle worker", () => {
  const fixture = new ManagerFixture({ ...GROUPS, dispatchAhead: 2 });
  fixture.joins("a");
  const busy = fixture.submits({});
  const [first, second] = chain(fixture, "x", {}, {}) as [TaskId, TaskId];
  fixture.starts("a", busy);
  fixture.joins("b");
  expect(fixture.toldOf("a", "recall")).toMatchObject({ taskId: first });
  fixture.says("a", { kind: "recalled", taskId: first, try: 1 });
  expect(fixture.dispatched).toEqual([`b ${first}.2`, `b ${second}.2`]);
});

test("leadGroup() leaves tasks alone that need more, others' temps, or are read by several", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a", { cores: 2 });
  chain(fixture, "x", {}, { cores: 2 });
  const shared = fixture.temp("shared");
  fixture.submits({ outputs: [shared] }, { inputs: [shared] }, { inputs: [shared] });
  expect(fixture.state.counters.dispatched).toBe(2);
});

test("leadGroup() does nothing while the policy is off", () => {
  const fixture = new ManagerFixture({ ...GROUPS, taskGroups: false });
  fixture.joins("a");
  chain(fixture, "x", {}, {});
  expect(fixture.state.counters.dispatched).toBe(1);
});

test("reconcile() keeps links that the worker knows, and gives back those that it does not", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a");
  const [first, second] = chain(fixture, "x", {}, {}) as [TaskId, TaskId];
  fixture.breaks("a");
  fixture.returns("a", {
    tries: [
      { taskId: first, try: 1, phase: "running" },
      { taskId: second, try: 1, phase: "staging" },
    ],
  });
  expect(fixture.dispatched).toEqual([]);
  fixture.breaks("a");
  fixture.returns("a", { tries: [] });
  expect(fixture.dispatched).toEqual([`a ${first}.2`, `a ${second}.2`]);
});

test("dropFollower() gives a link back whose forerunner has failed, and left something", () => {
  const fixture = new ManagerFixture(GROUPS);
  const [log, made] = [fixture.local("log"), fixture.temp("made")];
  fixture.joins("a");
  const first = fixture.submits({ outputs: [made], failureOutputs: [log] });
  const second = fixture.submits({ inputs: [made] });
  expect(fixture.task(second).state.kind).toBe("dispatched");
  fixture.finishes("a", first, { outcome: "exit" });
  expect(fixture.task(first).state.kind).toBe("retrieving");
  expect(fixture.task(second).state.kind).toBe("waiting");
  fixture.delivers(log);
  expect(fixture.outcome(second)).toBe("input_missing");
});

test("leadGroup() counts no cores of a category for links that hold none", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a");
  const [first] = chain(fixture, "x", {}, {}, {}, {});
  const { category } = fixture.task(first!).taskClass;
  expect(category).toMatchObject({ runningCount: 4, heldCores: 1 });
  fixture.finishes("a", first!);
  expect(category).toMatchObject({ runningCount: 3, heldCores: 1 });
});

test("promoteFollower() has a link given back by a worker that gets nothing more", () => {
  const fixture = new ManagerFixture(GROUPS);
  fixture.joins("a", { host: "north" });
  const [first, second] = chain(fixture, "x", {}, {});
  fixture.starts("a", first!);
  fixture.feed({ kind: "host_changed", host: "north", change: "block", forMs: Infinity });
  fixture.finishes("a", first!);
  expect(fixture.toldOf("a", "recall")).toMatchObject({ taskId: second });
});
