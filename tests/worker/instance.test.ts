import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync } from "node:fs";

import { join } from "@std/path";

import type { CacheName, InstanceId } from "../../shared/ids.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import { decodeValue } from "../../shared/value.ts";
import type { WorkerEvent } from "../../worker/core/event.ts";
import { readProcess } from "../../worker/process_table.ts";
import { FileArgument, InstanceBench } from "./instance_bench.ts";
import { until } from "./task_fixture.ts";

const MODULE = `
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
let started = 0;
export function setup(): void { started += 1; }
export function add(a: number, b: number): number { return a + b + started; }
export function fail(): void { throw new RangeError("not today"); }
export function read(path: string): string { return readFileSync(path, "utf8"); }
export function write(): void { writeFileSync("made", "by a call"); }
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
export function hang(): Promise<void> { return new Promise(() => setTimeout(() => {}, 1e6)); }
export function leave(): number {
  return spawn("sleep", ["600"], { detached: true, stdio: "ignore" }).pid!;
}
export async function fill(bytes: number): Promise<never> {
  const parts = [];
  for (let left = bytes; left > 0; left -= 1e7) parts.push(new Uint8Array(1e7).fill(left % 255 + 1));
  await new Promise(() => setTimeout(() => parts.length, 1e6));
  throw new Error("it was let");
}
export function load(): Promise<never> { return fill(1e9); }
export async function spill(bytes: number): Promise<void> {
  writeFileSync("spilt", new Uint8Array(bytes).fill(1));
  await hang();
}
export function where(): unknown { const { env } = process; return [env.TENDRIL_ENVIRONMENT, env.PATH, env.CONDA_PREFIX]; }
`;

test("Instances serve calls with the context, and tell what a function threw", async () => {
  await using bench = new InstanceBench();
  expect(await bench.start(MODULE, { context: "setup" })).toMatchObject({ kind: "instance_ready" });
  const sum = await bench.call("add", [2, 3]);
  expect(sum).toMatchObject({ taskId: 1 as never, try: 1, outcome: "success", message: "" });
  expect(decodeValue(sum.value!)).toBe(6);
  const thrown = await bench.call("fail", []);
  expect(thrown).toMatchObject({ outcome: "call_error", message: "RangeError: not today" });
  const unknown = await bench.call("missing", []);
  expect(unknown.outcome).toBe("call_error");
});

test("Instances give calls their files and take the files that they make", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE);
  bench.add("input", "from a file");
  const inputs = [{ mount: "", name: "input" as CacheName, generation: 0 }];
  const read = await bench.call("read", [new FileArgument()], { inputs });
  expect(decodeValue(read.value!)).toBe("from a file");
  const name = "temp-1" as CacheName;
  const made = { mount: "made", name, generation: 1, level: "workflow", isReturned: true } as const;
  const written = await bench.call("write", [], { outputs: [made] });
  expect(written.outcome).toBe("success");
  expect(new TextDecoder().decode(written.outputs[0]?.content)).toBe("by a call");
  expect(bench.cache.get(name)?.facts.sizeBytes).toBe(9);
  const nothing = await bench.call("add", [1, 1], { outputs: [{ ...made, generation: 2 }] });
  expect(nothing).toMatchObject({ outcome: "output_missing", mount: "made" });
  const missing = [{ mount: "", name: "nowhere" as CacheName, generation: 0 }];
  expect((await bench.call("read", [new FileArgument()], { inputs: missing })).outcome)
    .toBe("input_missing");
});

test("Instances tell what a function removes or replaces that it got as a file, and go on", async () => {
  await using bench = new InstanceBench();
  const deeds = {
    remove: "rmSync(path)",
    move: 'renameSync(path, "moved")',
    nest: "rmSync(path); mkdirSync(path)",
    block: 'rmSync(path); spawnSync("mkfifo", [path])',
  };
  const functions = Object.entries(deeds).map(([name, deed]) => {
    return `export function ${name}(path) { ${deed}; }\n`;
  });
  await bench.start(`
    import { spawnSync } from "node:child_process";
    import { mkdirSync, renameSync, rmSync } from "node:fs";
    ${functions.join("")}
    export function nothing() {}
  `);
  const inputs = [{ mount: "", name: "input" as CacheName, generation: 0 }];
  for (const name of Object.keys(deeds)) {
    bench.add("input", "from a file");
    expect(await bench.call(name, [new FileArgument()], { inputs })).toMatchObject({
      outcome: "input_modified",
      message: 'The function, or its process, changed its file argument "input"',
    });
    expect(bench.cache.get("input" as CacheName)).toBeUndefined();
  }
  expect((await bench.call("nothing", [])).outcome).toBe("success");
  bench.add("input", "from a file");
  rmSync(bench.cache.get("input" as CacheName)!.path);
  expect(await bench.call("nothing", [new FileArgument()], { inputs })).toMatchObject({
    outcome: "input_modified",
    isAmbiguous: true,
  });
});

