import { expect, test } from "bun:test";

import type { ManagerEvent } from "../../../manager/core/event.ts";
import { DEFAULT_POLICIES, type Policies } from "../../../manager/core/policy.ts";
import { wakeUpkeep } from "../../../manager/core/upkeep.ts";
import type { CacheName, FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import type { FileWish, TaskWish } from "./wishes.ts";

/** A temp that a task has made at `worker`. */
function made(fixture: ManagerFixture, worker: string, name: string, wish: FileWish = {}): FileId {
  const temp = fixture.temp(name, wish);
  fixture.finishes(worker, fixture.submits({ outputs: [temp] }));
  return temp;
}

/** Runs a task at `worker`, which has or brings all that it needs. */
function ran(fixture: ManagerFixture, worker: string, wish: TaskWish): TaskId {
  const taskId = fixture.brought(worker, wish);
  fixture.finishes(worker, taskId);
  return taskId;
}

function holders(fixture: ManagerFixture, fileId: FileId): string[] {
  return [...fixture.file(fileId).replicas.keys()].map(({ workerId }) => String(workerId));
}

function tune(fixture: ManagerFixture, policies: Partial<Policies>): void {
  fixture.feed({ kind: "policies_set", policies: { ...DEFAULT_POLICIES, ...policies } });
}

/** The answer to a user who prunes the file. */
function pruned(fixture: ManagerFixture, fileId: FileId): string | undefined {
  const event: ManagerEvent = { kind: "file_pruned", fileId, requestId: 7 };
  fixture.feed(event);
  for (const answer of fixture.instructions) {
    if (answer.kind === "file_pruned" && answer.requestId === 7) return answer.message;
  }
  return undefined;
}

test("keepCopies() brings a temp to the wanted number of workers, on other hosts first", () => {
  const fixture = new ManagerFixture({ replicas: 3 });
  fixture.joins("a", { host: "one" });
  const temp = fixture.temp("temp");
  const task = fixture.submits({ outputs: [temp] });
  fixture.joins("b", { host: "one" });
  fixture.joins("c", { host: "two" });
  fixture.finishes("a", task);
  expect(fixture.fetches).toEqual(["c temp from a", "b temp from a"]);
  fixture.brings("b");
  fixture.brings("c");
  expect(fixture.file(temp).readyCount).toBe(3);
  expect(fixture.fetches).toEqual([]);
});

test("keepCopies() makes no copies unless the policy or the file asks for them", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.joins("b");
  const plain = fixture.temp("plain");
  const wanted = fixture.temp("wanted", { replicas: 2 });
  const task = fixture.submits({ outputs: [plain, wanted] });
  const maker = fixture.task(task).state;
  const [from, to] = maker.kind === "dispatched" && maker.attempt.worker.workerId === "b"
    ? ["b", "a"]
    : ["a", "b"];
  fixture.finishes(from!, task);
  expect(fixture.fetches).toEqual([`${to} wanted from ${from}`]);
});

test("keepCopies() copies the scarcest file first, and few at a time", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 9 });
  const temps = ["t1", "t2", "t3"].map((name) => made(fixture, "a", name));
  const rich = made(fixture, "a", "rich");
  fixture.joins("b");
  fixture.feed({ kind: "file_replicated", fileId: rich, count: 2 });
  fixture.brings("b");
  fixture.joins("c");
  tune(fixture, { replicas: 3 });
  const ordered = fixture.fetches.map((fetch) => fetch.split(" ")[1]);
  // Each has a second copy before one has a third; two are on their way to a worker at most.
  expect(ordered).toEqual(["t1", "t2", "t3", "t1"]);
  expect(temps.map((temp) => fixture.file(temp).scarceAt)).toEqual([-1, 2, 2]);
  expect(fixture.file(rich).scarceAt).toBe(-1);
});

test("keepCopies() replaces a copy that is lost, from the one that is left", () => {
  const fixture = new ManagerFixture({ replicas: 2 });
  fixture.joins("a");
  const temp = made(fixture, "a", "temp");
  fixture.joins("b");
  fixture.brings("b");
  expect(fixture.file(temp).readyCount).toBe(2);
  fixture.exits("a");
  expect(fixture.state.counters.recoveries).toBe(0);
  expect(fixture.fetches).toEqual([]);
  fixture.joins("c");
  expect(fixture.fetches).toEqual(["c temp from b"]);
  fixture.brings("c");
  fixture.says("b", { kind: "replica_gone", name: "temp" as CacheName, generation: 1 });
  // It was evicted or damaged there: that worker may be given it again, though not at once.
  expect(fixture.fetches).toEqual([]);
  fixture.passes(1_000);
  expect(fixture.fetches).toEqual(["b temp from c"]);
});

