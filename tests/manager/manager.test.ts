import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Manager } from "../../manager/manager.ts";
import { TaskError, type TaskResult } from "../../manager/task_result.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import { decodeArguments, encodeValue } from "../../shared/value.ts";
import { encodeThrown } from "../../shared/thrown.ts";
import { ticketHeader } from "../../shared/ticket.ts";
import { FakeWorker, outputOf } from "./fake_worker.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tendril-test-"));
  process.env["TENDRIL_HOME"] = join(folder, "home");
});

afterAll(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(folder, { recursive: true, force: true });
});

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

test("Manager.submit() gives a handle that becomes the result", async () => {
  await using manager = await Manager.start();
  const task = manager.submit({ command: "echo hi", tag: "greet", cores: 1 });
  expect(task.state).toBe("waiting");
  const worker = await FakeWorker.join(manager.name);
  const [dispatched] = await worker.nextTasks(1);
  expect(dispatched!.body).toEqual({ kind: "command", command: "echo hi" });
  worker.finish(dispatched!, { stdout: new TextEncoder().encode("hi\n") });
  const result = await task;
  expect(result.outcome).toBe("success");
  expect(result.stdout).toBe("hi\n");
  expect(result.tag).toBe("greet");
  expect(result.requested.cores).toBe(1);
  expect(result.times.endedAtMs).toBeGreaterThanOrEqual(result.times.submittedAtMs);
  expect(task.state).toBe("done");
  expect(await task.value()).toEqual(result);
});

