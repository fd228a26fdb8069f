import { expect, test } from "bun:test";

import { explain, newInquiry } from "../../../manager/core/explain.ts";
import { explanationShape } from "../../../manager/explanation_shapes.ts";
import { describeExplanation } from "../../../manager/explanation_text.ts";
import type { Explanation, Reason } from "../../../manager/core/explanation.ts";
import { holdTask } from "../../../manager/core/task.ts";
import type { FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

const NO_AHEAD = { dispatchAhead: 1, dispatchAheadMs: 0 };

function explained(fixture: ManagerFixture, taskId: TaskId): Explanation {
  const { state, nowMs } = fixture;
  const found = explain(newInquiry(state, nowMs), taskId);
  if (found === undefined) throw new Error(`Nothing is known of task ${taskId}`);
  return found;
}

/** All that is said of the task; the real cause first. */
function lines(fixture: ManagerFixture, taskId: TaskId): readonly string[] {
  return describeExplanation(explained(fixture, taskId));
}

function first(fixture: ManagerFixture, taskId: TaskId): Reason {
  return explained(fixture, taskId).reasons[0]!;
}

test("explain() says that no worker is connected", () => {
  const fixture = new ManagerFixture();
  const task = fixture.submits({});
  expect(first(fixture, task)).toEqual({ kind: "no_worker" });
  expect(lines(fixture, task)).toEqual(["task 1 waits: no worker is connected"]);
});

test("explain() says how many workers waitForWorkers still waits for", () => {
  const fixture = new ManagerFixture({ waitForWorkers: 3 });
  fixture.joins("a");
  const task = fixture.submits({});
  expect(first(fixture, task)).toEqual({ kind: "few_workers", joinedCount: 1, wantedCount: 3 });
  expect(lines(fixture, task)).toEqual([
    "task 1 waits: waitForWorkers holds everything back: 1 of 3 workers have joined",
  ]);
});

test("explain() says that the workers are busy, and who goes first", () => {
  const fixture = new ManagerFixture(NO_AHEAD);
  fixture.joins("a");
  fixture.joins("b");
  fixture.joins("small", { memoryBytes: 1_000 });
  const wish = { memoryBytes: 1_000_000 };
  fixture.submits(wish, wish, wish, wish, { cores: 2, priority: 5 });
  const task = fixture.submits(wish);
  expect(explained(fixture, task).reasons).toEqual([
    { kind: "busy", resource: "cores", workerCount: 2, ofCount: 3 },
    { kind: "queue", alikeCount: 2, otherCount: 1 },
    {
      kind: "resource",
      resource: "memory",
      amount: 1_000_000,
      most: 2 ** 34,
      workerCount: 1,
      ofCount: 3,
    },
  ]);
  expect(lines(fixture, task)).toEqual([
    "task 6 waits: 2 of 3 workers could run it but are busy: their cores are taken",
    "task 6 waits: before it: 2 tasks alike, 1 task of higher priority",
    "task 6 waits: needs 1 MB of memory; 1 of 3 workers has too little",
  ]);
});

test("explain() names the resource that no worker has enough of, and the most there is", () => {
  const fixture = new ManagerFixture();
  for (const name of ["a", "b", "c"]) fixture.joins(name);
  fixture.joins("g", { gpus: 1 });
  const task = fixture.submits({ gpus: 3 });
  expect(explained(fixture, task).reasons).toEqual([
    { kind: "resource", resource: "gpus", amount: 3, most: 1, workerCount: 4, ofCount: 4 },
  ]);
  expect(lines(fixture, task)).toEqual([
    "task 1 waits: needs 3 gpus; the most that one of 4 workers has is 1",
  ]);
});

test("explain() names a custom resource that nobody has", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { custom: { seats: 1 } });
  const task = fixture.submits({ request: { cores: 1, custom: { license: 2 } } });
  expect(lines(fixture, task)).toEqual([
    'task 1 waits: needs 2 of resource "license"; the only worker has none',
  ]);
});

test("explain() puts what nobody has before what most lack", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 2 });
  for (const name of ["b", "c", "d"]) fixture.joins(name);
  const task = fixture.submits({ cores: 2, gpus: 1 });
  const kinds = explained(fixture, task).reasons.map((reason) => {
    return reason.kind === "resource" ? `${reason.resource} ${reason.workerCount}` : reason.kind;
  });
  expect(kinds).toEqual(["gpus 1", "cores 3"]);
});