test("Instances run inside their environments", async () => {
  await using bench = new InstanceBench();
  const made = bench.cache.newIncomingPath();
  mkdirSync(join(made, "conda-meta"), { recursive: true });
  const facts = { generation: 0, sizeBytes: 0, digest: "", isDirectory: true };
  bench.cache.commit(made, { name: "env" as CacheName, ...facts }, "workflow");
  await bench.start(MODULE, { environments: ["env" as CacheName] });
  const { path } = bench.cache.get("env" as CacheName)!;
  const [environment, search, prefix] = decodeValue(
    (await bench.call("where", [])).value!,
  ) as string[];
  expect([environment, prefix]).toEqual([path, path]);
  expect(search).toStartWith(`${join(path, "bin")}:`);
});

test("Instances.stopCall() frees the slot of a call that hangs", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE);
  const taskId = bench.send("hang", []);
  const instanceId = 1 as InstanceId;
  bench.instances.stopCall({ kind: "stop_call", instanceId, taskId, try: 1 });
  expect(await bench.nextResult()).toMatchObject({ taskId, outcome: "cancelled" });
  expect((await bench.call("add", [1, 1])).outcome).toBe("success");
});

test(
  "Instances.call() counts the time of a call from when it begins, not while others are before it",
  async () => {
    await using bench = new InstanceBench();
    await bench.start(MODULE);
    // Together they take longer than each may, and each much less, on a busy machine too.
    const shape = { timeoutMs: 1_000 };
    const calls = Array.from({ length: 8 }, () => bench.send("pause", [150], { shape }));
    const hangs = bench.send("hang", [], { shape });
    for (const taskId of calls) {
      expect(await bench.nextResult()).toMatchObject({ taskId, outcome: "success" });
    }
    expect(await bench.nextResult()).toMatchObject({
      taskId: hangs,
      outcome: "timeout",
      message: "The call was stopped: its time was up: 1 s",
    });
  },
  60_000,
);

test("Instances.call() ends a call alone that has more memory than it states", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE, { slots: 2 });
  const other = bench.send("hang", []);
  const shape = { resources: { ...NO_RESOURCES, memoryBytes: 300e6 } };
  const taskId = bench.send("fill", [600e6], { shape });
  const ended = await bench.nextResult();
  expect(ended).toMatchObject({
    taskId,
    outcome: "resources_exhausted",
    exceeded: { resource: "memory", limit: 300e6 },
  });
  expect(ended.message).toStartWith("The call was stopped: its processes had ");
  expect(ended.message).toEndWith("of memory in use, 300 MB were stated for it");
  expect(ended.used?.memoryBytes).toBeGreaterThan(300e6);
  const within = await bench.call("add", [1, 1], { shape });
  expect(within).toMatchObject({ outcome: "success", used: { processCount: 1 } });
  bench.instances.stopCall({
    kind: "stop_call",
    instanceId: 1 as InstanceId,
    taskId: other,
    try: 1,
  });
  expect(await bench.nextResult()).toMatchObject({ taskId: other, outcome: "cancelled" });
}, 60_000);

test("Instances.call() ends a call alone that writes more than it states", async () => {
  await using bench = new InstanceBench();
  const more = { resources: { cores: 1, memoryBytes: 0, diskBytes: 1e6, gpus: 0 } };
  await bench.start(MODULE, more);
  const shape = { resources: { ...NO_RESOURCES, diskBytes: 8e6 } };
  const within = bench.send("spill", [4e6], { shape });
  await bench.next((event) => event.kind === "sandbox_measured" && event.bytes >= 4e6);
  bench.instances.stopCall({
    kind: "stop_call",
    instanceId: 1 as InstanceId,
    taskId: within,
    try: 1,
  });
  expect(await bench.nextResult()).toMatchObject({ taskId: within, outcome: "cancelled" });
  const taskId = bench.send("spill", [12e6], { shape });
  expect(await bench.nextResult()).toMatchObject({
    taskId,
    outcome: "resources_exhausted",
    exceeded: { resource: "disk", limit: 8e6 },
  });
  expect((await bench.call("add", [1, 1])).outcome).toBe("success");
  await bench.trash.close();
  expect(readdirSync(join(bench.directory, "instances"))).toEqual(["1"]);
}, 60_000);

test("Instances tell why one cannot start and leave nothing behind", async () => {
  await using bench = new InstanceBench();
  const gone = await bench.start("throw new TypeError('no such luck');");
  expect(gone).toMatchObject({ kind: "instance_gone", reason: "start_failed" });
  expect("message" in gone && gone.message).toContain("no such luck");
  await bench.trash.close();
  expect(readdirSync(join(bench.directory, "instances"))).toEqual([]);
});