test("TaskHandle.orThrow() rejects with a TaskError that has the result", async () => {
  await using manager = await Manager.start();
  const task = manager.submit({ command: "exit 3" });
  const worker = await FakeWorker.join(manager.name);
  const [dispatched] = await worker.nextTasks(1);
  worker.finish(dispatched!, { outcome: "exit", exitCode: 3, message: "status 3" });
  const error = await task.orThrow().then(() => undefined, (thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TaskError);
  expect((error as TaskError).result.exitCode).toBe(3);
  expect((error as TaskError).message).toBe("Task 1 ended as exit: status 3");
});

test("Manager.completed() gives each result once and ends when none is pending", async () => {
  await using manager = await Manager.start();
  for (const name of ["a", "b", "c"]) manager.submit({ command: name, tag: name });
  const worker = await FakeWorker.join(manager.name, { cores: 4 });
  const seen: (string | undefined)[] = [];
  for (const task of await worker.nextTasks(3)) worker.finish(task);
  for await (const result of manager.completed()) seen.push(result.tag);
  expect(seen.sort()).toEqual(["a", "b", "c"]);
  expect(manager.isEmpty()).toBe(true);
});

test("Manager.wait() takes a result by tag, and undefined when time is over", async () => {
  await using manager = await Manager.start();
  manager.submit({ command: "a", tag: "a" });
  manager.submit({ command: "b", tag: "b" });
  expect(await manager.wait({ timeout: 1 })).toBeUndefined();
  const worker = await FakeWorker.join(manager.name, { cores: 4 });
  for (const task of await worker.nextTasks(2)) worker.finish(task);
  expect((await manager.wait({ tag: "b" }))?.tag).toBe("b");
  expect((await manager.wait({ timeout: "10s" }))?.tag).toBe("a");
  expect(await manager.wait()).toBeUndefined();
});

test("Manager.cancel() ends pending tasks by tag", async () => {
  await using manager = await Manager.start();
  const kept = manager.submit({ command: "a", tag: "keep" });
  const gone = manager.submit({ command: "b", tag: "drop" });
  expect(manager.cancel({ tag: "drop" })).toBe(1);
  expect((await gone).outcome).toBe("cancelled");
  expect(kept.state).not.toBe("done");
});

test("Manager.close() ends pending tasks as cancelled and removes its access file", async () => {
  const manager = await Manager.start({ name: "closing" });
  const task = manager.submit({ command: "a" });
  const worker = await FakeWorker.join("closing");
  await worker.next("dispatch");
  await manager.close();
  expect((await worker.next("release")).reason).toContain("over");
  expect((await task).outcome).toBe("cancelled");
  expect(await readdir(join(folder, "home", "managers"))).not.toContain("closing.json");
  expect(() => manager.submit({ command: "b" })).toThrow(/closed/);
});

test("Manager.submit() refuses wrong definitions with what would be right", async () => {
  await using manager = await Manager.start();
  await using other = await Manager.start();
  const file = manager.file("some.txt");
  const submit = (definition: unknown) => () =>
    manager.submit(definition as { readonly command: string });
  expect(submit({})).toThrow(/without a command/);
  expect(submit({ command: "a", comand: "b" })).toThrow(/"comand" as an option of submit: there/);
  expect(submit({ command: "a", memory: "2XB" })).toThrow(/memory of submit "2XB" as a size/);
  expect(submit({ command: "a", env: { "A=B": "1" } })).toThrow(/"A=B" as the name of a variable/);
  expect(submit({ command: "a", retryOn: ["exit", "success"] })).toThrow(
    /retryOn of submit "success" as outcomes of failures: expected some of exit, signal/,
  );
  expect(submit({ command: "a", retryOn: [] })).toThrow(/retryOn of submit "\[\]" as outcomes/);
  expect(submit({ command: "a", inputs: { "../x": file } })).toThrow(/"..\/x" as a mount/);
  expect(submit({ command: "a", inputs: { x: file }, outputs: { x: manager.temp() } }))
    .toThrow(/"x" as an output: it is the input "x" too/);
  expect(submit({ command: "a", inputs: { x: other.file("y") } })).toThrow(/another one/);
  expect(submit({ command: "a", inputs: { x: manager.temp() } })).toThrow(/no task makes/);
  expect(submit({ command: "a", environment: file })).toThrow(/manager.environment/);
  const made = manager.temp();
  manager.submit({ command: "a", outputs: { made } });
  expect(submit({ command: "b", outputs: { made } })).toThrow(/task 1 makes it/);
});

test("Manager.category() refuses what does not go with what was said before", async () => {
  await using manager = await Manager.start();
  manager.category("blast", { max: { memory: "1GB" } });
  expect(() => manager.category("blast", { min: { memory: "2GB" } })).toThrow(
    'Cannot take min of category "blast": 2 GB of memory is more than its max, 1 GB',
  );
  manager.category("blast", { max: { memory: "2GB" } });
  manager.category("blast", { min: { memory: "2GB" } });
});

test("Manager.map() and its like name what they cannot take", async () => {
  await using manager = await Manager.start();
  const same = (item: unknown) => item;
  const refused = async (call: Promise<unknown>) => {
    return await call.then(String, (error: Error) => error.message);
  };
  // As a script without types would call them.
  const { map, pair, treeReduce } = {
    map: manager.map.bind(manager) as (...args: unknown[]) => Promise<unknown>,
    pair: manager.pair.bind(manager) as (...args: unknown[]) => Promise<unknown>,
    treeReduce: manager.treeReduce.bind(manager) as (...args: unknown[]) => Promise<unknown>,
  };
  expect(await refused(map("echo", [1]))).toBe(
    'Cannot send "echo" to a worker: expected a function',
  );
  for (const call of [map(same, 5), pair(same, [1], 5), pair(same, 5, [1]), treeReduce(same, 5)]) {
    expect(await refused(call)).toBe(
      'Cannot take "5" as items: expected an array, or another iterable',
    );
  }
  expect(await refused(map(same, [1], { chunksize: 2 }))).toMatch(
    /^Cannot take "chunksize" as an option of map: there are signal, failures, context, chunkSize, /,
  );
  expect(await refused(pair(same, [1], [1], { outputs: {} }))).toContain('"outputs" as an option');
  expect(await refused(treeReduce(same, [1, 2], { chunkSize: 2 }))).toContain(
    '"chunkSize" as an option of treeReduce: there are signal, context, arity',
  );
});

test("Manager sends small inputs in the message and larger ones by ticket", async () => {
  await using manager = await Manager.start();
  const large = new Uint8Array(200_000).fill(7);
  const path = join(folder, "large.bin");
  await writeFile(path, large);
  manager.submit({
    command: "cat small large",
    inputs: { small: manager.buffer("hello"), large: manager.file(path) },
  });
  const worker = await FakeWorker.join(manager.name);
  const orders = [await worker.next("fetch"), await worker.next("fetch")];
  const inline = orders.find(({ source }) => source.kind === "inline")!;
  expect(new TextDecoder().decode((inline.source as { bytes: Uint8Array }).bytes)).toBe("hello");
  expect<string>(inline.name).toBe(`file-sha256-${sha256(new TextEncoder().encode("hello"))}`);
  const order = orders.find(({ source }) => source.kind === "manager")!;
  expect(order.name).toMatch(/^local-[0-9a-f]{64}$/);
  const url = `${manager.address}/files/${order.name}`;
  const headers = { authorization: ticketHeader((order.source as { ticket: string }).ticket) };
  const response = await fetch(url, { headers });
  expect(response.status).toBe(200);
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(large);
  expect((await fetch(url)).status).toBe(403);
  expect((await fetch(`${manager.address}/files/nothing`, { headers })).status).toBe(403);
  for (const name of ["..%2F..%2Fetc%2Fpasswd", "%252e%252e", "..%2F"]) {
    const refused = await fetch(`${manager.address}/files/${name}`, { headers });
    expect([400, 404]).toContain(refused.status);
  }
});

test("Manager serves ranges of a file named by its contents, only with If-Match", async () => {
  await using manager = await Manager.start();
  const bytes = new Uint8Array(100_000).map((_, index) => index);
  const path = join(folder, "ranged.bin");
  await writeFile(path, bytes);
  manager.submit({ command: "a", inputs: { x: manager.file(path, { cache: "worker" }) } });
  const worker = await FakeWorker.join(manager.name);
  const order = await worker.next("fetch");
  expect(order.digest).toBe(sha256(bytes));
  const { ticket } = order.source as { ticket: string };
  const get = (headers: Record<string, string>) =>
    fetch(`${manager.address}/files/${order.name}`, {
      headers: { authorization: ticketHeader(ticket), ...headers },
    });
  const part = await get({ range: "bytes=90000-", "if-match": `"${order.digest}"` });
  expect(part.status).toBe(206);
  expect(part.headers.get("content-range")).toBe("bytes 90000-99999/100000");
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.subarray(90_000));
  expect((await get({ range: "bytes=5-", "if-match": `"${"0".repeat(64)}"` })).status).toBe(412);
  expect((await get({ range: "bytes=5-" })).status).toBe(412);
  expect((await (await get({})).arrayBuffer()).byteLength).toBe(100_000);
  expect((await get({ range: "bytes=100000-", "if-match": `"${order.digest}"` })).status).toBe(416);
});

