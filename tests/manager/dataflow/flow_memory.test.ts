import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { app, joinApp, shellApp } from "../../../manager/dataflow/app.ts";
import { File } from "../../../manager/dataflow/file.ts";
import { type Flow, load } from "../../../manager/dataflow/flow.ts";
import type { FlowOptions } from "../../../manager/dataflow/flow_options.ts";
import { inProcess } from "../../../manager/dataflow/in_process.ts";
import { MemoryMemoStore } from "../../../manager/dataflow/memory_memo_store.ts";
import { PlacedFile } from "../../../manager/dataflow/placed_file.ts";
import { StoredValue } from "../../../manager/dataflow/stored_value.ts";
import { ScriptedExecutor, type ScriptedTry } from "../../simulation/scripted_executor.ts";
import { until } from "../../until.ts";
import { encodeValue } from "../../../shared/value.ts";
import { type Answer, answeringFlow, done } from "./answering_executor.ts";
import { errorOf, functionRecipe, nextTurn } from "./kernel_fixture.ts";

/** A flow whose tries end when a test says so. */
async function scriptedFlow(options: FlowOptions = {}): Promise<{
  readonly flow: Flow;
  readonly executor: ScriptedExecutor;
  readonly end: (index: number, value: unknown) => void;
  readonly tryOf: (index: number) => Promise<ScriptedTry>;
}> {
  const executor = new ScriptedExecutor("a");
  const flow = await load({ executors: [executor], memoize: true, ...options });
  const tryOf = async (index: number): Promise<ScriptedTry> => {
    await until(() => executor.tries.length > index, "a try");
    return executor.tries[index]!;
  };
  const end = (index: number, value: unknown): void => {
    executor.end(executor.tries[index]!, done(value));
  };
  return { flow, executor, tryOf, end };
}

