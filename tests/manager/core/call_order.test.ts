import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

const CALL = { library: "digits" };
const LOW_COUNT = 10_000;

/** A library at a worker of one core, whose instance starts with the first call. */
function withLibrary(policies: ConstructorParameters<typeof ManagerFixture>[0]): ManagerFixture {
  const fixture = new ManagerFixture(policies);
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a");
  return fixture;
}

test("placeCall() gives an urgent call out before 10,000 others that wait", () => {
  const fixture = withLibrary({});
  fixture.checksInvariants = false;
  const last = fixture.submits(...Array.from({ length: LOW_COUNT }, () => CALL));
  const first = last - LOW_COUNT + 1 as TaskId;
  const early = fixture.state.workers.values().next().value!.tries.size;
  expect(early).toBeLessThan(LOW_COUNT / 2);
  const urgent = fixture.submits({ ...CALL, priority: 1 });
  const next = fixture.submits(CALL);
  fixture.starts("a", first);
  for (let call = first; fixture.task(urgent).state.kind === "ready"; call++) {
    fixture.finishes("a", call as TaskId);
    expect(call - first).toBeLessThan(early);
  }
  // No other was given out between, nor before it of those that are given out as well now.
  expect(fixture.dispatched[0]).toBe(`a ${urgent}.1`);
  expect(fixture.task(next).state.kind).toBe("ready");
});

test("endExpired() ends a call in each state, and says where it was", () => {
  const fixture = withLibrary({ dispatchAhead: 3, dispatchAheadMs: 0 });
  const wish = { ...CALL, endsAtMs: 1_000, retries: 5 };
  const [running, pending] = [fixture.submits(wish), fixture.submits(wish)];
  const awaiting = fixture.submits({ ...wish, awaits: [running] });
  fixture.library("away", fixture.temp("module of away"));
  const fileless = fixture.submits({ ...wish, library: "away" });
  const free = fixture.submits(CALL);
  fixture.passes(999);
  expect(fixture.ends.size).toBe(0);
  fixture.passes(1);
  const why = (taskId: TaskId) => {
    const { outcome, message } = fixture.ends.get(taskId)!;
    return [outcome, message.split("its endBy passed while it ").at(-1)];
  };
  expect(why(running)).toEqual(["expired", "waited to start at worker a on host of a"]);
  expect(why(pending)).toEqual(["expired", "waited for a worker"]);
  expect(why(awaiting)).toEqual(["expired", "waited for the tasks among its arguments"]);
  expect(why(fileless)).toEqual(["expired", "waited for a worker"]);
  expect(fixture.toldOf("a", "kill")).toEqual({ kind: "kill", taskId: running, try: 1 });
  fixture.finishes("a", running, { outcome: "cancelled" });
  expect(fixture.dispatched).toEqual([`a ${free}.1`]);
});

test("endExpired() ends a call that runs, and its slot serves the next", () => {
  const fixture = withLibrary({ dispatchAhead: 1, dispatchAheadMs: 0 });
  const running = fixture.submits({ ...CALL, endsAtMs: 1_000, retries: 5 });
  const next = fixture.submits(CALL);
  fixture.starts("a", running);
  fixture.passes(1_000);
  expect(fixture.ends.get(running)?.message).toEndWith("it ran at worker a on host of a");
  expect(fixture.toldOf("a", "kill")).toEqual({ kind: "kill", taskId: running, try: 1 });
  expect(fixture.task(next).state.kind).toBe("ready");
  fixture.finishes("a", running, { outcome: "cancelled" });
  expect(fixture.dispatched).toEqual([`a ${next}.1`]);
});