test("keepCopies() leaves a source alone that a task's transfer waits for", () => {
  const fixture = new ManagerFixture({ replicas: 1, transfersPerWorker: 1 });
  fixture.joins("a", { cores: 2 });
  const [needed, spare] = [made(fixture, "a", "needed"), made(fixture, "a", "spare")];
  fixture.joins("b", { cores: 8 });
  fixture.joins("c", { cores: 8 });
  fixture.submits({ inputs: [needed], cores: 8 }, { inputs: [needed], cores: 8 });
  expect(fixture.fetches.length).toBe(1);
  fixture.feed({ kind: "file_replicated", fileId: spare, count: 2 });
  expect(fixture.fetches).toEqual([]);
});

test("makeWay() calls off a copy when a task waits for its slot, and it comes later", () => {
  const fixture = new ManagerFixture({ transfersPerWorker: 1 });
  fixture.joins("a", { cores: 2 });
  const [needed, spare] = [made(fixture, "a", "needed"), made(fixture, "a", "spare")];
  fixture.joins("b", { cores: 8 });
  fixture.feed({ kind: "file_replicated", fileId: spare, count: 2 });
  expect(fixture.fetches).toEqual(["b spare from a"]);
  fixture.submits({ inputs: [needed], cores: 8 });
  expect(fixture.toldOf("b", "delete")).toMatchObject({ name: "spare" });
  expect(fixture.fetches).toEqual(["b needed from a"]);
  fixture.says("b", { kind: "replica_gone", name: "spare" as CacheName, generation: 1 });
  fixture.brings("b");
  expect(fixture.fetches).toEqual(["b spare from a"]);
});

test("raiseTransfer() keeps a copy that a task has come to wait for", () => {
  const fixture = new ManagerFixture({ transfersPerWorker: 1 });
  fixture.joins("a", { cores: 2 });
  const [needed, spare] = [made(fixture, "a", "needed"), made(fixture, "a", "spare")];
  fixture.joins("b", { cores: 8 });
  fixture.feed({ kind: "file_replicated", fileId: spare, count: 2 });
  fixture.submits({ inputs: [spare], cores: 4 });
  expect(fixture.fetches).toEqual([]);
  fixture.submits({ inputs: [needed], cores: 4 });
  // It is a task's own transfer by now: the next one waits for its end.
  expect(fixture.toldOf("b", "delete")).toBeUndefined();
  expect(fixture.fetches).toEqual([]);
  fixture.brings("b");
  expect(fixture.fetches).toEqual(["b needed from a"]);
});

test("failBackground() tries again after a while, later and later, and fails no task", () => {
  const fixture = new ManagerFixture({ replicas: 2 });
  fixture.joins("a");
  const temp = made(fixture, "a", "temp");
  fixture.joins("b");
  expect(fixture.fetches).toEqual(["b temp from a"]);
  fixture.failsToBring("b", { canRetry: false });
  expect(fixture.fetches).toEqual([]);
  expect(holders(fixture, temp)).toEqual(["a"]);
  fixture.passes(1_000);
  expect(fixture.fetches).toEqual(["b temp from a"]);
  fixture.failsToBring("b", { isUnreachable: true });
  fixture.passes(1_999);
  expect(fixture.state.transfers.size).toBe(0);
});

test("replicateFile() brings what the manager has to workers that nothing needs it at", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("reference", { sizeBytes: 10_000_000 });
  for (const worker of ["a", "b", "c"]) fixture.joins(worker);
  fixture.feed({ kind: "file_replicated", fileId: file, count: 2 });
  expect(fixture.fetches).toEqual(["a reference from manager", "b reference from manager"]);
});

test("isSpent() removes a temp when its consumers have succeeded and it was let go of", () => {
  const fixture = new ManagerFixture({ pruneTemps: "consumed" });
  fixture.joins("a");
  const [auto, held] = [
    made(fixture, "a", "auto", { isReleasedByUse: true }),
    made(fixture, "a", "held"),
  ];
  expect(holders(fixture, auto)).toEqual(["a"]);
  const [first, second] = [
    fixture.submits({ inputs: [auto, held] }),
    fixture.submits({ inputs: [auto] }),
  ];
  fixture.finishes("a", first);
  expect(holders(fixture, auto)).toEqual(["a"]);
  fixture.finishes("a", second);
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "auto" });
  expect([...holders(fixture, auto), ...holders(fixture, held)]).toEqual(["a"]);
});