test("explain() names the feature that nobody has", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { features: ["ssd"] });
  const task = fixture.submits({ features: ["avx512", "ssd"] });
  expect(lines(fixture, task)).toEqual([
    'task 1 waits: needs a worker with feature "avx512"; the only worker lacks it',
  ]);
  fixture.joins("b");
  expect(lines(fixture, task)).toEqual([
    'task 1 waits: needs a worker with feature "avx512"; none of 2 workers has it',
  ]);
});

test("explain() says that workers end before the task would", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { hello: { leftMs: 60_000 } });
  fixture.joins("b", { hello: { leftMs: 90_000 } });
  const task = fixture.submits({ minTimeMs: 600_000 });
  expect(lines(fixture, task)).toEqual([
    "task 1 waits: needs a worker that is there for 10 m; 2 of 2 workers have 2 m left at most",
  ]);
});

test("explain() says what keeps workers that could run it from taking anything", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.breaks("a");
  const task = fixture.submits({});
  expect(lines(fixture, task)).toEqual([
    "task 1 waits: the only worker could run it but is without a connection, lost in 3 s unless back",
  ]);
  fixture.joins("b");
  fixture.says("b", { kind: "leaving", reason: "told to" });
  expect(explained(fixture, task).reasons.map(({ kind }) => kind)).toEqual(["away", "leaving"]);
});

test("explain() says that a worker takes nothing before its disk has room", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 2 });
  fixture.submits({}, {});
  fixture.says("a", { kind: "recalled", taskId: 2 as TaskId, try: 1, isCrowded: true });
  expect(first(fixture, 2 as TaskId)).toEqual({ kind: "crowded", workerCount: 1, ofCount: 1 });
});

test("explain() follows a missing input down to what keeps the task that makes it", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const [x, y, z] = fixture.temps("t", 3) as [FileId, FileId, FileId];
  fixture.submits({ outputs: [x], gpus: 2 });
  fixture.submits({ inputs: [x], outputs: [y] }, { inputs: [y], outputs: [z] });
  const task = fixture.submits({ inputs: [z] });
  expect(first(fixture, task)).toEqual({
    kind: "input_made",
    file: { fileId: z, mount: "mount0" },
    chain: [
      { taskId: 3 as TaskId, state: "waiting" },
      { taskId: 2 as TaskId, state: "waiting" },
      { taskId: 1 as TaskId, state: "ready" },
    ],
    root: { kind: "resource", resource: "gpus", amount: 2, most: 0, workerCount: 1, ofCount: 1 },
  });
  expect(lines(fixture, task)).toEqual([
    'task 4 waits for input "mount0" of task 3, which waits for task 2, which waits for ' +
    "task 1, which needs 2 gpus; the only worker has none",
  ]);
});

test("explain() says that the task which makes an input runs", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 2 });
  const made = fixture.temp("t");
  const producer = fixture.submits({ outputs: [made] });
  const task = fixture.submits({ inputs: [made] });
  fixture.starts("a", producer);
  expect(lines(fixture, task)).toEqual([
    'task 2 waits for input "mount0" of task 1, which is running',
  ]);
});

test("explain() cuts chains that are long", () => {
  const fixture = new ManagerFixture();
  const temps = fixture.temps("t", 40);
  fixture.submits({ outputs: [temps[0]!] });
  for (let index = 1; index < 40; index++) {
    fixture.submits({ inputs: [temps[index - 1]!], outputs: [temps[index]!] });
  }
  const reason = first(fixture, 40 as TaskId);
  expect(reason.kind === "input_made" && [reason.chain.length, reason.root]).toEqual([
    16,
    undefined,
  ]);
});

test("explain() says that nobody makes an input, and that a file is looked at", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const orphan = fixture.temp("t");
  const local = fixture.declares({ kind: "manager" }, {});
  const origin = { kind: "url", url: "http://h/x", host: "h", isOutput: false } as const;
  const url = fixture.declares(origin, {});
  const task = fixture.submits({ inputs: [orphan, local, url] });
  expect(lines(fixture, task)).toEqual([
    'task 1 waits: input "mount0" is not there, and no task makes it',
    'task 1 waits: input "mount1" is being looked at',
    'task 1 waits: input "mount2": its url is being looked at',
  ]);
});

test("explain() tells of few of many missing inputs, and counts the others", () => {
  const fixture = new ManagerFixture();
  const task = fixture.submits({ inputs: fixture.temps("t", 20) });
  const { reasons } = explained(fixture, task);
  expect(reasons.length).toBe(9);
  expect(reasons.at(-1)).toEqual({ kind: "more_inputs", count: 12 });
});

