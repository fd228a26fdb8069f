import { expect, test } from "bun:test";

import { hasTrouble, noteUnreached } from "../../../manager/core/reach.ts";
import type { FileId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

function joins(fixture: ManagerFixture, ...names: string[]): void {
  for (const name of names) fixture.joins(name, { cores: 1, features: [name] });
}

/** Makes a temp at `worker`. */
function made(fixture: ManagerFixture, worker: string, name: string): FileId {
  const file = fixture.temp(name);
  fixture.finishes(worker, fixture.submits({ outputs: [file], features: [worker] }));
  return file;
}

/** `worker` has found out that it cannot reach `holder`. */
function misses(fixture: ManagerFixture, worker: string, holder: string): void {
  const [one, other] = [worker, holder].map((name) => fixture.state.workers.get(idOf(name))!);
  noteUnreached(fixture.state, one!, other!);
}

test("bestHolder() takes the holder that reaches the other inputs, though it has a little less", () => {
  const fixture = new ManagerFixture();
  joins(fixture, "a", "b");
  const [one, more] = [made(fixture, "a", "one"), made(fixture, "a", "more")];
  const two = made(fixture, "b", "two");
  const [far, also] = [made(fixture, "b", "far"), made(fixture, "a", "also")];
  const inputs = [one, more, also, two, far];
  misses(fixture, "a", "b");
  const task = fixture.submits({ inputs });
  expect(fixture.dispatched).toEqual([`b ${task}.1`]);
});

test("lookAround() passes over a worker that cannot reach the inputs for one that can", () => {
  for (const [missing, other] of [["b", "c"], ["c", "b"]] as const) {
    const fixture = new ManagerFixture();
    joins(fixture, "a", "b", "c");
    const file = made(fixture, "a", "file");
    fixture.submits({ features: ["a"] }, { features: ["a"] });
    misses(fixture, missing, "a");
    const task = fixture.submits({ inputs: [file] });
    expect(fixture.dispatched).toEqual([`${other} ${task}.1`]);
  }
});

test("lookAround() takes a worker that cannot reach the inputs when there is no other", () => {
  const fixture = new ManagerFixture();
  joins(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  misses(fixture, "b", "a");
  fixture.submits({ features: ["a"] }, { features: ["a"] });
  const task = fixture.submits({ inputs: [file] });
  expect(fixture.dispatched).toEqual([`b ${task}.1`]);
  expect(fixture.collects).toEqual(["file from a"]);
});

test("setServing() has workers judged by whom they reach only while one serves nobody", () => {
  const fixture = new ManagerFixture();
  fixture.joins("mute", { hello: { urls: [] } });
  expect(hasTrouble(fixture.state)).toBe(true);
  fixture.breaks("mute");
  fixture.returns("mute", { urls: ["http://mute:1"] });
  expect(hasTrouble(fixture.state)).toBe(false);
  fixture.breaks("mute");
  fixture.returns("mute", { urls: [] });
  fixture.exits("mute");
  expect(hasTrouble(fixture.state)).toBe(false);
});
