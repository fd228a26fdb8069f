import { expect, test } from "bun:test";

import type { CacheName, FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

/** A temp made at `a`, which is lost then; `b` is there to make it again. */
function madeAndLost(fixture: ManagerFixture): { maker: TaskId; temp: FileId } {
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.exits("a");
  fixture.joins("b");
  return { maker, temp };
}

test("recoverIfWanted() leaves a lost temp lost until somebody wants it", () => {
  const fixture = new ManagerFixture();
  const { maker, temp } = madeAndLost(fixture);
  expect(fixture.dispatched).toEqual([]);
  fixture.submits({ inputs: [temp] });
  expect(fixture.dispatched).toEqual([`b ${maker}.2`]);
  expect(fixture.state.counters.recoveries).toBe(1);
});

test("recoverIfWanted() makes the next generation, which the consumer then reads", () => {
  const fixture = new ManagerFixture();
  const { maker, temp } = madeAndLost(fixture);
  const consumer = fixture.submits({ inputs: [temp] });
  fixture.finishes("b", maker);
  expect(fixture.dispatched).toEqual([`b ${consumer}.1`]);
  expect(fixture.toldOf("b", "dispatch")?.tasks[0]?.inputs[0]).toMatchObject({
    name: "temp",
    generation: 2,
  });
  // The handle settled with the first making and does not settle again.
  expect(fixture.ends.get(maker)?.try).toBe(1);
});

test("recoverIfWanted() says when the new making differs from the old one", () => {
  const fixture = new ManagerFixture();
  const { maker, temp } = madeAndLost(fixture);
  fixture.submits({ inputs: [temp] });
  fixture.finishes("b", maker, { digest: "another" });
  expect(fixture.facts).toContainEqual({ kind: "nondeterministic", fileId: temp, taskId: maker });
});

test("recoverIfWanted() follows a chain of lost temps of any length", () => {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  const count = 5_000;
  fixture.joins("a");
  const files = fixture.temps("chain", count);
  const last = fixture.submits(...files.map((file, index) => {
    return { inputs: index === 0 ? [] : [files[index - 1]!], outputs: [file] };
  }));
  fixture.checksInvariants = false;
  for (let taskId = 1; taskId <= last; taskId++) fixture.finishes("a", taskId as TaskId);
  fixture.checksInvariants = true;
  fixture.exits("a");
  fixture.submits({ inputs: [files.at(-1)!] });
  expect(fixture.state.counters.recoveries).toBe(count);
  fixture.joins("b");
  expect(fixture.dispatched).toEqual(["b 1.2"]);
});

test("recoverIfWanted() gives up after recoveryTries", () => {
  const fixture = new ManagerFixture({ recoveryTries: 1 });
  const { maker, temp } = madeAndLost(fixture);
  const consumer = fixture.submits({ inputs: [temp] });
  fixture.finishes("b", maker);
  fixture.exits("b");
  expect(fixture.ends.get(consumer)).toMatchObject({
    outcome: "input_missing",
    message: 'Cannot make file "temp" again: task 1, which makes it, has run again as often as ' +
      "recoveryTries allows (1); its copies were lost 2 times",
  });
});

test("recoverIfWanted() fails consumers at once when recovery is off", () => {
  const fixture = new ManagerFixture({ recovery: "off" });
  const { temp } = madeAndLost(fixture);
  const consumer = fixture.submits({ inputs: [temp] });
  expect(fixture.ends.get(consumer)).toMatchObject({
    outcome: "input_missing",
    message: 'Cannot read file "temp": its replicas are lost and recovery is off',
  });
});

test("recoverIfWanted() fails who needs a temp whose producer failed when it ran again", () => {
  const fixture = new ManagerFixture({ recoveryTries: 2 });
  const [one, other] = [fixture.temp("one"), fixture.temp("other")];
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [one, other] });
  fixture.finishes("a", maker);
  fixture.says("a", { kind: "replica_gone", name: "one" as CacheName, generation: 1 });
  const first = fixture.submits({ inputs: [one] });
  fixture.finishes("a", maker, { outcome: "exit" });
  expect(fixture.dispatched).toEqual([`a ${maker}.3`]);
  fixture.finishes("a", maker, { outcome: "exit", message: "no luck" });
  expect(fixture.ends.get(first)).toMatchObject({
    outcome: "input_missing",
    message: 'Cannot make file "one" again: task 1, which makes it, ended as exit: no luck',
  });
  // The other output is still there, but cannot be made again when it is lost as well.
  const second = fixture.submits({ inputs: [other], cores: 4 });
  fixture.exits("a");
  expect(fixture.ends.get(second)?.message).toBe(
    'Cannot make file "other" again: task 1, which makes it, ended as exit: no luck',
  );
});

