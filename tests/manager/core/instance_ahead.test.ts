import { expect, test } from "bun:test";

import type { LibrarySpec } from "../../../manager/core/event.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";

/** A library of which `instanceCount` are kept, and no worker. */
function keeping(instanceCount: number, wish: Partial<LibrarySpec> = {}): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"), { instanceCount, ...wish });
  return fixture;
}

/** How many instances `worker` was told to start in the last step. */
function startsAt(fixture: ManagerFixture, worker: string): number {
  return fixture.told(worker).filter(({ kind }) => kind === "start_instance").length;
}

function becomesReady(fixture: ManagerFixture, worker: string): void {
  fixture.says(worker, { kind: "instance_ready", instanceId: instanceAt(fixture, worker) });
}

test("startAhead() starts what is kept as workers join, without a call", () => {
  const fixture = keeping(3);
  fixture.joins("a", { cores: 2 });
  expect(startsAt(fixture, "a")).toBe(2);
  fixture.joins("b", { cores: 4 });
  expect(startsAt(fixture, "b")).toBe(1);
  fixture.joins("c", { cores: 4 });
  expect(startsAt(fixture, "c")).toBe(0);
});

test("startAhead() spreads instances over workers rather than fill the freest", () => {
  const fixture = new ManagerFixture();
  const module = fixture.local("module");
  fixture.joins("large", { cores: 16 });
  fixture.joins("small", { cores: 2 });
  fixture.joins("other", { cores: 2 });
  fixture.library("digits", module, { instanceCount: 3 });
  expect(["large", "small", "other"].map((name) => startsAt(fixture, name))).toEqual([1, 1, 1]);
});

test("startAhead() waits for the files of the library", () => {
  const fixture = new ManagerFixture();
  const weights = fixture.temp("weights");
  fixture.library("digits", fixture.local("module"), {
    instanceCount: 1,
    inputs: [{ mount: "weights", fileId: weights }],
  });
  fixture.joins("a", { cores: 2 });
  expect(startsAt(fixture, "a")).toBe(0);
  const task = fixture.submits({ outputs: [weights] });
  fixture.finishes("a", task);
  expect(fixture.toldOf("a", "start_instance")).toMatchObject({
    library: { inputs: [{ mount: "weights", name: "weights", generation: 1 }] },
  });
});

test("startAhead() starts another one when a worker is lost, and gives up with the library", () => {
  const fixture = keeping(1);
  fixture.joins("a");
  fixture.joins("b");
  const [kept, spare] = startsAt(fixture, "b") > 0 ? ["b", "a"] : ["a", "b"];
  fixture.exits(kept!);
  expect(startsAt(fixture, spare!)).toBe(1);
  for (let count = 0; count < 3; count++) {
    const instanceId = instanceAt(fixture, spare!);
    const reason = "start_failed" as const;
    fixture.says(spare!, { kind: "instance_gone", instanceId, reason, message: "no" });
  }
  expect(fixture.state.libraries.get("digits")?.failure).toContain("3 instances failed in a row");
  expect(startsAt(fixture, spare!)).toBe(0);
});

test("startAhead() brings an instance back that has yielded once nothing waits for the room", () => {
  const fixture = keeping(1);
  fixture.joins("a");
  becomesReady(fixture, "a");
  const instanceId = instanceAt(fixture, "a");
  const tasks = [fixture.submits({}), fixture.submits({})];
  expect(fixture.toldOf("a", "stop_instance")).toBeUndefined();
  fixture.says("a", { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
  fixture.finishes("a", tasks[0]!);
  expect(startsAt(fixture, "a")).toBe(0);
  fixture.finishes("a", tasks[1]!);
  expect(startsAt(fixture, "a")).toBe(1);
});

test("startAhead() leaves room to what waits for more of a worker, until that is called off", () => {
  const fixture = keeping(1);
  fixture.joins("a", { cores: 2 });
  becomesReady(fixture, "a");
  const instanceId = instanceAt(fixture, "a");
  fixture.submits({});
  const wide = fixture.submits({ cores: 2, category: "wide" });
  expect(fixture.toldOf("a", "stop_instance")).toMatchObject({ instanceId });
  fixture.says("a", { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
  expect(startsAt(fixture, "a")).toBe(0);
  fixture.cancels(wide);
  fixture.passes(0);
  expect(fixture.state.libraries.get("digits")?.activeCount).toBe(1);
});
