import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";

import { Manager, type TaskHandle } from "../../mod.ts";
import { Scratch, until } from "./scratch.ts";

const MODULE = `
import { readFileSync, statSync, writeFileSync } from "node:fs";
export const big = (bytes: number, fill = 7): Uint8Array => new Uint8Array(bytes).fill(fill);
export const sizes = (...values: Uint8Array[]): number[] => values.map((value) => value.length);
export const last = (value: Uint8Array): number => value[value.length - 1]!;
export const sizeOf = (path: string): number => statSync(path).size;
export const same = (value: unknown): unknown => value;
export const add = (a: number, b: number): number => a + b;
export const fail = (): never => { throw new RangeError("not today"); };
export const read = (name: string): string => readFileSync(name, "utf8");
export const write = (name: string, text: string): void => writeFileSync(name, text);
`;

function moduleOf(scratch: Scratch): string {
  const path = scratch.path("values.ts");
  writeFileSync(path, MODULE);
  return path;
}

/** A worker's own feature, so that a test can say where a call runs. */
function at(feature: string) {
  return { args: ["--feature", feature] };
}

test("A value above 1 MiB stays in the cluster, and goes from worker to worker", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { waitForWorkers: 2 } });
  await scratch.worker(manager, at("left"));
  await scratch.worker(manager, at("right"));
  const library = manager.library({ name: "values", module: moduleOf(scratch) });
  const left = library.with({ features: ["left"] });
  const right = library.with({ features: ["right"] });
  const made = left.call<Uint8Array>("big", 3_000_000);
  const small = left.call<Uint8Array>("big", 1000);
  const nothing = right.call("same", undefined);
  const told = right.call<number[]>("sizes", made, small, made);
  expect(await told.value()).toEqual([3_000_000, 1000, 3_000_000]);
  expect(made.valueFile?.size).toBeGreaterThan(3_000_000);
  expect(small.valueFile).toBe(undefined);
  expect(await right.call("same", nothing).value()).toBe(undefined);
  const before = manager.status().bytes;
  expect(before.workerToWorker).toBe(made.valueFile?.size ?? 0);
  expect(before.workerToManager).toBe(0);
  // Both wait for one fetch.
  const [value, again] = await Promise.all([made.value(), made.value()]);
  expect([value.length, value.at(-1)]).toEqual([3_000_000, 7]);
  expect(again).toBe(value);
  expect(manager.status().bytes.workerToManager).toBe(made.valueFile?.size ?? 0);
  const file = made.valueFile;
  if (file === undefined) throw new Error("no file");
  await manager.undeclare(file);
  await until(() => file.replicaCount === 0, "the value is gone");
  expect(() => right.call("sizes", made)).toThrow("undeclared");
  expect(manager.status().refused).toMatchObject({ lie: 0, flood: 0 });
}, 120_000);

test("A value that is lost is made again, with the long arguments of its call", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { reconnectGrace: "200ms" } });
  const first = await scratch.worker(manager, at("any"));
  const library = manager.library({ name: "values", module: moduleOf(scratch) });
  const argument = new Uint8Array(2_000_000).fill(9);
  const made = library.call<Uint8Array>("same", argument);
  expect((await made).outcome).toBe("success");
  await until(() => made.valueFile?.replicaCount === 1, "the value is there");
  first.child.kill("SIGKILL");
  await until(() => made.valueFile?.replicaCount === 0, "the value is lost");
  await scratch.worker(manager, at("other"));
  expect(await library.call("last", made).value()).toBe(9);
  expect((await made.value()).length).toBe(2_000_000);
  expect(manager.status().refused).toMatchObject({ lie: 0, flood: 0 });
}, 120_000);

