import { expect, test } from "bun:test";

import type { ManagerMessage } from "../../../shared/protocol.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const CALL = { library: "digits" };
const WIDE = { ...CALL, request: { cores: 2 } };

/** A library `digits` of one core and many slots, whose module is small. */
function withLibrary(
  policies: ConstructorParameters<typeof ManagerFixture>[0] = {},
  slots = 8,
): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0, dispatchAhead: 1, ...policies });
  fixture.library("digits", fixture.local("module"), { slots });
  return fixture;
}

function committed(fixture: ManagerFixture, worker: string): number | undefined {
  return fixture.state.workers.get(idOf(worker))?.committed.cores;
}

test("dispatch() holds what a call states beside its instance, and gives it back at its end", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 6 });
  const call = fixture.submits({ ...CALL, request: { cores: 2, memoryBytes: 1e9 } });
  expect(fixture.toldOf("a", "dispatch")?.shapes).toMatchObject([
    { library: "digits", resources: { cores: 2, memoryBytes: 1e9, diskBytes: 0 } },
  ]);
  expect(committed(fixture, "a")).toBe(3);
  fixture.finishes("a", call);
  expect(committed(fixture, "a")).toBe(1);
  expect(fixture.ends.get(call)?.allocated).toMatchObject({ cores: 2 });
});

test("dispatch() holds nothing for a call that states nothing", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 2 });
  fixture.submits(CALL, CALL, CALL);
  expect(fixture.toldOf("a", "dispatch")?.shapes).toMatchObject([{ resources: { cores: 0 } }]);
  expect(committed(fixture, "a")).toBe(1);
});

test("placesWithRoom() keeps a call back that has a slot and no room, until there is some", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 4 });
  const first = fixture.submits(WIDE);
  const second = fixture.submits(WIDE);
  expect(fixture.dispatched).toEqual([]);
  // What states nothing goes by.
  const plain = fixture.submits(CALL);
  expect(fixture.dispatched).toEqual([`a ${plain}.1`]);
  fixture.finishes("a", first);
  expect(fixture.dispatched).toEqual([`a ${second}.1`]);
});

test("placesWithRoom() finds the worker with room among those whose instances have free slots", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 4 });
  fixture.submits({ ...CALL, request: { cores: 3 } });
  fixture.joins("b", { cores: 4 });
  const call = fixture.submits(WIDE);
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});

test("placesWithRoom() finds room behind many services with free slots and none", () => {
  const fixture = withLibrary({}, 4);
  fixture.checksInvariants = false;
  for (let index = 0; index < 200; index++) {
    fixture.joins(`w${index}`, { cores: 2 });
    fixture.submits({ ...CALL, request: { cores: 1 } });
  }
  expect(fixture.state.libraries.get("digits")?.services.size).toBe(200);
  const call = fixture.submits({ ...CALL, request: { cores: 1 } });
  expect(fixture.dispatched).toEqual([]);
  fixture.finishes("w150", 151 as never);
  expect(fixture.dispatched).toEqual([`w150 ${call}.1`]);
});

test("placesWithRoom() has a call wait at a worker for what tries hold, not for what instances do", () => {
  const fixture = withLibrary({ dispatchAhead: 2 });
  fixture.joins("a", { cores: 4 });
  const first = fixture.submits(WIDE);
  fixture.submits(WIDE);
  expect(fixture.dispatched).toEqual([]);
  // Only of what is short it is known that it will not wait for long.
  fixture.finishes("a", first, { ranMs: 1 });
  const ahead = fixture.submits(WIDE);
  expect(fixture.dispatched).toEqual([`a ${ahead}.1`]);
  const other = withLibrary({ dispatchAhead: 2 });
  other.library("more", other.local("more"), { slots: 1 });
  other.joins("a", { cores: 4 });
  other.submits({ library: "more" }, { library: "more" }, CALL);
  expect(other.state.workers.get(idOf("a"))?.instances.size).toBe(3);
  other.submits(WIDE);
  expect(other.dispatched).toEqual([]);
});

test("makeRoom() has a spare instance leave that holds what a call of its own library states", () => {
  const fixture = withLibrary({}, 1);
  fixture.joins("a", { cores: 2 });
  const calls = [fixture.submits(CALL), fixture.submits(CALL)];
  expect(committed(fixture, "a")).toBe(2);
  for (const call of calls) fixture.finishes("a", call);
  const call = fixture.submits({ ...CALL, request: { cores: 1 } });
  expect(fixture.dispatched).toEqual([]);
  const stopped = fixture.told("a").filter(({ kind }) => kind === "stop_instance");
  // The other one is to serve it.
  expect(stopped.length).toBe(1);
  fixture.says(
    "a",
    ...stopped.map((message) => ({
      kind: "instance_gone" as const,
      instanceId: (message as Extract<ManagerMessage, { kind: "stop_instance" }>).instanceId,
      reason: "stopped" as const,
      message: "",
    })),
  );
  expect(fixture.dispatched).toEqual([`a ${call}.1`]);
});

test("lacksCallRoom() has an instance start though those that there are would do, if they had room", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 3 });
  const first = fixture.submits(WIDE);
  fixture.submits(WIDE);
  fixture.finishes("a", first, { ranMs: 1 });
  // It is short, and yet would wait for who knows how long.
  const call = fixture.submits(WIDE);
  expect(fixture.dispatched).toEqual([]);
  fixture.joins("b", { cores: 3 });
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});

test("instanceNeed() starts an instance only where its call has room too", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 2 });
  const call = fixture.submits(WIDE);
  expect(fixture.dispatched).toEqual([]);
  fixture.joins("b", { cores: 3 });
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});

test("instanceNeed() tells what no worker has for a call and its instance", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 2 });
  fixture.submits(WIDE);
  fixture.passes(3_000);
  expect(fixture.facts).toContainEqual(expect.objectContaining({
    kind: "class_unplaceable",
    library: "digits",
    missing: { kind: "resource", name: "cores", needed: 3, most: 2 },
  }));
});

test("afterExhaustion() takes a call beyond what it states as a failure of its own", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 4 });
  const call = fixture.submits({ ...CALL, request: { memoryBytes: 1e9 } });
  const exceeded = { resource: "memory", limit: 1e9, used: 2e9 } as const;
  fixture.finishes("a", call, { outcome: "resources_exhausted", exceeded });
  expect(fixture.outcome(call)).toBe("resources_exhausted");
});

test("placesFor() passes a worker by that lacks a feature of the call", () => {
  const fixture = withLibrary();
  fixture.joins("a");
  fixture.submits(CALL);
  fixture.joins("b", { features: ["big"] });
  const call = fixture.submits({ ...CALL, features: ["big"] });
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});

test("loseSlots() gives back what calls hold whose instance is gone", () => {
  const fixture = withLibrary();
  fixture.joins("a", { cores: 4 });
  const call = fixture.submits(WIDE);
  const instanceId = instanceAt(fixture, "a");
  const reason = "start_failed" as const;
  fixture.says("a", { kind: "instance_gone", instanceId, reason, message: "no" });
  fixture.finishes("a", call, { outcome: "cancelled" });
  expect(fixture.dispatched).toEqual([`a ${call}.2`]);
  expect(committed(fixture, "a")).toBe(3);
});
