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
    message: 'Cannot make file "temp" again: it was lost 2 times',
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
  const fixture = new ManagerFixture();
  const [one, other] = [fixture.temp("one"), fixture.temp("other")];
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [one, other] });
  fixture.finishes("a", maker);
  fixture.says("a", { kind: "replica_gone", name: "one" as CacheName, generation: 1 });
  const first = fixture.submits({ inputs: [one] });
  fixture.finishes("a", maker, { outcome: "exit" });
  expect(fixture.outcome(first)).toBe("input_missing");
  // The other output is still there, but cannot be made again when it is lost as well.
  const second = fixture.submits({ inputs: [other], cores: 4 });
  fixture.exits("a");
  expect(fixture.ends.get(second)?.message).toBe(
    'Cannot make file "other" again: the task that made it did not succeed',
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

test("startRecovery() makes only what is lost and still declared", () => {
  const fixture = new ManagerFixture();
  const [kept, gone, lost] = ["kept", "gone", "lost"].map((name) => fixture.temp(name));
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [kept!, gone!, lost!] });
  fixture.finishes("a", maker);
  fixture.feed({ kind: "file_undeclared", fileId: gone! });
  fixture.says("a", { kind: "replica_gone", name: "lost" as CacheName, generation: 1 });
  fixture.submits({ inputs: [lost!] });
  const [again] = fixture.toldOf("a", "dispatch")?.tasks ?? [];
  expect(again?.outputs.map(({ name }) => name)).toEqual(["lost" as CacheName]);
  fixture.finishes("a", maker);
  expect(fixture.file(kept!).generation).toBe(1);
  expect(fixture.file(lost!).generation).toBe(2);
});