test("Manager serves ranges of a file without a digest, by its name and generation", async () => {
  await using manager = await Manager.start();
  const bytes = new Uint8Array(100_000).map((_, index) => index);
  const path = join(folder, "unnamed.bin");
  await writeFile(path, bytes);
  manager.submit({ command: "a", inputs: { x: manager.file(path) } });
  const worker = await FakeWorker.join(manager.name);
  const order = await worker.next("fetch");
  expect(order.digest).toBe("");
  const { ticket } = order.source as { ticket: string };
  const get = (headers: Record<string, string>) =>
    fetch(`${manager.address}/files/${order.name}`, {
      headers: { authorization: ticketHeader(ticket), ...headers },
    });
  const tag = `"${order.name}/0"`;
  const part = await get({ range: "bytes=90000-", "if-match": tag });
  expect([part.status, part.headers.get("etag")]).toEqual([206, tag]);
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.subarray(90_000));
  expect((await get({ range: "bytes=5-", "if-match": `"${order.name}/1"` })).status).toBe(412);
  expect((await get({ range: "bytes=5-" })).status).toBe(412);
});

test("Manager fails tasks whose local input is missing or has changed", async () => {
  await using manager = await Manager.start();
  const missing = await manager.submit({
    command: "a",
    inputs: { x: manager.file(join(folder, "nowhere")) },
  });
  expect(missing.outcome).toBe("input_missing");
  expect(missing.message).toContain("nowhere");
  const path = join(folder, "changing.txt");
  await writeFile(path, "one");
  const changing = manager.file(path);
  const first = manager.submit({ command: "a", inputs: { x: changing } });
  while (changing.cacheName === undefined) await new Promise((done) => setTimeout(done, 1));
  await writeFile(path, "two, and longer");
  await FakeWorker.join(manager.name);
  expect((await first).outcome).toBe("input_modified");
});