test("Instances.stop() ends an instance and the calls in it", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE);
  bench.send("hang", []);
  bench.instances.stop({ kind: "stop_instance", instanceId: 1 as InstanceId });
  const lost = await bench.nextResult();
  expect(lost).toMatchObject({ outcome: "library_failed", isAmbiguous: true });
  expect(await bench.next((event) => event.kind === "instance_gone")).toMatchObject({
    reason: "stopped",
  });
});

test("Instances.stop() ends what a slot has started outside of its group", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE);
  const { value } = await bench.call("leave", []);
  const processId = decodeValue(value!) as number;
  expect(readProcess(processId)).toMatchObject({ sessionId: processId });
  bench.instances.stop({ kind: "stop_instance", instanceId: 1 as InstanceId });
  await bench.next((event) => event.kind === "instance_gone");
  await until("it to be gone", () => readProcess(processId)?.isZombie !== false);
});

test("Instances.stopCall() ends what the call has started outside of its group", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE);
  const { value } = await bench.call("leave", []);
  const processId = decodeValue(value!) as number;
  const taskId = bench.send("hang", []);
  bench.instances.stopCall({ kind: "stop_call", instanceId: 1 as InstanceId, taskId, try: 1 });
  expect((await bench.nextResult()).outcome).toBe("cancelled");
  await until("it to be gone", () => readProcess(processId)?.isZombie !== false);
});

test("Instances.stop() ends one that still starts", async () => {
  await using bench = new InstanceBench();
  const gone = bench.start(MODULE, { context: "hang" });
  bench.instances.stop({ kind: "stop_instance", instanceId: 1 as InstanceId });
  expect(await gone).toMatchObject({ kind: "instance_gone", reason: "stopped" });
});

test("Instances end calls that run with how their instance was stopped, and others as not run", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE);
  const running = bench.send("hang", []);
  const waiting = bench.send("add", [1, 1]);
  const message = 'The instance of library "lib" was stopped: for a test';
  const stop = { outcome: "disk_full", message, isAmbiguous: true } as const;
  bench.instances.stop({ kind: "stop_instance", instanceId: 1 as InstanceId, stop });
  const ended = await bench.next((event) => event.kind === "calls_ended");
  expect(ended).toMatchObject({
    ends: [
      { taskId: running, result: { outcome: "disk_full", message, isAmbiguous: true } },
      { taskId: waiting, result: { outcome: "cancelled" } },
    ],
  });
  expect(await bench.next((event) => event.kind === "instance_gone")).toMatchObject({
    reason: "died",
    message,
  });
});

test("Instances with more in memory than their library states are stopped, and name it", async () => {
  await using bench = new InstanceBench();
  const resources = { cores: 1, memoryBytes: 400e6, diskBytes: 0, gpus: 0 };
  await bench.start(MODULE, { resources });
  const { outcome, message, exceeded, isAmbiguous } = await bench.call("fill", [1e9]);
  expect(outcome).toBe("resources_exhausted");
  expect(message).toMatch(
    /^The instance of library "lib" was stopped: its processes had \d+ MB of memory in use, 400 MB were stated for it$/,
  );
  expect(exceeded).toMatchObject({ resource: "memory", limit: 400e6 });
  expect(exceeded!.used).toBeGreaterThan(400e6);
  expect(exceeded!.used).toBeLessThan(1e9);
  expect(isAmbiguous).toBeUndefined();
  const gone = await bench.next((event) => event.kind === "instance_gone");
  expect(gone).toMatchObject({ reason: "died", message });
});

test("Instances that load more into memory than they may do not start, and say so", async () => {
  await using bench = new InstanceBench();
  const resources = { cores: 1, memoryBytes: 400e6, diskBytes: 0, gpus: 0 };
  const gone = await bench.start(MODULE, { context: "load", resources });
  expect(gone).toMatchObject({ kind: "instance_gone", reason: "died" });
  expect("message" in gone && gone.message).toContain("400 MB were stated for it");
});

test("Instances with more on the disk than their library states are stopped", async () => {
  await using bench = new InstanceBench();
  const resources = { cores: 1, memoryBytes: 0, diskBytes: 20e6, gpus: 0 };
  await bench.start(MODULE, { resources });
  const { outcome, message, exceeded } = await bench.call("spill", [100e6]);
  expect({ outcome, exceeded: exceeded?.limit }).toEqual({
    outcome: "resources_exhausted",
    exceeded: 20e6,
  });
  expect(message).toContain('library "lib" was stopped: its directory had 100 MB on the disk');
});

test("Instances tell what is in their directories", async () => {
  await using bench = new InstanceBench();
  await bench.start(MODULE);
  bench.send("spill", [30e6]);
  const isFull = (event: WorkerEvent): boolean => {
    return event.kind === "instance_measured" && event.resource === "disk" && event.bytes >= 30e6;
  };
  expect(await bench.next(isFull)).toMatchObject({ instanceId: 1 as InstanceId });
});