test("explain() says that a lost input is made again, of the task and of its recovery", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const made = fixture.temp("t");
  const producer = fixture.submits({ outputs: [made] });
  fixture.finishes("a", producer);
  fixture.exits("a");
  const task = fixture.submits({ inputs: [made] });
  expect(lines(fixture, task)).toEqual([
    'task 2 waits for input "mount0" of task 1, which runs again as it was lost, which ' +
    "waits: no worker is connected",
  ]);
  expect(lines(fixture, producer)).toEqual([
    "task 1 waits: no worker is connected",
    "task 1 waits: has ended before, and remakes what was lost since: run 1 of 5 at most",
  ]);
});

test("explain() says when a task that is held starts, and what else it lacks", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ inputs: [fixture.temp("t")] });
  holdTask(fixture.state, fixture.task(task), { kind: "start_after", untilMs: 60_000 });
  expect(explained(fixture, task).reasons.map(({ kind }) => kind)).toEqual([
    "start_after",
    "input_unmade",
  ]);
  expect(lines(fixture, task)[0]).toBe("task 1 waits: starts in 1 m at the earliest");
  fixture.task(task).failureCount = 2;
  holdTask(fixture.state, fixture.task(task), { kind: "back_off", untilMs: 2_000 });
  expect(lines(fixture, task)[0]).toBe("task 1 waits: is tried again in 2 s, after 2 failures");
});

test("explain() says that the retry handler is asked", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ retry: { isAsked: true, delayMs: 0 } });
  fixture.finishes("a", task, { outcome: "exit" });
  expect(lines(fixture, task)).toEqual([
    "task 1 waits: ended as exit; its retry handler is being asked",
  ]);
});

test("explain() says at which worker a task waits, behind whom", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 3, dispatchAheadMs: 0 });
  fixture.joins("a");
  const task = fixture.submits({}, {}, {});
  fixture.starts("a", 1 as TaskId);
  fixture.cancels(1 as TaskId);
  fixture.starts("a", 2 as TaskId);
  fixture.nowMs = 4_000;
  expect(lines(fixture, task)).toEqual([
    "task 3 is dispatched: waits for room at its worker: 1 task running, 0 before it, " +
    "1 being stopped",
    "task 3 is dispatched: at worker a on host of a, try 1, for 4 s",
  ]);
  expect(lines(fixture, 2 as TaskId)).toEqual([
    "task 2 is running for 4 s",
    "task 2 is running: at worker a on host of a, try 1, for 4 s",
  ]);
  fixture.breaks("a");
  expect(first(fixture, task)).toEqual({ kind: "worker_away", leftMs: 3_000 });
});

test("explain() says that a task is taken back for a worker that is free", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  fixture.joins("a");
  const task = fixture.submits({}, {});
  fixture.starts("a", 1 as TaskId);
  fixture.joins("b");
  expect(first(fixture, task)).toEqual({ kind: "recalled" });
});

test("explain() says from where an input comes, and that all is there", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("genome", { sizeBytes: 5_000_000 });
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  fixture.nowMs = 2_000;
  expect(first(fixture, task)).toEqual({
    kind: "input_coming",
    file: { fileId: file, mount: "mount0" },
    from: { kind: "manager", activeCount: 1, slotCount: 4 },
    forMs: 2_000,
    sizeBytes: 5_000_000,
    attemptCount: 0,
  });
  expect(lines(fixture, task)[0]).toBe(
    'task 1 is dispatched: input "mount0" (5 MB) comes from the manager, for 2 s now',
  );
  fixture.failsToBring("a");
  expect(lines(fixture, task)[0]).toBe(
    'task 1 is dispatched: input "mount0" did not come: 1 attempt failed, the next is soon',
  );
  fixture.passes(1_000);
  fixture.brings("a");
  expect(first(fixture, task)).toEqual({ kind: "starting" });
});

test("explain() says that the slots of all that have an input are taken", () => {
  const fixture = new ManagerFixture({ transfersFromManager: 1 });
  const [x, y] = ["x", "y"].map((name) => fixture.local(name, { sizeBytes: 5_000_000 }));
  fixture.joins("a");
  fixture.joins("b");
  const task = fixture.submits({ inputs: [x!] }, { inputs: [y!] });
  expect(first(fixture, task)).toMatchObject({
    kind: "input_queued",
    sources: [{ kind: "manager", activeCount: 1, slotCount: 1 }],
    queueCount: 1,
  });
  expect(lines(fixture, task)[0]).toBe(
    'task 2 is dispatched: input "mount0" waits for who has it (the manager serves 1 of at most ' +
      "1), as 1 copy of it does",
  );
});

