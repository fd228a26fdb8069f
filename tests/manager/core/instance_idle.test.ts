import { expect, test } from "bun:test";

import type { LibrarySpec } from "../../../manager/core/event.ts";
import type { Policies } from "../../../manager/core/policy.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { idOf } from "./wishes.ts";
import { ManagerFixture } from "./fixture.ts";

const TIMEOUT_MS = 300_000;
const CALL = { library: "digits" };

/** A worker of four cores, with a library of small instances. */
function withLibrary(
  wish: Partial<LibrarySpec> = {},
  policies: Partial<Policies> = {},
): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0, ...policies });
  fixture.library("digits", fixture.local("module"), wish);
  fixture.joins("a", { cores: 4 });
  return fixture;
}

/** All instances that start are ready. */
function becomeReady(fixture: ManagerFixture): void {
  for (const { instanceId, state } of fixture.state.workers.get(idOf("a"))!.instances.values()) {
    if (state === "starting") fixture.says("a", { kind: "instance_ready", instanceId });
  }
}

/** States of the instances, oldest first. */
function states(fixture: ManagerFixture): string[] {
  return [...fixture.state.workers.get(idOf("a"))!.instances.values()].map(({ state }) => state);
}

/** Two instances, one of which serves a call. */
function withOneBusy(): { fixture: ManagerFixture; busy: TaskId; idle: TaskId } {
  const fixture = withLibrary();
  const busy = fixture.submits(CALL);
  const idle = fixture.submits(CALL);
  becomeReady(fixture);
  return { fixture, busy, idle };
}

test("passIdle() ends an instance that nothing has called for libraryIdleTimeout", () => {
  const fixture = withLibrary();
  const call = fixture.submits(CALL);
  becomeReady(fixture);
  fixture.passes(10 * TIMEOUT_MS);
  fixture.finishes("a", call);
  fixture.passes(TIMEOUT_MS - 1);
  expect(states(fixture)).toEqual(["ready"]);
  fixture.passes(1);
  expect(states(fixture)).toEqual(["stopping"]);
});

test("passIdle() begins anew with each call", () => {
  const fixture = withLibrary();
  const first = fixture.submits(CALL);
  becomeReady(fixture);
  fixture.finishes("a", first);
  fixture.passes(TIMEOUT_MS - 1_000);
  fixture.finishes("a", fixture.submits(CALL));
  fixture.passes(TIMEOUT_MS - 1);
  expect(states(fixture)).toEqual(["ready"]);
  fixture.passes(1);
  expect(states(fixture)).toEqual(["stopping"]);
});

test("passIdle() has the newest instance retire beside one that is busy", () => {
  const { fixture, busy, idle } = withOneBusy();
  fixture.finishes("a", idle);
  fixture.passes(TIMEOUT_MS);
  expect(states(fixture)).toEqual(["ready", "retiring"]);
  const [, newest] = fixture.state.workers.get(idOf("a"))!.instances.keys();
  const end = { reason: "stopped", message: "" } as const;
  fixture.says("a", { kind: "instance_gone", instanceId: newest!, ...end });
  fixture.finishes("a", busy);
  expect(fixture.outcome(busy)).toBe("success");
  expect(states(fixture)).toEqual(["ready"]);
});

test("passIdle() leaves instances that were all needed at times", () => {
  const { fixture, idle } = withOneBusy();
  fixture.finishes("a", idle);
  for (let count = 0; count < 5; count++) {
    fixture.passes(TIMEOUT_MS / 2);
    fixture.finishes("a", fixture.submits(CALL));
  }
  expect(states(fixture)).toEqual(["ready", "ready"]);
});

test("passIdle() ends none of those that are kept, and none when it is never to", () => {
  for (
    const fixture of [
      withLibrary({ instanceCount: 1 }),
      withLibrary({}, { libraryIdleTimeoutMs: 0 }),
    ]
  ) {
    const call = fixture.submits(CALL);
    becomeReady(fixture);
    fixture.finishes("a", call);
    fixture.passes(3 * TIMEOUT_MS);
    expect(states(fixture)).toEqual(["ready"]);
  }
});

test("reviewIdle() counts the time that has passed when the policy changes", () => {
  const fixture = withLibrary({}, { libraryIdleTimeoutMs: 0 });
  fixture.finishes("a", fixture.submits(CALL));
  becomeReady(fixture);
  fixture.passes(60_000);
  fixture.tunes({ libraryIdleTimeoutMs: 50_000 });
  fixture.passes(0);
  expect(states(fixture)).toEqual(["stopping"]);
});

test("noteSpare() plans one look for any number of calls", () => {
  const fixture = withLibrary();
  for (let count = 0; count < 50; count++) {
    fixture.finishes("a", fixture.submits(CALL));
    fixture.passes(1);
  }
  const looks = fixture.state.deadlines.items.filter(({ kind }) => kind === "instance_idle");
  expect(looks).toHaveLength(1);
});