test("isSpent() keeps a temp of which a consumer failed: it may be submitted again", () => {
  const fixture = new ManagerFixture({ pruneTemps: "consumed" });
  fixture.joins("a");
  const temp = made(fixture, "a", "temp", { isReleasedByUse: true });
  fixture.finishes("a", fixture.submits({ inputs: [temp] }), { outcome: "exit" });
  fixture.finishes("a", fixture.submits({ inputs: [temp] }));
  expect(holders(fixture, temp)).toEqual(["a"]);
});

test("A pruned temp is made again for a later consumer, and goes again after that", () => {
  const fixture = new ManagerFixture({ pruneTemps: "consumed" });
  fixture.joins("a");
  const source = made(fixture, "a", "source", { isReleasedByUse: true });
  const temp = fixture.temp("temp", { isReleasedByUse: true });
  const maker = ran(fixture, "a", { inputs: [source], outputs: [temp] });
  expect(holders(fixture, source)).toEqual([]);
  ran(fixture, "a", { inputs: [temp] });
  expect(holders(fixture, temp)).toEqual([]);
  const late = fixture.submits({ inputs: [temp] });
  // What it is made of is remade first, though both were pruned.
  fixture.finishes("a", 1 as TaskId);
  fixture.finishes("a", maker);
  fixture.finishes("a", late);
  expect(fixture.outcome(late)).toBe("success");
  expect([...holders(fixture, source), ...holders(fixture, temp)]).toEqual([]);
});

test("isSpent() waits for as many levels of consumers as depth:N says", () => {
  const fixture = new ManagerFixture({ pruneTemps: "depth:2" });
  fixture.joins("a");
  const first = made(fixture, "a", "first");
  const [second, third] = [fixture.temp("second"), fixture.temp("third")];
  ran(fixture, "a", { inputs: [first], outputs: [second] });
  expect(holders(fixture, first)).toEqual(["a"]);
  ran(fixture, "a", { inputs: [second], outputs: [third] });
  expect([first, second, third].map((temp) => holders(fixture, temp).length)).toEqual([0, 1, 1]);
  ran(fixture, "a", { inputs: [third] });
  expect([first, second, third].map((temp) => holders(fixture, temp).length)).toEqual([0, 0, 0]);
});

test("whyKept() keeps what could not be made again, whatever the policy says", () => {
  const fixture = new ManagerFixture({ pruneTemps: "depth:1", recovery: "off" });
  fixture.joins("a");
  const temp = made(fixture, "a", "temp");
  ran(fixture, "a", { inputs: [temp] });
  expect(holders(fixture, temp)).toEqual(["a"]);
  expect(pruned(fixture, temp)).toMatch(/^Cannot prune file 1: it could not be made again/);
  tune(fixture, { pruneTemps: "depth:1" });
  expect(holders(fixture, temp)).toEqual([]);
});

test("pruneFile() refuses what a task waits for, and removes every copy of the rest", () => {
  const fixture = new ManagerFixture({ replicas: 2 });
  fixture.joins("a");
  const temp = made(fixture, "a", "temp");
  fixture.joins("b");
  fixture.brings("b");
  const task = fixture.submits({ inputs: [temp] });
  expect(pruned(fixture, temp)).toBe("Cannot prune file 1: a task or a user waits for it");
  fixture.finishes(fixture.dispatched.length > 0 ? "b" : workerOf(fixture, task), task);
  expect(pruned(fixture, temp)).toBe("");
  expect(holders(fixture, temp)).toEqual([]);
  // It is not copied again, as there is nothing to copy.
  expect(fixture.state.transfers.size).toBe(0);
});

test("pruneFile() has nothing copied again that its user has removed", () => {
  const fixture = new ManagerFixture({ replicas: 2 });
  fixture.joins("a");
  const temp = made(fixture, "a", "temp");
  const local = fixture.local("local");
  fixture.feed({ kind: "file_requested", fileId: temp, requestId: 1 });
  fixture.delivers(temp);
  fixture.feed({ kind: "file_replicated", fileId: local, count: 1 });
  fixture.brings("a");
  expect([pruned(fixture, temp), pruned(fixture, local)]).toEqual(["", ""]);
  fixture.joins("b");
  expect(fixture.fetches).toEqual([]);
  expect(fixture.state.transfers.size).toBe(0);
});