test("Tasks among the arguments give their values, and their failures", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager, { cores: 2 });
  const library = manager.library({ name: "values", module: moduleOf(scratch), slots: 2 });
  const task = manager.submit({ command: "echo out; echo err >&2", tag: "said" });
  const given = library.call<Record<string, unknown>>("same", { deep: [task] });
  expect(given.state).toBe("waiting");
  const { deep } = await given.value() as { deep: Record<string, unknown>[] };
  expect(deep[0]).toMatchObject({
    id: task.id,
    tag: "said",
    outcome: "success",
    exitCode: 0,
    stdout: "out\n",
    stderr: "err\n",
  });
  let sum: TaskHandle<number> = library.call<number>("add", 0, 0);
  for (let step = 1; step <= 50; step++) sum = library.call<number>("add", sum, 1);
  expect(await sum.value()).toBe(50);
  const failed = library.call("fail");
  let waiting: TaskHandle<unknown> = library.call("same", [failed, sum]);
  for (let step = 0; step < 20; step++) waiting = library.call("same", { it: waiting });
  const { outcome, message } = await waiting;
  expect(outcome).toBe("input_missing");
  expect(message).toBe(
    `Cannot run: task ${failed.id}, whose value is an argument, ended as call_error: ` +
      "RangeError: not today",
  );
  expect((await library.call("same", failed)).outcome).toBe("input_missing");
}, 120_000);

test("Calls have inputs and outputs of all kinds where they work", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const library = manager.library({ name: "values", module: moduleOf(scratch) });
  const seed = manager.buffer("seed");
  const temp = manager.temp();
  const local = manager.file(scratch.path("kept.txt"));
  const buffer = manager.buffer();
  const wrote = library.with({ inputs: { "deep/seed": seed }, outputs: { "out/a": temp } });
  expect((await wrote.call("write", "out/a", "first")).outcome).toBe("success");
  const lacking = library.with({ inputs: { "deep/seed": seed }, outputs: { b: manager.temp() } });
  expect(await lacking.call("read", "deep/seed"))
    .toMatchObject({ outcome: "output_missing", mount: "b" });
  const read = library.with({ inputs: { a: temp }, outputs: { kept: local } });
  expect((await read.call("write", "kept", "second")).outcome).toBe("success");
  expect(readFileSync(scratch.path("kept.txt"), "utf8")).toBe("second");
  expect(await library.with({ inputs: { a: temp } }).call("read", "a").value()).toBe("first");
  const asked = library.with({ outputs: { seen: { file: buffer, only: "failure" } } });
  expect((await asked.call("write", "seen", "x")).outcome).toBe("success");
}, 120_000);

test(
  "A call that writes to a file among its arguments ends as that, and others get it anew",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const library = manager.library({ name: "values", module: moduleOf(scratch) });
    const file = manager.buffer("what was there");
    expect(await library.call("read", file).value()).toBe("what was there");
    const { outcome, message } = await library.call("write", file, "spoilt");
    expect(outcome).toBe("input_modified");
    expect(message).toContain("changed its file argument");
    expect(await library.call("read", file).value()).toBe("what was there");
    const big = manager.buffer("x".repeat(100_000));
    const call = await library.with({ inputs: { big } }).call("write", "big", "spoilt");
    expect([call.outcome, call.mount]).toEqual(["input_modified", "big"]);
    expect(await library.call("sizeOf", big).value()).toBe(100_000);
  },
  120_000,
);

test("Large arguments, models and temps come to calls, and not by way of the manager", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { waitForWorkers: 2 } });
  await scratch.worker(manager, at("left"));
  await scratch.worker(manager, at("right"));
  const library = manager.library({ name: "values", module: moduleOf(scratch) });
  const right = library.with({ features: ["right"] });
  const model = manager.temp();
  const command = "truncate -s 100000000 model";
  await manager.submit({ command, outputs: { model }, features: ["left"] }).orThrow();
  expect(await right.call("sizeOf", model).value()).toBe(100_000_000);
  const { bytes } = manager.status();
  expect([bytes.workerToWorker, bytes.workerToManager]).toEqual([100_000_000, 0]);
  const long = new Uint8Array(20_000_000).fill(3);
  expect(await right.call("sizes", long, long).value()).toEqual([20_000_000, 20_000_000]);
  const result = library.call<Uint8Array>("big", 70_000_000);
  expect(await right.call("sizes", result).value()).toEqual([70_000_000]);
  expect((await result.value()).length).toBe(70_000_000);
}, 120_000);

