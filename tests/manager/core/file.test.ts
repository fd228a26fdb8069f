import { expect, test } from "bun:test";

import type { BoundFile } from "../../../manager/core/event.ts";
import type { CacheName } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

function boundAs(name: string): BoundFile {
  const bare = { sizeBytes: 1_000, digest: name, isDirectory: false, isExecutable: false };
  return { name: name as CacheName, ...bare };
}

test("bindFile() lets tasks go that waited for the name of a file", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const file = fixture.declares({ kind: "manager" }, {});
  const task = fixture.submits({ inputs: [file] });
  expect(fixture.task(task).state).toEqual({ kind: "waiting", missing: 1 });
  fixture.feed({ kind: "file_bound", fileId: file, bound: boundAs("query") });
  expect(fixture.dispatched).toEqual([`a ${task}.1`]);
});

test("bindFile() makes one file of two declarations of a name", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const [one, other] = [{}, {}].map((wish) => fixture.declares({ kind: "manager" }, wish));
  const both = fixture.submits({ inputs: [one!, other!] });
  fixture.feed({ kind: "file_bound", fileId: one!, bound: boundAs("query") });
  expect(fixture.task(both).state).toEqual({ kind: "waiting", missing: 1 });
  fixture.feed({ kind: "file_bound", fileId: other!, bound: boundAs("query") });
  expect(fixture.dispatched).toEqual([`a ${both}.1`]);
  expect(fixture.fetches).toEqual(["a query from manager"]);
  fixture.finishes("a", both);
  // It goes when both declarations are gone.
  fixture.feed({ kind: "file_undeclared", fileId: one! });
  expect(fixture.state.files.size).toBe(2);
  fixture.feed({ kind: "file_undeclared", fileId: other! });
  expect(fixture.state.files.size + fixture.state.filesByName.size).toBe(0);
});

test("bindFile() takes no notice of a file that failed and was let go of", () => {
  const fixture = new ManagerFixture();
  const file = fixture.declares({ kind: "manager" }, {});
  const outcome = "input_missing";
  fixture.feed({ kind: "file_failed", fileId: file, outcome, message: "no such file" });
  fixture.feed({ kind: "file_undeclared", fileId: file });
  fixture.feed({ kind: "file_bound", fileId: file, bound: boundAs("query") });
  expect(fixture.state.files.size).toBe(0);
});

test("undeclareFile() keeps a file as long as a task needs it", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("query");
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  fixture.brings("a");
  fixture.feed({ kind: "file_undeclared", fileId: file });
  expect(fixture.told("a")).toEqual([]);
  fixture.finishes("a", task);
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "query" });
  expect(fixture.state.files.size).toBe(0);
});

test("releaseIfUnneeded() deletes a task-level file when its last task has ended", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("query", { level: "task" });
  fixture.joins("a", { cores: 2 });
  const [first, second] = [1, 2].map(() => fixture.submits({ inputs: [file] }));
  fixture.brings("a");
  fixture.finishes("a", first!);
  expect(fixture.toldOf("a", "delete")).toBeUndefined();
  fixture.finishes("a", second!);
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "query" });
  expect(fixture.file(file).isAvailable).toBe(true);
});

test("releaseIfUnneeded() drops the lineage of a chain when its last temp is undeclared", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const [first, second] = [fixture.temp("first"), fixture.temp("second")];
  fixture.finishes("a", fixture.submits({ outputs: [first] }));
  fixture.finishes("a", fixture.submits({ inputs: [first], outputs: [second] }));
  fixture.feed({ kind: "file_undeclared", fileId: first });
  // Its contents go, its record stays: second may have to be made again.
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "first" });
  expect(fixture.state.tasks.size).toBe(2);
  fixture.feed({ kind: "file_undeclared", fileId: second });
  expect(fixture.state.tasks.size + fixture.state.files.size).toBe(0);
});

test("releaseIfUnneeded() keeps an archive while its environment is being made", () => {
  const fixture = new ManagerFixture();
  const archive = fixture.local("env.tar");
  const environment = fixture.environment("env", archive);
  fixture.joins("a");
  const task = fixture.submits({ environments: [environment] });
  expect(fixture.toldOf("a", "make")).toMatchObject({ name: "env", recipe: { input: "env.tar" } });
  fixture.feed({ kind: "file_undeclared", fileId: archive });
  expect(fixture.told("a")).toEqual([]);
  fixture.brings("a");
  fixture.finishes("a", task);
  // The archive itself is of no more use; the environment can be made of it again.
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "env.tar" });
  fixture.feed({ kind: "file_undeclared", fileId: environment });
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "env" });
  expect(fixture.state.files.size).toBe(0);
});

test("giveUpFile() fails all that needs what is made of a file that failed", () => {
  const fixture = new ManagerFixture();
  const archive = fixture.declares({ kind: "manager" }, {});
  const environment = fixture.environment("env", archive);
  const task = fixture.submits({ environments: [environment] });
  const outcome = "input_missing";
  fixture.feed({ kind: "file_failed", fileId: archive, outcome, message: "no such file" });
  expect(fixture.ends.get(task)).toMatchObject({ outcome, message: "no such file" });
});