/** A store whose entries stay when a flow closes it. */
class LastingStore extends MemoryMemoStore {
  override close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What a flow gives that answers so; how many tries there were. */
async function inFlow<T>(
  answer: Answer,
  options: FlowOptions,
  run: (flow: Flow) => Promise<T>,
): Promise<readonly [T, number]> {
  const { flow, executor } = await answeringFlow(answer, options);
  try {
    return [await run(flow), executor.tries.length];
  } finally {
    await flow.close();
  }
}

/** Lines that flows say meanwhile. */
async function told(run: () => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  const { write } = process.stderr;
  process.stderr.write = ((text: string) => lines.push(text) > 0) as typeof write;
  try {
    await run();
  } finally {
    process.stderr.write = write;
  }
  return lines;
}

const double = app((n: number) => 2 * n, { name: "double" });

test("calls that are the same at the same time run once, and all give what it gives", async () => {
  const { flow, executor, tryOf, end } = await scriptedFlow();
  const calls = Array.from({ length: 50 }, () => double(4));
  const other = double(5);
  await tryOf(1);
  end(0, 8);
  end(1, 10);
  expect(await Promise.all(calls)).toEqual(Array(50).fill(8));
  expect(await other).toBe(10);
  expect(calls.map(({ state }) => state).sort()).toEqual([
    "exec_done",
    ...Array(49).fill("memo_done"),
  ]);
  expect(await double(4)).toBe(8);
  expect(executor.tries).toHaveLength(2);
  await flow.close();
});

test("when the one that runs is cancelled, another one runs", async () => {
  const { flow, executor, tryOf, end } = await scriptedFlow();
  const [first, second, third] = [double(4), double(4), double(4)];
  await tryOf(0);
  first.cancel();
  const again = await tryOf(1);
  third.cancel();
  expect(again.aTry.callId).toBe(second.id);
  end(1, 8);
  expect(await second).toBe(8);
  expect([first.state, third.state]).toEqual(["cancelled", "cancelled"]);
  expect(executor.tries).toHaveLength(2);
  await flow.close();
});

test("a call that is cancelled while its key is found leaves others of that key alone", async () => {
  const keyed = Promise.withResolvers<void>();
  let asked = 0;
  const { flow, tryOf, end } = await scriptedFlow({
    memoKey: async () => {
      asked += 1;
      if (asked === 1) await keyed.promise;
      return "0".repeat(64);
    },
  });
  const first = double(4);
  await until(() => asked === 1, "the first one's key is looked for");
  first.cancel();
  keyed.resolve();
  await nextTurn();
  const second = double(4);
  await tryOf(0);
  end(0, 8);
  expect(await second).toBe(8);
  await flow.close();
});

test("when it fails all of its way fail, and one of another way runs itself", async () => {
  const { flow, executor, tryOf, end } = await scriptedFlow();
  const [first, second] = [double(4), double(4)];
  const patient = double.with({ retries: 1 })(4);
  const { aTry } = await tryOf(0);
  executor.end(executor.tries[0]!, {
    kind: "failed",
    failure: { kind: "call_error", message: "broken" },
  });
  expect((await errorOf(first)).message).toContain("broken");
  expect((await errorOf(second)).message).toContain(`Call ${aTry.callId}`);
  await tryOf(1);
  end(1, 8);
  expect(await patient).toBe(8);
  expect(executor.tries).toHaveLength(2);
  // Failures are not remembered.
  const later = double.with({ memoize: { ignore: [3] } })(4);
  expect(await later).toBe(8);
  await flow.close();
});

test("failures are not remembered from run to run", async () => {
  const memoStore = new LastingStore();
  const broken = () => Promise.reject(new Error("broken"));
  const run = async (answer: Answer) =>
    await inFlow(answer, { memoStore }, async () => await double(4).catch(() => "failed"));
  expect(await run(broken)).toEqual(["failed", 1]);
  expect(await run(() => 8)).toEqual([8, 1]);
  expect(await run(broken)).toEqual([8, 0]);
});

test("memoize says per app and per flow what is remembered; joins run their functions", async () => {
  const { flow, executor } = await answeringFlow(() => 8, { memoize: false });
  await double(4);
  await double(4);
  expect(executor.tries).toHaveLength(2);
  const kept = double.with({ memoize: true });
  await Promise.all([kept(4), kept(4)]);
  expect(executor.tries).toHaveLength(3);
  let joins = 0;
  const twice = joinApp((n: number) => {
    joins += 1;
    return [kept(n), kept(n)];
  });
  expect(await twice(4)).toEqual([8, 8]);
  expect(await twice(4)).toEqual([8, 8]);
  expect([executor.tries.length, joins]).toEqual([3, 2]);
  await flow.close();
});

test("results of functions and get() come from the store in a later run", async () => {
  const memoStore = new LastingStore();
  const options = { executors: [inProcess()], memoStore, memoize: true } as const;
  const runs = globalThis as { memoRuns?: number };
  runs.memoRuns = 0;
  const make = app((n: number) => {
    const counted = globalThis as { memoRuns?: number };
    counted.memoRuns = (counted.memoRuns ?? 0) + 1;
    return { list: [n, n + 1], bytes: new Uint8Array([n]) };
  }, { name: "make" });
  const once = async () => {
    await using _ = await load({ ...options, executors: [inProcess()] });
    const made = make(3);
    return [await made, await make(await made.get("list").get(0))];
  };
  const first = await once();
  expect(await once()).toEqual(first);
  expect(runs.memoRuns).toBe(1);
  delete runs.memoRuns;
});

test("an output at a path is there, or its call runs again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-memory-"));
  const out = join(folder, "out");
  const stdout = join(folder, "stdout");
  let count = 0;
  const answer: Answer = ({ app, inputs }) => {
    if (app === "read") {
      const [file] = Object.values(inputs);
      const { placement } = file!;
      return { stdout: placement.kind === "path" ? readFileSync(placement.path, "utf8") : "" };
    }
    count += 1;
    const path = join(folder, `made-${count}`);
    writeFileSync(path, app === "write" ? "made" : "other");
    return done({ stdout: "said" }, { out: new PlacedFile({ kind: "path", path }) });
  };
  const outputs = { out: { to: out } };
  const write = shellApp(() => "write > out", { outputs, stdout, name: "write" });
  const other = shellApp(() => "other > out", { outputs, name: "other" });
  const read = shellApp((file: File) => `cat ${file}`, { name: "read" });
  const memoStore = new LastingStore();
  const run = async () =>
    await inFlow(
      answer,
      { memoStore },
      async () => (await read(write().outputs.out as never)).stdout,
    );
  try {
    expect(await run()).toEqual(["made", 2]);
    expect(await run()).toEqual(["made", 0]);
    for (
      const damage of [() => rmSync(out), () => writeFileSync(out, "else"), () => rmSync(stdout)]
    ) {
      damage();
      expect(await run()).toEqual(["made", 1]);
      expect([readFileSync(out, "utf8"), readFileSync(stdout, "utf8")]).toEqual(["made", "said"]);
    }
    // In one run as well: another call writes there meanwhile.
    const [, tries] = await inFlow(answer, {}, async () => {
      await write();
      await write();
      await other();
      await write();
    });
    expect([tries, readFileSync(out, "utf8")]).toEqual([3, "made"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("an output at a url is remembered by what its server says of it", async () => {
  const stored = new Map<string, string>();
  let hasTags = true;
  const server = createServer((request, response) => {
    const { url = "" } = request;
    if (request.method === "PUT") {
      let text = "";
      request.on("data", (bytes) => text += String(bytes));
      request.on("end", () => {
        stored.set(url, text);
        response.writeHead(201).end();
      });
      return;
    }
    const found = stored.get(url);
    response.writeHead(found === undefined ? 404 : 200, hasTags ? { etag: `"${found}"` } : {})
      .end();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const folder = mkdtempSync(join(tmpdir(), "tendril-memory-"));
  const path = join(folder, "made");
  writeFileSync(path, "text");
  const answer: Answer = () => done({}, { out: new PlacedFile({ kind: "path", path }) });
  const to = new File(`http://127.0.0.1:${port}/out`);
  const put = shellApp(() => "write > out", { outputs: { out: { to } }, name: "put" });
  try {
    const run = async () =>
      await inFlow(answer, {}, async () => {
        await put();
        await put();
      });
    expect((await run())[1]).toBe(1);
    const [, tries] = await inFlow(answer, {}, async () => {
      await put();
      stored.set("/out", "else");
      await put();
    });
    expect(tries).toBe(2);
    hasTags = false;
    const lines = await told(async () => {
      expect((await run())[1]).toBe(2);
    });
    expect(lines.join("")).toContain("its server said no ETag and no Last-Modified");
  } finally {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a store that fails is told of once, and the flow goes on", async () => {
  class FullStore extends MemoryMemoStore {
    override put(): Promise<void> {
      return Promise.reject(new Error("Cannot write: no space is left"));
    }

    override get(): Promise<undefined[]> {
      return Promise.reject(new Error("Cannot read: it is broken"));
    }

    override close(): Promise<void> {
      return Promise.reject(new Error("Cannot close: it is broken"));
    }
  }
  const lines = await told(async () => {
    const memoStore = new FullStore();
    const [values] = await inFlow(
      ({ args }) => args[0],
      { memoStore },
      async () => await Promise.all([1, 2, 3].map((n) => double(n))),
    );
    expect(values).toEqual([1, 2, 3]);
  });
  const count = (text: string) => lines.filter((line) => line.includes(text)).length;
  expect([count("no space is left"), count("Cannot read"), count("Cannot close")]).toEqual([
    1,
    1,
    1,
  ]);
});

test("values that are held are bounded: those that were used longest ago go", async () => {
  const value = StoredValue.encoded(encodeValue(new Uint8Array(2 ** 21)));
  const { flow, executor } = await answeringFlow(() => ({ kind: "done", value, outputs: {} }));
  for (let n = 0; n < 150; n++) await double(n);
  const first = double(0);
  const last = double(149);
  await Promise.all([first, last]);
  expect([first.tryCount, last.tryCount]).toEqual([1, 0]);
  expect(executor.tries).toHaveLength(151);
  await flow.close();
});

test("checkpoints are made as the flow says, and at its end", async () => {
  for (const checkpoint of ["task_exit", "periodic", "exit", "manual"] as const) {
    const memoStore = new LastingStore();
    const putCount = async () => (await Array.fromAsync(memoStore.list())).length;
    const counts: number[] = [];
    await inFlow(() => 8, { memoStore, checkpoint, checkpointPeriod: "1h" }, async (flow) => {
      await double(1);
      counts.push(await putCount());
      await flow.checkpoint();
      counts.push(await putCount());
      await double(2);
    });
    counts.push(await putCount());
    const first = checkpoint === "task_exit" ? 1 : 0;
    expect([checkpoint, ...counts]).toEqual([checkpoint, first, 1, 2]);
  }
  const memoStore = new LastingStore();
  await inFlow(() => 8, { memoStore, checkpoint: "periodic", checkpointPeriod: 5 }, async () => {
    await double(1);
    const putCount = async () => (await Array.fromAsync(memoStore.list())).length;
    while (await putCount() === 0) await nextTurn();
  });
});

test("with task_exit a future settles once its entry is put", async () => {
  const put = Promise.withResolvers<void>();
  class SlowStore extends MemoryMemoStore {
    override async putAll(entries: Parameters<MemoryMemoStore["putAll"]>[0]): Promise<void> {
      await put.promise;
      await super.putAll(entries);
    }
  }
  const { flow, end, tryOf } = await scriptedFlow({
    memoStore: new SlowStore(),
    checkpoint: "task_exit",
  });
  const call = double(4);
  const twin = double(4);
  await tryOf(0);
  end(0, 8);
  await nextTurn();
  expect([call.isDone, twin.isDone]).toEqual([false, false]);
  put.resolve();
  expect([await call, await twin]).toEqual([8, 8]);
  await flow.close();
});

test("a key function of the flow may leave calls out, and is told of keys that are none", async () => {
  const key = async (memoKey: () => Promise<string | undefined>) => {
    const { flow, executor } = await answeringFlow(() => 8, { memoKey });
    await Promise.all([double(4), double(4)]);
    await flow.close();
    return executor.tries.length;
  };
  expect(await key(() => Promise.resolve(undefined))).toBe(2);
  const lines = await told(async () => {
    expect(await key(() => Promise.resolve("short"))).toBe(2);
  });
  expect(lines.join("")).toContain('Cannot take "short" as a memo key');
});

test("two flows remember in one file at the same time, and each finds what the other put", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-memory-"));
  const options = { checkpoint: "task_exit", memoFile: join(folder, "memo.db") } as const;
  try {
    const flows = [
      await answeringFlow(({ args }) => args[0], options),
      await answeringFlow(({ args }) => args[0], options),
    ];
    const call = (index: number, n: number) =>
      flows[index]!.flow.call<number, never>(identity, [n]);
    const identity = functionRecipe("identity");
    const numbers = Array.from({ length: 40 }, (_, n) => n);
    await Promise.all(numbers.map((n) => call(n % 2, n)));
    expect(await Promise.all(numbers.map((n) => call((n + 1) % 2, n)))).toEqual(numbers);
    expect(flows.map(({ executor }) => executor.tries.length)).toEqual([20, 20]);
    for (const { flow } of flows) await flow.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