test("recoverIfWanted() fails who needs a temp that is made of one that failed", () => {
  const fixture = new ManagerFixture({ recoveryTries: 0 });
  const [first, second] = [fixture.temp("first"), fixture.temp("second")];
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [first] }));
  fixture.finishes("a", fixture.submits({ inputs: [first], outputs: [second] }));
  fixture.says("a", { kind: "replica_gone", name: "first" as CacheName, generation: 1 });
  expect(fixture.outcome(fixture.submits({ inputs: [first] }))).toBe("input_missing");
  fixture.feed({ kind: "policies_set", policies: { ...fixture.state.policies, recoveryTries: 5 } });
  fixture.says("a", { kind: "replica_gone", name: "second" as CacheName, generation: 1 });
  expect(fixture.outcome(fixture.submits({ inputs: [second] }))).toBe("input_missing");
});

test("callOffIfUnwanted() ends a recovery when a holder comes back", () => {
  const fixture = new ManagerFixture();
  const { maker, temp } = madeAndLost(fixture);
  const consumer = fixture.submits({ inputs: [temp], cores: 2 });
  fixture.starts("b", maker);
  const replica = { ...fixture.lastFacts("temp"), level: "workflow" as const };
  fixture.joins("a", { incarnation: "2", cores: 2, hello: { replicas: [replica] } });
  expect(fixture.toldOf("b", "kill")).toEqual({ kind: "kill", taskId: maker, try: 2 });
  expect(fixture.dispatched).toEqual([`a ${consumer}.1`]);
});

test("callOffIfUnwanted() ends a recovery when its consumer is cancelled", () => {
  const fixture = new ManagerFixture();
  const { maker, temp } = madeAndLost(fixture);
  const consumer = fixture.submits({ inputs: [temp] });
  fixture.cancels(consumer);
  expect(fixture.toldOf("b", "kill")).toEqual({ kind: "kill", taskId: maker, try: 2 });
  expect(fixture.task(maker).state.kind).toBe("done");
});

test("startRecovery() makes all that is still declared, so that it is of one run", () => {
  const fixture = new ManagerFixture();
  const [kept, gone, lost] = ["kept", "gone", "lost"].map((name) => fixture.temp(name));
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [kept!, gone!, lost!] });
  fixture.finishes("a", maker);
  fixture.feed({ kind: "file_undeclared", fileId: gone! });
  fixture.says("a", { kind: "replica_gone", name: "lost" as CacheName, generation: 1 });
  fixture.submits({ inputs: [lost!] });
  const [again] = fixture.toldOf("a", "dispatch")?.tasks ?? [];
  expect(again?.outputs.map(({ name }) => name)).toEqual(["kept", "lost"] as CacheName[]);
  const consumer = fixture.submits({ inputs: [kept!, lost!], cores: 2 });
  fixture.finishes("a", maker);
  fixture.joins("b", { cores: 2 });
  const [read] = fixture.toldOf("b", "dispatch")?.tasks ?? [];
  expect(read?.taskId).toBe(consumer);
  expect(read?.inputs.map(({ generation }) => generation)).toEqual([2, 2]);
});

/** Temps made at `a` by one task each, which are lost with it; `b` is there to make them again. */
function manyLost(fixture: ManagerFixture, count: number): FileId[] {
  fixture.joins("a");
  const temps = fixture.temps("temp", count);
  fixture.submits(...temps.map((temp) => ({ outputs: [temp] })));
  for (let taskId = 1; taskId <= count; taskId++) fixture.finishes("a", taskId as TaskId);
  fixture.exits("a");
  fixture.joins("b");
  return temps;
}

test("remakeLost() makes a lost temp again though nobody waits for it", () => {
  const fixture = new ManagerFixture({ recovery: "immediate" });
  const { maker, temp } = madeAndLost(fixture);
  fixture.passes(0);
  expect(fixture.dispatched).toEqual([`b ${maker}.2`]);
  expect(fixture.state.counters).toMatchObject({ recoveries: 1, recoveriesRunning: 1 });
  fixture.finishes("b", maker);
  expect(fixture.file(temp)).toMatchObject({ isAvailable: true, generation: 2 });
  expect(fixture.state.counters).toMatchObject({ recoveriesWaiting: 0, recoveriesRunning: 0 });
});