/** The ticket of a PUT to the manager. */
function ticketOf({ to }: Extract<ManagerMessage, { kind: "send" }>): string {
  return to.kind === "manager" ? to.ticket : "none";
}

test("Manager puts outputs of results and of PUTs in place before the task settles", async () => {
  await using manager = await Manager.start();
  const path = join(folder, "out", "result.bin");
  const small = manager.buffer();
  const tasks = [
    manager.submit({ command: "small", outputs: { x: small } }),
    manager.submit({ command: "large", outputs: { x: manager.file(path) } }),
  ];
  const worker = await FakeWorker.join(manager.name);
  const content = new TextEncoder().encode("small");
  const large = new Uint8Array(300_000).fill(3);
  for (const task of await worker.nextTasks(2)) {
    const isSmall = (task.body as { command: string }).command === "small";
    const bytes = isSmall ? content : large;
    const facts = { sizeBytes: bytes.length, digest: sha256(bytes) };
    const output = outputOf(task, isSmall ? { ...facts, content } : facts);
    worker.finish(task, { outputs: [output] });
  }
  const order = await worker.next("send");
  const put = (body: Uint8Array<ArrayBuffer>, ticket: string = ticketOf(order)) =>
    fetch(`${manager.address}/files/${order.name}`, {
      method: "PUT",
      headers: { authorization: ticketHeader(ticket) },
      body,
    });
  expect((await put(large, `${ticketOf(order).slice(0, -2)}AA`)).status).toBe(403);
  expect((await put(large.subarray(1))).status).toBe(413);
  expect((await put(large)).status).toBe(204);
  expect((await put(large)).status).toBe(404);
  const results: TaskResult[] = await Promise.all(tasks);
  expect(results.map(({ outcome }) => outcome)).toEqual(["success", "success"]);
  expect(await small.text()).toBe("small");
  expect(sha256(await readFile(path))).toBe(sha256(large));
  expect(await readdir(join(folder, "out"))).toEqual(["result.bin"]);
});

test("Manager tells a task why its output could not be written", async () => {
  await using manager = await Manager.start();
  const blocked = join(folder, "blocked");
  await writeFile(blocked, "a file");
  const output = manager.file(join(blocked, "x"));
  const task = manager.submit({ command: "a", outputs: { x: output } });
  const worker = await FakeWorker.join(manager.name);
  const [dispatched] = await worker.nextTasks(1);
  const content = new TextEncoder().encode("x");
  const facts = { sizeBytes: 1, digest: sha256(content), content };
  worker.finish(dispatched!, { outputs: [outputOf(dispatched!, facts)] });
  const result = await task;
  expect(result.outcome).not.toBe("success");
  expect(result.message).toContain("blocked");
});