test("Arguments and values around 1 MiB are the same on either side of it", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const library = manager.library({ name: "values", module: moduleOf(scratch) });
  const mebibyte = 1024 * 1024;
  const calls = Array.from({ length: 40 }, (_, index) => {
    return library.call<Uint8Array>("same", new Uint8Array(mebibyte - 20 + index).fill(index));
  });
  for (const [index, call] of calls.entries()) {
    const value = await call.value();
    expect([value.length, value[0], value.at(-1)]).toEqual([mebibyte - 20 + index, index, index]);
  }
  const kept = calls.filter(({ valueFile }) => valueFile !== undefined).length;
  expect([kept > 10, kept < 30]).toEqual([true, true]);
}, 120_000);

const PYTHON = `
def big(size): return bytes(size)
def sizes(*values): return [len(value) for value in values]
def write(name, text):
    with open(name, "w") as file: file.write(text)
def read(name):
    with open(name) as file: return file.read()
`;

for (const mode of ["direct", "fork"] as const) {
  test(`Calls in Python (${mode}) pass large values and have files where they work`, async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager, { cores: 2 });
    const library = manager.library({ name: "python", python: PYTHON, mode });
    const script = manager.library({ name: "values", module: moduleOf(scratch) });
    const made = library.call<Uint8Array>("big", 3_000_000);
    expect(await script.call("sizes", made).value()).toEqual([3_000_000]);
    expect(await library.call("sizes", script.call("big", 2_000_000), made).value())
      .toEqual([2_000_000, 3_000_000]);
    const seed = manager.buffer("seed");
    const temp = manager.temp();
    const writes = library.with({ outputs: { "out/a": temp } });
    expect((await writes.call("write", "out/a", "made")).outcome).toBe("success");
    const reads = library.with({ inputs: { a: temp, "deep/seed": seed } });
    expect(await reads.call("read", "a").value()).toBe("made");
    expect(await reads.call("read", "deep/seed").value()).toBe("seed");
    const lacking = library.with({ outputs: { b: manager.temp() } });
    expect(await lacking.call("sizes")).toMatchObject({ outcome: "output_missing", mount: "b" });
    const spoilt = await library.call("write", seed, "spoilt");
    expect(spoilt.outcome).toBe("input_modified");
  }, 120_000);
}

test("Thousands of calls that wait for others are cancelled, fail and end together", async () => {
  await using scratch = await Scratch.open();
  await using other = await Manager.start();
  await using manager = await Manager.start();
  const library = manager.library({ name: "values", module: moduleOf(scratch), slots: 4 });
  const one = library.call<number>("add", 0, 1);
  const failing = library.call("fail");
  const sums = Array.from({ length: 2_000 }, (_, index) => library.call<number>("add", one, index));
  const tagged = Array.from({ length: 500 }, () => library.with({ tag: "off" }).call("same", one));
  const doomed = Array.from({ length: 500 }, () => library.call("same", failing));
  expect(manager.isEmpty()).toBe(false);
  await until(() => sums[7]?.explain().reasons[0]?.kind === "arguments", "the core has it");
  expect(sums[7]?.explain().reasons).toEqual([{ kind: "arguments", taskIds: [one.id], count: 1 }]);
  expect(manager.cancel({ tag: "off" })).toBe(500);
  const away = other.library({ name: "values", module: moduleOf(scratch) });
  expect(() => away.call("same", one)).toThrow("it is of another manager");
  await scratch.worker(manager, { cores: 2 });
  const values = await Promise.all(sums.map((sum) => sum.value()));
  expect(values.every((value, index) => value === index + 1)).toBe(true);
  await Promise.all([one, failing]);
  const ends = await Promise.all([...tagged, ...doomed]);
  expect(new Set(ends.map(({ outcome }) => outcome))).toEqual(
    new Set(["cancelled", "input_missing"]),
  );
  expect(manager.isEmpty()).toBe(true);
}, 120_000);
