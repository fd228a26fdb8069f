import { expect, test } from "bun:test";

import type { FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const PLAIN = { dispatchAhead: 1, dispatchAheadMs: 0 };

/** A temp that only "a" has, of workers "a" with one core and "b" with eight. */
function madeAtA(): { fixture: ManagerFixture; temp: FileId; maker: TaskId } {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.joins("b", { cores: 8 });
  return { fixture, temp, maker };
}

test("placeStrict() waits for room where the input is, and keeps nobody else waiting", () => {
  const { fixture, temp } = madeAtA();
  const strict = { inputs: [temp], strict: [temp] };
  const first = fixture.submits(strict, strict, {}) - 2;
  expect(fixture.dispatched.sort()).toEqual([`a ${first}.1`, `b ${first + 2}.1`]);
  expect(fixture.task(first + 1 as TaskId).hold).toEqual({ kind: "strict_input" });
  expect(fixture.fetches).toEqual([]);
  fixture.finishes("a", first as TaskId);
  expect(fixture.dispatched).toEqual([`a ${first + 1}.1`]);
});

test("placeStrict() gives the best of those that wait to a holder first", () => {
  const { fixture, temp } = madeAtA();
  const strict = { inputs: [temp], strict: [temp] };
  const busy = fixture.submits(strict);
  const [low, high] = [fixture.submits(strict), fixture.submits({ ...strict, priority: 5 })];
  fixture.finishes("a", busy);
  expect(fixture.dispatched).toEqual([`a ${high}.1`]);
  fixture.finishes("a", high);
  expect(fixture.dispatched).toEqual([`a ${low}.1`]);
});

test("placeStrict() ends a task whose strict input is nowhere and comes nowhere, by its name", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a");
  const file = fixture.local("file");
  const task = fixture.submits({ inputs: [file], strict: [file] });
  expect(fixture.ends.get(task)).toMatchObject({
    outcome: "unsatisfiable",
    mount: "mount0",
    message: 'Cannot run the task: its strict input "mount0" is at no worker, and nothing brings ' +
      "it there",
  });
});

test("placeStrict() waits for a transfer, for another task, and for copies that are wanted", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { cores: 4 });
  const [one, two] = [fixture.local("one"), fixture.local("two")];
  const bringer = fixture.submits({ inputs: [one] });
  const task = fixture.submits({ inputs: [one], strict: [one] });
  fixture.feed({ kind: "file_replicated", fileId: two, count: 1 });
  const other = fixture.submits({ inputs: [two], strict: [two] });
  expect(fixture.ends.size).toBe(0);
  fixture.brings("a");
  expect(fixture.dispatched.sort()).toEqual([`a ${task}.1`, `a ${other}.1`]);
  fixture.finishes("a", bringer);
});

test("placeStrict() ends a task once the one that was to bring its input has gone", () => {
  const fixture = new ManagerFixture(PLAIN);
  const file = fixture.local("file");
  const bringer = fixture.submits({ inputs: [file], gpus: 1 });
  const task = fixture.submits({ inputs: [file], strict: [file] });
  fixture.joins("a");
  expect(fixture.task(task).hold?.kind).toBe("strict_input");
  fixture.cancels(bringer);
  expect(fixture.outcome(task)).toBe("unsatisfiable");
});

test("placeStrict() names all inputs when no worker has them together", () => {
  const { fixture, temp } = madeAtA();
  const other = fixture.temp("other");
  const busy = fixture.submits({});
  const maker = fixture.submits({ outputs: [other] });
  fixture.finishes("b", maker);
  const both = [temp, other];
  const task = fixture.submits({ inputs: both, strict: both });
  expect(fixture.ends.get(task)?.message).toContain(
    'no worker has all of its strict inputs "mount0", "mount1"',
  );
  expect(fixture.task(busy).state.kind).toBe("dispatched");
});

test("placeStrict() waits for a lost input to be made again, and goes where that is", () => {
  const { fixture, temp, maker } = madeAtA();
  const strict = { inputs: [temp], strict: [temp] };
  const busy = fixture.submits(strict);
  const task = fixture.submits(strict);
  fixture.exits("a");
  fixture.finishes("b", maker);
  expect(fixture.dispatched).toEqual([`b ${busy}.2`, `b ${task}.1`]);
});

