import { expect, test } from "bun:test";

import type { Fact } from "../../../manager/core/fact.ts";
import { describeUnplaceable } from "../../../manager/unplaceable_note.ts";
import { ManagerFixture } from "./fixture.ts";

type Unplaceable = Extract<Fact, { kind: "class_unplaceable" }>;

/** What is said while that time passes. */
function said(fixture: ManagerFixture, durationMs = 5_000): string[] {
  const lines: string[] = [];
  const endMs = fixture.nowMs + durationMs;
  while (fixture.nowMs < endMs) {
    fixture.passes(500);
    // The last step is the tick in which it is said, if there was one.
    const facts = fixture.facts.filter((fact): fact is Unplaceable => {
      return fact.kind === "class_unplaceable";
    });
    lines.push(...facts.map(describeUnplaceable));
    fixture.facts = [];
  }
  return lines;
}

test("tellUnplaceable() says once for a class what no worker has, and the most that one has", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 4 });
  fixture.joins("b", { cores: 2 });
  fixture.submits(...Array(12).fill({ gpus: 3, category: "blast" }));
  expect(said(fixture)).toEqual([
    '12 tasks of category "blast" need 3 gpus: the most that one of 2 workers has is 0',
  ]);
  fixture.submits({ gpus: 3, category: "blast" });
  fixture.joins("c", { cores: 2 });
  expect(said(fixture)).toEqual([]);
});

test("tellUnplaceable() says it again when what is missing has changed", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { memoryBytes: 1e9 });
  fixture.submits({ memoryBytes: 4e9 });
  expect(said(fixture)).toEqual([
    '1 task of category "default" needs 4 GB of memory: all that the only worker has is 1 GB',
  ]);
  fixture.joins("b", { memoryBytes: 2e9 });
  expect(said(fixture)).toEqual([
    '1 task of category "default" needs 4 GB of memory: the most that one of 2 workers has is 2 GB',
  ]);
  fixture.joins("c", { memoryBytes: 4e9 });
  expect(said(fixture)).toEqual([]);
  expect(fixture.dispatched).toEqual([]);
  expect(fixture.state.unplaceable.classes.size).toBe(0);
});

test("tellUnplaceable() waits a moment for others, and says nothing where there are no workers", () => {
  const fixture = new ManagerFixture();
  fixture.submits({ cores: 8 });
  expect(said(fixture)).toEqual([]);
  fixture.joins("small");
  fixture.joins("large", { cores: 8 });
  expect(said(fixture)).toEqual([]);
});

test("tellUnplaceable() names a feature, a custom resource, and what is not there together", () => {
  const fixture = new ManagerFixture();
  fixture.joins("wide", { cores: 8, features: ["avx512"] });
  fixture.joins("rich", { cores: 1, gpus: 2 });
  fixture.submits({ features: ["tpu"] });
  fixture.submits({ request: { cores: 1, custom: { license: 1 } } });
  fixture.submits({ cores: 8, gpus: 1 });
  expect(said(fixture)).toEqual([
    '1 task of category "default" needs feature "tpu": none of 2 workers has it',
    '1 task of category "default" needs 1 license: the most that one of 2 workers has is 0',
    '1 task of category "default" needs cores, gpus at one worker: none of 2 workers has all of what ' +
    "they ask for",
  ]);
});

test("tellUnplaceable() forgets a class without tasks", () => {
  const fixture = new ManagerFixture();
  fixture.joins("worker");
  const task = fixture.submits({ gpus: 1 });
  fixture.cancels(task);
  expect(said(fixture)).toEqual([]);
  expect(fixture.state.unplaceable.classes.size).toBe(0);
});

test("describeUnplaceable() names the library of calls", () => {
  const fixture = new ManagerFixture();
  fixture.library("digits", fixture.local("module"), {
    resources: { cores: 0, memoryBytes: 0, diskBytes: 0, gpus: 1 },
  });
  fixture.joins("a");
  fixture.submits({ library: "digits" });
  expect(said(fixture)).toEqual([
    '1 call of library "digits" needs 1 gpu: all that the only worker has is 0',
  ]);
});
