import { expect, test } from "bun:test";

import type { CacheName, InstanceId, TaskId } from "../../../shared/ids.ts";
import { factsOf, instanceAt, ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

test("reconcile() goes first on the new connection", () => {
  const fixture = new ManagerFixture();
  fixture.submits({});
  fixture.joins("a");
  expect(fixture.instructions.map(({ kind }) => kind)).toEqual(["welcome", "send"]);
  expect(fixture.told("a").map(({ kind }) => kind)).toEqual(["reconcile", "dispatch"]);
});

test("reconcile() keeps current tries, kills ended and unknown ones", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 2 });
  const kept = fixture.submits({});
  const ended = fixture.submits({});
  fixture.breaks("a");
  fixture.cancels(ended);
  const phase = "running" as const;
  fixture.returns("a", {
    tries: [
      { taskId: kept, try: 1, phase },
      { taskId: ended, try: 1, phase },
      { taskId: 99 as TaskId, try: 4, phase },
    ],
  });
  expect(fixture.toldOf("a", "reconcile")?.tries.map(({ verdict }) => verdict)).toEqual(
    ["keep", "kill", "kill"],
  );
  // What runs was said to run.
  expect(fixture.facts.map(({ kind }) => kind)).toContain("try_started");
});

test("reconcile() dispatches again what the worker never heard of", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.breaks("a");
  fixture.returns("a");
  expect(fixture.dispatched).toEqual([`a ${task}.2`]);
  expect(fixture.task(task).lossCount).toBe(0);
});

test("reconcile() has wanted results sent again, and acknowledges the others", () => {
  const fixture = new ManagerFixture();
  const output = fixture.local("output");
  fixture.joins("a", { cores: 3 });
  const wanted = fixture.submits({});
  const coming = fixture.submits({ outputs: [output] });
  fixture.finishes("a", coming);
  fixture.breaks("a");
  const ids = [wanted, coming, 99 as TaskId].map((taskId) => ({ taskId, try: 1 }));
  const replicas = [{ ...factsOf("output", 1, "output by 2"), level: "workflow" as const }];
  fixture.returns("a", { results: ids, replicas });
  expect(fixture.toldOf("a", "reconcile")?.results.map(({ verdict }) => verdict)).toEqual(
    ["resend", "keep", "acknowledge"],
  );
  // The PUT that the break has cut off is ordered again.
  expect(fixture.instructions.map(({ kind }) => kind)).toContain("collect");
});

test("reconcile() keeps replicas of use and deletes what nobody knows or wants", () => {
  const fixture = new ManagerFixture();
  const used = fixture.local("used");
  const unneeded = fixture.local("unneeded");
  fixture.joins("a", { cores: 2 });
  fixture.submits({ inputs: [used] }, { inputs: [unneeded] });
  fixture.brings("a");
  fixture.breaks("a");
  fixture.cancels(2 as TaskId);
  fixture.feed({ kind: "file_undeclared", fileId: unneeded });
  const level = "workflow" as const;
  fixture.returns("a", {
    tries: [{ taskId: 1 as TaskId, try: 1, phase: "staging" }],
    replicas: ["used", "unneeded", "of another manager"].map((name) => {
      return { ...factsOf(name), level };
    }),
  });
  expect(fixture.toldOf("a", "reconcile")?.replicas.map(({ verdict }) => verdict)).toEqual(
    ["keep", "delete", "delete"],
  );
  expect(fixture.file(used).readyCount).toBe(1);
  fixture.says("a", { kind: "replica_gone", name: "unneeded" as CacheName, generation: 0 });
  const name = "of another manager" as CacheName;
  fixture.says("a", { kind: "replica_gone", name, generation: 0 });
  expect([...fixture.state.workers.get(idOf("a"))!.replicas.keys()]).toEqual([
    "used" as CacheName,
  ]);
});

test("reconcile() keeps files of a library though their handles were let go", () => {
  const fixture = new ManagerFixture();
  const module = fixture.local("module");
  fixture.library("digits", module);
  fixture.joins("a");
  const task = fixture.submits({ library: "digits" });
  fixture.brings("a");
  fixture.feed({ kind: "file_undeclared", fileId: module });
  const instanceId = instanceAt(fixture, "a");
  fixture.breaks("a");
  fixture.returns("a", {
    tries: [{ taskId: task, try: 1, phase: "staging" }],
    instances: [{ instanceId, library: "digits", isReady: true }],
    replicas: [{ ...factsOf("module"), level: "workflow" }],
  });
  const message = fixture.toldOf("a", "reconcile");
  expect(message?.replicas).toMatchObject([{ verdict: "keep" }]);
  expect(message?.instances).toEqual([{ instanceId, verdict: "keep" }]);
});

test("reconcile() keeps a worker-level file that only lineage refers to", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("database", { level: "worker" });
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file], outputs: [temp] });
  fixture.brings("a");
  fixture.finishes("a", task);
  fixture.feed({ kind: "file_undeclared", fileId: file });
  fixture.breaks("a");
  fixture.returns("a", {
    replicas: [
      { ...factsOf("database"), level: "worker" },
      { ...fixture.lastFacts("temp"), level: "workflow" },
    ],
  });
  expect(fixture.toldOf("a", "reconcile")?.replicas.map(({ verdict }) => verdict)).toEqual(
    ["keep", "keep"],
  );
});

test("reconcile() stops instances that nobody knows and misses those that are gone", () => {
  const fixture = new ManagerFixture();
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a");
  fixture.submits({ library: "digits" });
  const instanceId = instanceAt(fixture, "a");
  fixture.breaks("a");
  const unknown = 77 as InstanceId;
  fixture.returns("a", {
    instances: [{ instanceId: unknown, library: "digits", isReady: true }],
  });
  expect(fixture.toldOf("a", "reconcile")?.instances).toEqual([
    { instanceId: unknown, verdict: "stop" },
  ]);
  // The order to start it was lost: another one is started for the call.
  expect(instanceAt(fixture, "a")).not.toBe(instanceId);
});