test("placeStrict() leaves a worker alone that has the input and never fits the task", () => {
  const { fixture, temp } = madeAtA();
  const strict = { inputs: [temp], strict: [temp] };
  fixture.feed({ kind: "file_replicated", fileId: temp, count: 2 });
  const large = fixture.submits({ ...strict, cores: 4 });
  const busy = fixture.submits(strict);
  const small = fixture.submits(strict);
  fixture.finishes("a", busy);
  expect(fixture.dispatched).toEqual([`a ${small}.1`]);
  fixture.brings("b");
  expect(fixture.dispatched).toEqual([`b ${large}.1`]);
});

test("placeStrict() ends a task whose input is where it never fits once nobody brings it on", () => {
  const { fixture, temp } = madeAtA();
  const other = fixture.submits({ inputs: [temp] });
  const large = fixture.submits({ inputs: [temp], strict: [temp], cores: 4 });
  expect(fixture.task(large).hold?.kind).toBe("strict_input");
  fixture.finishes("a", other);
  expect(fixture.ends.get(large)).toMatchObject({ outcome: "unsatisfiable" });
  expect(fixture.ends.get(large)?.message).toContain("at workers that could not run it");
});

test("wakeStrict() places what its category has asked too much for, once it asks for less", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a", { memoryBytes: 1e9 });
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  fixture.joins("b", { memoryBytes: 8e9 });
  fixture.category("guessed", { first: { memoryBytes: 4e9 } });
  const task = fixture.submits({
    inputs: [temp],
    strict: [temp],
    category: "guessed",
    request: { cores: 1 },
  });
  expect(fixture.task(task).hold?.kind).toBe("strict_input");
  fixture.category("guessed", { first: { memoryBytes: 5e8 } });
  expect(fixture.dispatched).toEqual([`a ${task}.1`]);
});

test("recallSome() takes no strict task to a worker without its input", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  const strict = { inputs: [temp], strict: [temp] };
  fixture.submits(strict, strict);
  fixture.starts("a", 2 as TaskId);
  fixture.joins("b");
  expect(fixture.told("a")).toEqual([]);
  expect(fixture.state.workers.get(idOf("a"))?.tries.size).toBe(2);
});

test("callOffIfUnwanted() lets a recovery that waited for room begin anew another time", () => {
  const { fixture, temp } = madeAtA();
  const made = fixture.temp("made");
  const maker = fixture.submits({ inputs: [temp], strict: [temp], outputs: [made] });
  fixture.finishes("a", maker);
  const busy = fixture.submits({ inputs: [temp], strict: [temp] });
  const [facts] = [fixture.lastFacts("made")];
  fixture.says("a", { kind: "replica_gone", name: facts.name, generation: facts.generation });
  const first = fixture.submits({ inputs: [made] });
  expect(fixture.task(maker).hold?.kind).toBe("strict_input");
  fixture.cancels(first);
  expect(fixture.task(maker).state.kind).toBe("done");
  fixture.finishes("a", busy);
  fixture.submits({ inputs: [made] });
  expect(fixture.dispatched).toEqual([`a ${maker}.2`]);
});

test("hasStrictTask() has idle instances make room for a task that can run nowhere else", () => {
  const { fixture, temp } = madeAtA();
  fixture.library("library", fixture.local("module"));
  fixture.feed({ kind: "host_changed", host: "host of b", change: "block", forMs: Infinity });
  const call = fixture.submits({ library: "library" });
  const { instanceId } = fixture.toldOf("a", "start_instance")!;
  fixture.brings("a");
  fixture.says("a", { kind: "instance_ready", instanceId });
  const strict = fixture.submits({ inputs: [temp], strict: [temp] });
  expect(fixture.task(strict).hold?.kind).toBe("strict_input");
  fixture.finishes("a", call);
  expect(fixture.toldOf("a", "stop_instance")).toMatchObject({ instanceId });
  fixture.says("a", { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
  expect(fixture.dispatched).toEqual([`a ${strict}.1`]);
});