test("explain() says that the only holder of an input is away", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const made = fixture.temp("t");
  fixture.finishes("a", fixture.submits({ outputs: [made] }));
  fixture.joins("b");
  fixture.breaks("a");
  const task = fixture.submits({ inputs: [made] });
  expect(first(fixture, task)).toMatchObject({ kind: "input_queued", awayCount: 1 });
});

test("explain() says that an input is made at its worker, and what that is made of", () => {
  const fixture = new ManagerFixture();
  const archive = fixture.local("env.tar", { sizeBytes: 5_000_000 });
  const environment = fixture.environment("env", archive);
  fixture.joins("a");
  const task = fixture.submits({ environments: [environment] });
  expect(lines(fixture, task)[0]).toBe(
    `task 1 is dispatched: environment (file ${environment}) (5 MB) comes from the manager, ` +
      "for 0 ms now",
  );
  const { transfer } = [...fixture.file(archive).replicas.values()][0]!;
  const { name } = fixture.file(archive).bound!;
  const facts = { name, generation: 0, digest: "digest of env.tar", sizeBytes: 5_000_000 };
  fixture.says("a", {
    kind: "replica_ready",
    transferId: transfer!.transferId,
    file: { ...facts, isDirectory: false },
    movedBytes: 5_000_000,
  });
  expect(lines(fixture, task)[0]).toBe(
    `task 1 is dispatched: environment (file ${environment}) is made at its worker, for 0 ms now`,
  );
});

test("explain() says that the disk of a worker has no room for what comes", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("large", { sizeBytes: 900 });
  fixture.joins("a", { diskBytes: 1_000 });
  fixture.holds("a", 500);
  const task = fixture.submits({ inputs: [file] });
  expect(first(fixture, task)).toEqual({ kind: "disk", freeBytes: 500, comingBytes: 900 });
  expect(explained(fixture, task).reasons.map(({ kind }) => kind)).toEqual([
    "disk",
    "input_coming",
    "at_worker",
  ]);
});

test("explain() says that no disk is large enough for inputs that were set apart", () => {
  const fixture = new ManagerFixture(NO_AHEAD);
  fixture.joins("large", { diskBytes: 10_000_000 });
  fixture.joins("small", { diskBytes: 1_000_000 });
  const file = fixture.local("large", { sizeBytes: 5_000_000 });
  fixture.submits({});
  const task = fixture.submits({ inputs: [file] });
  const { reasons } = explained(fixture, task);
  expect(reasons.map(({ kind }) => kind)).toEqual(["busy", "resource"]);
  expect(reasons[1]).toMatchObject({ resource: "disk", workerCount: 1, ofCount: 2 });
});

test("explain() says that files of a library lack, and what makes them", () => {
  const fixture = new ManagerFixture();
  const module = fixture.temp("module");
  fixture.library("digits", module);
  fixture.joins("a");
  fixture.submits({ outputs: [module], gpus: 1 });
  const call = fixture.submits({ library: "digits" });
  expect(lines(fixture, call)).toEqual([
    `task 2 waits for module (file ${module}) of library "digits" of task 1, which needs 1 gpu; ` +
    "the only worker has none",
  ]);
});

test("explain() ends though calls of a library make its own module", () => {
  const fixture = new ManagerFixture();
  const module = fixture.temp("module");
  fixture.library("digits", module);
  fixture.joins("a");
  const call = fixture.submits({ library: "digits", outputs: [module] });
  expect(first(fixture, call)).toMatchObject({ kind: "input_made", chain: [{ taskId: call }] });
});

test("explain() says that nobody has room for an instance of a library", () => {
  const fixture = new ManagerFixture();
  const resources = { cores: 4, memoryBytes: 0, diskBytes: 0, gpus: 0 };
  fixture.library("digits", fixture.local("module"), { resources });
  fixture.joins("a");
  const call = fixture.submits({ library: "digits" });
  expect(lines(fixture, call)).toEqual([
    'task 1 waits: an instance of library "digits" needs 4 cores; the only worker has 1',
  ]);
});