test("remakeLost() begins with what is lost when the policy changes, a part in each step", () => {
  const fixture = new ManagerFixture();
  manyLost(fixture, 150);
  expect(fixture.state.lost.size).toBe(150);
  expect(fixture.state.counters.recoveries).toBe(0);
  const policies = { ...fixture.state.policies, recovery: "immediate" } as const;
  fixture.feed({ kind: "policies_set", policies });
  expect(fixture.state.counters.recoveries).toBe(100);
  fixture.passes(0);
  expect(fixture.state.counters.recoveries).toBe(150);
  expect(fixture.state.lost.size).toBe(0);
});

test("remakeLost() leaves what was pruned, given up or is spent", () => {
  const fixture = new ManagerFixture();
  const [pruned, given, spent, kept] = manyLost(fixture, 4);
  fixture.feed({ kind: "file_pruned", fileId: pruned!, requestId: 1 });
  fixture.feed({ kind: "file_undeclared", fileId: given! });
  for (const file of [spent!, kept!]) fixture.file(file).consumed.succeeded = 1;
  fixture.file(kept!).consumed.failed = 1;
  const policies = { ...fixture.state.policies, recovery: "immediate", pruneTemps: "depth:1" };
  fixture.feed({ kind: "policies_set", policies: policies as typeof fixture.state.policies });
  fixture.passes(0);
  expect(fixture.dispatched).toEqual([`b 4.2`]);
});

test("remakeLost() goes as deep as needed", () => {
  const fixture = new ManagerFixture({ recovery: "immediate" });
  fixture.joins("a");
  const [first, second] = [fixture.temp("first"), fixture.temp("second")];
  fixture.finishes("a", fixture.submits({ outputs: [first] }));
  fixture.finishes("a", fixture.submits({ inputs: [first], outputs: [second] }));
  // Needed no more but for what is made of it.
  fixture.feed({ kind: "file_undeclared", fileId: first });
  fixture.exits("a");
  fixture.joins("b");
  fixture.passes(0);
  expect(fixture.dispatched).toEqual(["b 1.2"]);
  fixture.finishes("b", 1 as TaskId);
  expect(fixture.dispatched).toEqual(["b 2.2"]);
});

test("remakeLost() is called off when its file is given up", () => {
  const fixture = new ManagerFixture({ recovery: "immediate" });
  const { maker, temp } = madeAndLost(fixture);
  fixture.passes(0);
  fixture.feed({ kind: "file_undeclared", fileId: temp });
  expect(fixture.toldOf("b", "kill")).toEqual({ kind: "kill", taskId: maker, try: 2 });
  expect(fixture.facts).toContainEqual({
    kind: "recovery_ended",
    taskId: maker,
    outcome: "cancelled",
    message: "",
  });
});

test("recoverIfWanted() runs one recovery for all who wait, whatever the policy", () => {
  const fixture = new ManagerFixture({ recovery: "immediate" });
  const { maker, temp } = madeAndLost(fixture);
  fixture.submits({ inputs: [temp] }, { inputs: [temp] });
  fixture.passes(0);
  fixture.feed({ kind: "file_requested", fileId: temp, requestId: 1 });
  expect(fixture.state.counters.recoveries).toBe(1);
  // The task has been returned: it cannot be cancelled any more, nor can its recovery.
  fixture.cancels(maker);
  expect(fixture.task(maker).state.kind).toBe("dispatched");
  fixture.finishes("b", maker);
  expect(fixture.facts).toContainEqual({
    kind: "recovery_ended",
    taskId: maker,
    outcome: "success",
    message: "",
  });
});

test("startRecovery() gives a run the losses that its task may have", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp], workerLosses: 1 });
  fixture.starts("a", maker);
  fixture.exits("a");
  fixture.joins("b");
  fixture.finishes("b", maker);
  fixture.exits("b");
  fixture.joins("c");
  const consumer = fixture.submits({ inputs: [temp] });
  fixture.starts("c", maker);
  fixture.exits("c");
  expect(fixture.outcome(consumer)).toBeUndefined();
  fixture.joins("d");
  fixture.starts("d", maker);
  fixture.exits("d");
  expect(fixture.ends.get(consumer)?.message).toBe(
    'Cannot make file "temp" again: task 1, which makes it, ended as worker_lost: The task is ' +
      "suspected of ending its workers: 2 workers were lost while it ran there, c on host of c, " +
      "d on host of d",
  );
});