test("whyKept() keeps an archive that workers may still have to unpack", () => {
  const fixture = new ManagerFixture({ pruneTemps: "depth:1" });
  fixture.joins("a");
  const archive = made(fixture, "a", "archive");
  const environment = fixture.environment("environment", archive);
  ran(fixture, "a", { inputs: [archive] });
  expect(pruned(fixture, archive)).toMatch(/: workers unpack it when they need what is in it$/);
  fixture.feed({ kind: "file_undeclared", fileId: environment });
  expect(holders(fixture, archive)).toEqual([]);
});

function workerOf(fixture: ManagerFixture, taskId: TaskId): string {
  const { state } = fixture.task(taskId);
  return state.kind === "dispatched" ? state.attempt.worker.workerId : "";
}

test("suggestExtras() removes copies above the number, on hosts with several first", () => {
  const fixture = new ManagerFixture({ replicas: 3 });
  fixture.joins("a", { host: "one" });
  const temp = made(fixture, "a", "temp");
  fixture.joins("b", { host: "one" });
  fixture.joins("c", { host: "two" });
  for (const worker of ["b", "c", "b"]) fixture.brings(worker);
  expect(fixture.file(temp).readyCount).toBe(3);
  tune(fixture, { replicas: 2, pruneExtraReplicas: true });
  expect(holders(fixture, temp).length).toBe(2);
  expect(holders(fixture, temp)).toContain("c");
  tune(fixture, { replicas: 1, pruneExtraReplicas: true });
  expect(holders(fixture, temp).length).toBe(1);
});

test("suggestExtras() counts on no copy whose worker may not come back", () => {
  const fixture = new ManagerFixture({ replicas: 2 });
  fixture.joins("a");
  const temp = made(fixture, "a", "temp");
  fixture.joins("b");
  fixture.brings("b");
  fixture.breaks("a");
  tune(fixture, { replicas: 1, pruneExtraReplicas: true });
  expect(holders(fixture, temp).toSorted()).toEqual(["a", "b"]);
  fixture.passes(3_000);
  expect(holders(fixture, temp)).toEqual(["b"]);
});

test("keepCopies() looks at a part of many files in each step", () => {
  const fixture = new ManagerFixture();
  fixture.checksInvariants = false;
  fixture.joins("a", { cores: 8 });
  const temps = fixture.temps("many", 2_500);
  fixture.finishes("a", fixture.submits({ outputs: temps }));
  fixture.checksInvariants = true;
  tune(fixture, { replicas: 2 });
  const queued = (): number => temps.filter((temp) => fixture.file(temp).scarceAt >= 0).length;
  expect(queued()).toBe(1_000);
  fixture.passes(0);
  expect(queued()).toBe(2_500);
});

test("forgetUpkeep() has what a forgotten temp was made of looked at", () => {
  const fixture = new ManagerFixture({ pruneTemps: "depth:2" });
  fixture.joins("a");
  const first = made(fixture, "a", "first");
  const [second, other] = [fixture.temp("second"), fixture.temp("other")];
  ran(fixture, "a", { inputs: [first], outputs: [second, other] });
  ran(fixture, "a", { inputs: [other] });
  expect(holders(fixture, first)).toEqual(["a"]);
  // Its task stays, as the other output is declared still.
  fixture.feed({ kind: "file_undeclared", fileId: second });
  expect(holders(fixture, first)).toEqual([]);
});

test("suggestExtras() counts on no copy that may be damaged", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { host: "one" });
  const temp = made(fixture, "a", "temp");
  fixture.feed({ kind: "file_replicated", fileId: temp, count: 2 });
  fixture.joins("b", { host: "two" });
  fixture.brings("b");
  const [replica] = fixture.file(temp).replicas.values();
  replica!.isSuspect = true;
  tune(fixture, { pruneExtraReplicas: true });
  fixture.feed({ kind: "file_replicated", fileId: temp, count: 1 });
  expect(holders(fixture, temp)).toEqual(["a", "b"]);
});

test("wakeUpkeep() asks once for a step that is due at once", () => {
  const { state } = new ManagerFixture();
  for (let index = 0; index < 100; index++) wakeUpkeep(state, state.nowMs);
  expect(state.deadlines.items.length).toBe(1);
});

test("noteUse() removes what a temp was made of though a user waits for that temp", () => {
  const fixture = new ManagerFixture({ pruneTemps: "depth:2" });
  fixture.joins("a");
  const first = made(fixture, "a", "first");
  const second = fixture.temp("second");
  ran(fixture, "a", { inputs: [first], outputs: [second] });
  fixture.feed({ kind: "file_requested", fileId: second, requestId: 1 });
  ran(fixture, "a", { inputs: [second] });
  expect(holders(fixture, first)).toEqual([]);
});