test("explain() says which output is brought, and how many are before it", () => {
  const fixture = new ManagerFixture({ transfersToManager: 1 });
  fixture.joins("a", { cores: 2 });
  const [x, y] = ["x", "y"].map((name) =>
    fixture.declares({ kind: "manager" }, {}, {
      ...fixture.file(fixture.local(`of ${name}`)).bound!,
      name: name as never,
    })
  );
  fixture.submits({ outputs: [x!] }, { outputs: [y!] });
  fixture.finishes("a", 1 as TaskId);
  fixture.finishes("a", 2 as TaskId);
  expect(lines(fixture, 1 as TaskId)).toEqual([
    'task 1 is retrieving: output "mount0" is on its way to the manager',
  ]);
  expect(lines(fixture, 2 as TaskId)).toEqual([
    'task 2 is retrieving: output "mount0" waits to be brought to the manager, with 0 before it',
  ]);
});

test("explain() knows nothing of tasks that have left the core, and that others have ended", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.finishes("a", task);
  expect(explain(newInquiry(fixture.state), task)).toBeUndefined();
  const kept = fixture.submits({ outputs: [fixture.temp("t")] });
  fixture.finishes("a", kept);
  expect(explained(fixture, kept)).toMatchObject({ state: "done", reasons: [{ kind: "ended" }] });
});

test("explain() says that hosts are blocked for a while or by hand, and that others drain", () => {
  const fixture = new ManagerFixture();
  for (const host of ["h1", "h2", "h3"]) fixture.joins(`at ${host}`, { host });
  fixture.feed(
    { kind: "host_changed", host: "h1", change: "block", forMs: 60_000 },
    { kind: "host_changed", host: "h2", change: "block", forMs: 60_000 },
  );
  // One that runs something stays until that has ended.
  fixture.submits({});
  fixture.feed({ kind: "host_changed", host: "h3", change: "drain", forMs: Infinity });
  const task = fixture.submits({});
  expect(lines(fixture, task)).toEqual([
    "task 2 waits: 2 of 3 workers could run it but are on 2 blocked hosts (h1 and others), for 1 m " +
    "more",
    "task 2 waits: 1 of 3 workers could run it but is drained: nothing more is given there",
  ]);
  fixture.feed({ kind: "host_changed", host: "h1", change: "block", forMs: Infinity });
  fixture.feed({ kind: "host_changed", host: "h2", change: "unblock", forMs: 0 });
  expect(fixture.dispatched).toEqual([`at h2 ${task}.1`]);
});

test("explain() says that as many tasks of its category run as may", () => {
  const fixture = new ManagerFixture(NO_AHEAD);
  fixture.joins("a", { cores: 4 });
  fixture.category("blast", { maxConcurrent: 2 });
  const wish = { category: "blast" };
  const task = fixture.submits(wish, wish, wish, wish);
  expect(explained(fixture, task).reasons).toEqual([
    { kind: "category_full", category: "blast", runningCount: 2, maxConcurrent: 2 },
    { kind: "queue", alikeCount: 1, otherCount: 0 },
  ]);
  expect(lines(fixture, task)[0]).toBe(
    'task 4 waits: category "blast" has 2 tasks at workers, of 2 at most at a time',
  );
});

test("explain() says where strict inputs are, and what keeps the task from there", () => {
  const fixture = new ManagerFixture(NO_AHEAD);
  fixture.joins("a");
  const made = fixture.temp("t");
  fixture.finishes("a", fixture.submits({ outputs: [made] }));
  fixture.submits({});
  fixture.joins("b");
  const task = fixture.submits({ inputs: [made], strict: [made] });
  expect(lines(fixture, task)).toEqual([
    'task 3 waits: runs only where "mount0" is: at 1 worker',
    "task 3 waits: the only worker could run it but is busy: its cores are taken",
  ]);
  fixture.breaks("a");
  expect(explained(fixture, task).reasons.map(({ kind }) => kind)).toEqual([
    "strict_input",
    "away",
  ]);
});

test("explain() says that instances have slots for a call, and their workers no room for it", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"), { slots: 4 });
  fixture.joins("a", { cores: 3 });
  const wide = { library: "digits", request: { cores: 2 } };
  fixture.submits(wide);
  const call = fixture.submits(wide);
  const explanation = explained(fixture, call);
  expect(explanation.reasons[0]).toEqual({
    kind: "call_room",
    library: "digits",
    resource: "cores",
    amount: 2,
    workerCount: 1,
  });
  expect(explanationShape(explanation)).toBeUndefined();
  expect(lines(fixture, call)[0]).toBe(
    "task 2 waits: needs 2 cores beside its instance; at the worker whose instance of library " +
      '"digits" has free slots, cores are taken',
  );
});
