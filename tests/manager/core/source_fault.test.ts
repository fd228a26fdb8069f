import { expect, test } from "bun:test";

import type { FileId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const LARGE = { sizeBytes: 10_000_000 };
const FAULT = { isSourceFault: true };

/** A file of the manager that is at `holders` too, and workers `readers` with nothing. */
function spread(fixture: ManagerFixture, holders: string[], readers: string[]): FileId {
  const file = fixture.local("database", LARGE);
  for (const worker of [...holders, ...readers]) {
    fixture.joins(worker, { cores: 8, features: [worker] });
  }
  for (const holder of holders) {
    fixture.submits({ inputs: [file], features: [holder] });
    fixture.brings(holder);
  }
  return file;
}

function asks(fixture: ManagerFixture, worker: string, file: FileId): string[] {
  fixture.submits({ inputs: [file], features: [worker] });
  return fixture.fetches;
}

test("blameSource() has all transfers pass a source over for a while, not only the one it failed", () => {
  const fixture = new ManagerFixture();
  const file = spread(fixture, ["a"], ["b", "c", "d"]);
  expect(asks(fixture, "b", file)).toEqual(["b database from a"]);
  fixture.failsToBring("b", FAULT);
  expect(asks(fixture, "c", file)).toEqual(["c database from manager"]);
  fixture.passes(1_000);
  expect(asks(fixture, "d", file)).toEqual(["d database from a"]);
});

test("blameSource() has the only source asked again after a while that grows with each fault", () => {
  const fixture = new ManagerFixture();
  const readers = ["b", "c", "d", "e"];
  for (const worker of ["a", ...readers]) {
    fixture.joins(worker, { cores: 8, features: [worker] });
  }
  const temp = fixture.temp("temp");
  fixture.finishes("a", fixture.submits({ outputs: [temp], features: ["a"] }));
  const { source } = fixture.state.workers.get(idOf("a"))!;
  const pauses: number[] = [];
  for (const [index, reader] of readers.entries()) {
    expect(asks(fixture, reader, temp)).toEqual([`${reader} temp from a`]);
    fixture.failsToBring(reader, FAULT);
    const pauseMs = source.asideUntilMs - fixture.nowMs;
    pauses.push(pauseMs);
    fixture.passes(pauseMs - 1);
    expect(source.active.size).toBe(index);
    fixture.passes(1);
    expect(source.active.size).toBe(index + 1);
  }
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000]);
  fixture.brings("b");
  expect([source.faultCount, source.asideUntilMs]).toEqual([0, 0]);
});

test("blameSource() takes what fails at the same time for one fault", () => {
  const fixture = new ManagerFixture();
  const file = spread(fixture, ["a"], ["b", "c"]);
  asks(fixture, "b", file);
  asks(fixture, "c", file);
  fixture.failsToBring("b", FAULT);
  fixture.failsToBring("c", FAULT);
  expect(fixture.state.workers.get(idOf("a"))!.source.faultCount).toBe(1);
});

test("blameSource() does not believe a worker to which every source is bad", () => {
  const fixture = new ManagerFixture();
  const names = ["1", "2", "3", "4"];
  for (const worker of [...names, "bad", "good"]) {
    fixture.joins(worker, { cores: 8, features: [worker] });
  }
  const temps = names.map((name) => {
    const temp = fixture.temp(name);
    fixture.finishes(name, fixture.submits({ outputs: [temp], features: [name] }));
    return temp;
  });
  for (const temp of temps) {
    fixture.submits({ inputs: [temp], features: ["bad"] });
    fixture.failsToBring("bad", FAULT);
  }
  const faults = names.map((name) => fixture.state.workers.get(idOf(name))!.source.faultCount);
  expect(faults).toEqual([1, 1, 1, 0]);
  expect(asks(fixture, "good", temps[3]!)).toEqual(["good 4 from 4"]);
});

test("clearFaults() lets a source that has connected anew be asked at once", () => {
  const fixture = new ManagerFixture();
  const file = spread(fixture, ["a"], ["b", "c"]);
  asks(fixture, "b", file);
  fixture.failsToBring("b", FAULT);
  const facts = { ...fixture.state.workers.get(idOf("a"))!.replicas.values().next().value!.facts! };
  fixture.returns("a", { replicas: [{ ...facts, level: "workflow" }] });
  expect(asks(fixture, "c", file)).toEqual(["c database from a"]);
});

test("failTransfer() counts what came before it failed, from where it came", () => {
  const fixture = new ManagerFixture();
  const file = spread(fixture, [], ["b"]);
  asks(fixture, "b", file);
  fixture.failsToBring("b", { ...FAULT, movedBytes: 5_000 });
  expect(fixture.state.counters.managerToWorkerBytes).toBe(5_000);
  const failed = fixture.facts.find(({ kind }) => kind === "transfer_failed");
  expect(failed).toMatchObject({ from: "manager", movedBytes: 5_000 });
});

test("offerSlots() has copies make way for what waited while their source was set aside", () => {
  const fixture = new ManagerFixture({ transfersPerWorker: 2 });
  for (const worker of ["a", "b", "c"]) fixture.joins(worker, { cores: 8, features: [worker] });
  const [spare, temp, other] = ["spare", "temp", "other"].map((name) => fixture.temp(name));
  const outputs = [spare!, temp!, other!];
  fixture.finishes("a", fixture.submits({ outputs, features: ["a"] }));
  fixture.feed({ kind: "file_replicated", fileId: spare!, count: 2 });
  const { source } = fixture.state.workers.get(idOf("a"))!;
  expect(source.background.size).toBe(1);
  asks(fixture, "c", temp!);
  fixture.failsToBring("c", FAULT);
  expect(asks(fixture, "b", other!)).toEqual([]);
  fixture.passes(1_000);
  expect([source.background.size, source.active.size]).toEqual([0, 2]);
});
