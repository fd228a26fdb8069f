import { expect, test } from "bun:test";

import { instanceAt, ManagerFixture } from "./fixture.ts";

const CALL = { library: "digits" };

function withWorkers(...workers: string[]): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  for (const worker of workers) fixture.joins(worker);
  return fixture;
}

function failsAt(fixture: ManagerFixture, worker: string, message = "no module named x"): void {
  const instanceId = instanceAt(fixture, worker);
  fixture.says(worker, { kind: "instance_gone", instanceId, reason: "start_failed", message });
}

/** The worker that the last step has given the call to. */
function placeOf(fixture: ManagerFixture): string | undefined {
  return fixture.dispatched[0]?.split(" ")[0];
}

test("isPassedOver() has other workers tried before one that failed", () => {
  const fixture = withWorkers("a", "b");
  fixture.submits(CALL);
  const first = placeOf(fixture)!;
  failsAt(fixture, first);
  expect(placeOf(fixture)).toBe(first === "a" ? "b" : "a");
});

test("isPassedOver() tries a worker again after a while, and twice as long after", () => {
  const fixture = withWorkers("a", "b");
  const task = fixture.submits({ category: "long" });
  const [busy, free] = placeOf(fixture) === "a" ? ["a", "b"] : ["b", "a"];
  const call = fixture.submits(CALL);
  failsAt(fixture, free!);
  expect(placeOf(fixture)).toBeUndefined();
  fixture.passes(499);
  expect(fixture.task(call).state.kind).toBe("ready");
  fixture.passes(1);
  expect(placeOf(fixture)).toBe(free);
  failsAt(fixture, free!);
  fixture.passes(999);
  expect(fixture.task(call).state.kind).toBe("ready");
  fixture.finishes(busy!, task);
  expect(placeOf(fixture)).toBe(busy);
});

test("noteFailure() names the workers where a library failed when they differ", () => {
  const fixture = withWorkers("a", "b");
  const call = fixture.submits(CALL);
  const first = placeOf(fixture)!;
  const second = first === "a" ? "b" : "a";
  failsAt(fixture, first);
  failsAt(fixture, second);
  failsAt(fixture, placeOf(fixture)!, "no module named y");
  expect(fixture.ends.get(call)?.message).toBe(
    'Cannot keep library "digits" running: 3 instances failed in a row, at worker ' +
      `${first} on host of ${first}, worker ${second} on host of ${second}; the last said: ` +
      "no module named y",
  );
});

test("noteFailure() does not give a library up that serves elsewhere", () => {
  const fixture = withWorkers("good");
  fixture.submits(CALL);
  fixture.says("good", { kind: "instance_ready", instanceId: instanceAt(fixture, "good") });
  fixture.joins("bad");
  fixture.submits(CALL);
  for (let count = 0; count < 8; count++) {
    failsAt(fixture, "bad");
    fixture.passes(60_000);
  }
  expect(fixture.state.libraries.get("digits")?.failure).toBeUndefined();
  expect(fixture.state.libraries.get("digits")?.failureCount).toBe(0);
});
