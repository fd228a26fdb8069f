import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { CacheName, InstanceId, TaskId } from "../../shared/ids.ts";
import type { DispatchedTask, LibraryDefinition } from "../../shared/protocol.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";
import type { InputMount, OutputMount } from "../../shared/task.ts";
import { decodeValue, encodeArguments } from "../../shared/value.ts";
import { Activations } from "../../worker/activation.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import { NO_DEVICES } from "../../worker/core/device.ts";
import type { CallEnd, WorkerEvent } from "../../worker/core/event.ts";
import { Instances } from "../../worker/instance.ts";
import { Trash } from "../../worker/trash.ts";
import { newTrees } from "../../worker/trees.ts";

const MODULE = `
import { readFileSync, writeFileSync } from "node:fs";
let started = 0;
export function setup(): void { started += 1; }
export function add(a: number, b: number): number { return a + b + started; }
export function fail(): void { throw new RangeError("not today"); }
export function read(path: string): string { return readFileSync(path, "utf8"); }
export function write(): void { writeFileSync("made", "by a call"); }
export function hang(): Promise<void> { return new Promise(() => setTimeout(() => {}, 1e6)); }
export function where(): unknown { const { env } = process; return [env.TENDRIL_ENVIRONMENT, env.PATH, env.CONDA_PREFIX]; }
`;

class FileArgument {}

/** Arguments with files and without handles. */
const PLAIN = {
  onFile: (value: object) => value instanceof FileArgument ? value : undefined,
  onHandle: () => undefined,
};

class Bench implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly cache: CacheStore = new CacheStore(join(this.directory, "cache"));
  readonly trash: Trash = new Trash(join(this.directory, "trash"));
  readonly #events: WorkerEvent[] = [];
  #wake: () => void = () => {};
  #callCount = 0;
  readonly instances: Instances = new Instances({
    cache: this.cache,
    trees: newTrees("mark"),
    directory: join(this.directory, "instances"),
    trash: this.trash,
    activations: new Activations({ env: { PATH: process.env["PATH"] ?? "" }, mark: "test-mark" }),
    env: { PATH: process.env["PATH"] ?? "" },
    mark: "test-mark",
    hostCommand: selfCommand(["internal-library-host"]),
    push: (event) => {
      this.#events.push(event);
      this.#wake();
    },
  });

  add(name: string, text: string): void {
    const path = this.cache.newIncomingPath();
    writeFileSync(path, text);
    const facts = { generation: 0, sizeBytes: text.length, digest: "", isDirectory: false };
    this.cache.commit(path, { name: name as CacheName, ...facts }, "workflow");
  }

  async start(module: string, more: Partial<LibraryDefinition> = {}): Promise<WorkerEvent> {
    this.add("module", module);
    const library: LibraryDefinition = {
      name: "lib",
      module: "module" as CacheName,
      context: "",
      slots: 1,
      resources: { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 },
      env: {},
      environments: [],
      ...more,
    };
    this.instances.start({
      kind: "start_instance",
      instanceId: 1 as InstanceId,
      library,
      devices: NO_DEVICES,
    });
    return await this.next((event) => event.kind.startsWith("instance"));
  }

  send(
    name: string,
    args: readonly unknown[],
    more: { inputs?: readonly InputMount[]; outputs?: readonly OutputMount[] } = {},
  ): TaskId {
    const taskId = ++this.#callCount as TaskId;
    const call: DispatchedTask = {
      taskId,
      try: 1,
      shape: 0,
      priority: 0,
      body: { kind: "call", function: name, arguments: encodeArguments(args, PLAIN).bytes },
      inputs: [],
      outputs: [],
      ...more,
    };
    this.instances.call({ kind: "call", instanceId: 1 as InstanceId, calls: [call] });
    return taskId;
  }

  async call(...args: Parameters<Bench["send"]>): Promise<CallEnd["result"]> {
    this.send(...args);
    return await this.nextResult();
  }

  async nextResult(): Promise<CallEnd["result"]> {
    const event = await this.next((event) => event.kind === "calls_ended");
    return (event as Extract<WorkerEvent, { kind: "calls_ended" }>).ends[0]!.result;
  }

  async next(isWanted: (event: WorkerEvent) => boolean): Promise<WorkerEvent> {
    while (true) {
      const index = this.#events.findIndex(isWanted);
      if (index >= 0) return this.#events.splice(index, 1)[0]!;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.instances.close();
    await this.cache.close();
    await this.trash.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

test("Instances serve calls with the context, and tell what a function threw", async () => {
  await using bench = new Bench();
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
  await using bench = new Bench();
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

test("Instances run inside their environments", async () => {
  await using bench = new Bench();
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
  await using bench = new Bench();
  await bench.start(MODULE);
  const taskId = bench.send("hang", []);
  const instanceId = 1 as InstanceId;
  bench.instances.stopCall({
    kind: "stop_call",
    instanceId,
    taskId,
    try: 1,
    reason: "timeout",
  });
  expect(await bench.nextResult()).toMatchObject({ taskId, outcome: "timeout" });
  expect((await bench.call("add", [1, 1])).outcome).toBe("success");
});

test("Instances tell why one cannot start and leave nothing behind", async () => {
  await using bench = new Bench();
  const gone = await bench.start("throw new TypeError('no such luck');");
  expect(gone).toMatchObject({ kind: "instance_gone", reason: "start_failed" });
  expect("message" in gone && gone.message).toContain("no such luck");
  await bench.trash.close();
  expect(readdirSync(join(bench.directory, "instances"))).toEqual([]);
});

test("Instances.stop() ends an instance and the calls in it", async () => {
  await using bench = new Bench();
  await bench.start(MODULE);
  bench.send("hang", []);
  bench.instances.stop({ kind: "stop_instance", instanceId: 1 as InstanceId });
  expect((await bench.nextResult()).outcome).toBe("library_failed");
  expect(await bench.next((event) => event.kind === "instance_gone")).toMatchObject({
    reason: "stopped",
  });
});