test("Manager.fetch() brings a temp file here", async () => {
  await using manager = await Manager.start();
  const temp = manager.temp();
  const task = manager.submit({ command: "a", outputs: { x: temp } });
  const worker = await FakeWorker.join(manager.name);
  const [dispatched] = await worker.nextTasks(1);
  const bytes = new TextEncoder().encode("in the cluster");
  const facts = { sizeBytes: bytes.length, digest: sha256(bytes) };
  worker.finish(dispatched!, { outputs: [outputOf(dispatched!, facts)] });
  await task;
  const target = join(folder, "fetched.txt");
  const fetched = manager.fetch(temp, target);
  const order = await worker.next("send");
  await fetch(`${manager.address}/files/${order.name}`, {
    method: "PUT",
    headers: { authorization: ticketHeader(ticketOf(order)) },
    body: bytes,
  });
  expect(await fetched).toBe(target);
  expect(await readFile(target, "utf8")).toBe("in the cluster");
  expect(await temp.text()).toBe("in the cluster");
});

test("Manager.fetch() rejects when the contents are not those that were announced", async () => {
  await using manager = await Manager.start();
  const temp = manager.temp();
  const task = manager.submit({ command: "a", outputs: { x: temp } });
  const worker = await FakeWorker.join(manager.name);
  const [dispatched] = await worker.nextTasks(1);
  const bytes = new TextEncoder().encode("as announced");
  const facts = { sizeBytes: bytes.length, digest: sha256(bytes) };
  worker.finish(dispatched!, { outputs: [outputOf(dispatched!, facts)] });
  await task;
  const target = join(folder, "never.txt");
  const fetched = manager.fetch(temp, target).then(() => "delivered", (error) => String(error));
  let said = "";
  // The worker may send again what was damaged on the way, a limited number of times.
  for (let count = 0; count < 6; count++) {
    const order = await worker.next("send");
    const response = await fetch(`${manager.address}/files/${order.name}`, {
      method: "PUT",
      headers: { authorization: ticketHeader(ticketOf(order)) },
      body: bytes.map((byte) => byte ^ 1),
    });
    expect(response.status).toBe(422);
    said = await response.text();
    worker.send({ kind: "send_failed", transferId: order.transferId, message: said });
  }
  expect(said).toContain("expected SHA-256");
  expect(await fetched).toContain("expected SHA-256");
  expect(await readFile(target, "utf8").catch(() => "nothing")).toBe("nothing");
});

test("Library.call() ships arguments, and gives the value or the error of the function", async () => {
  await using manager = await Manager.start();
  const module = join(folder, "lib.mjs");
  await writeFile(module, "export function add(a, b) { return a + b; }\n");
  const library = manager.library({ name: "sums", module, slots: 2 });
  const sum = library.call<number>("add", 2, { deep: [3] });
  const bad = library.with({ tag: "bad" }).call("add");
  const worker = await FakeWorker.join(manager.name);
  const fetched = await worker.next("fetch");
  const file = { name: fetched.name, generation: 0, isDirectory: false };
  const { sizeBytes, digest } = fetched;
  worker.send({
    kind: "replica_ready",
    transferId: fetched.transferId,
    file: { ...file, sizeBytes, digest },
    movedBytes: 0,
  });
  const start = await worker.next("start_instance");
  expect(start.library.name).toBe("sums");
  worker.send({ kind: "instance_ready", instanceId: start.instanceId });
  for (const task of await worker.nextTasks(2)) {
    const body = task.body as { arguments: Uint8Array };
    const args = decodeArguments(body.arguments, {
      fileAt: () => "",
      readFile: () => new Uint8Array(),
    });
    if (args.length === 0) {
      const thrown = { name: "RangeError", message: "no sum", stack: "RangeError: no sum\n  at x" };
      worker.finish(task, { outcome: "call_error", value: encodeThrown(thrown) });
    } else {
      expect(args).toEqual([2, { deep: [3] }]);
      worker.finish(task, { value: encodeValue(5) });
    }
  }
  expect(await sum.value()).toBe(5);
  const error = await bad.value().then(() => undefined, (thrown: unknown) => thrown as Error);
  expect(error?.message).toBe("RangeError: no sum");
  expect(error?.stack).toContain("at x");
  expect(() => manager.library({ name: "sums", module })).toThrow(/the name is taken/);
});
