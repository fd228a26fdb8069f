/**
 * TaskVine's behaviour: functions by value (PythonTask), libraries and their calls (serverless),
 * and what its futures do, which are promises here.
 *
 * Libraries are in JavaScript, whose instances are TaskVine's `direct` mode; `fork` mode comes with
 * libraries in Python. Functions that cross a boundary give their value, not a file to unpickle.
 */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

test(
  "Manager.run() sums in 9 tasks, and negates by a named argument in 9 more (TR_vine_python_task)",
  async () => {
    const [sum, negated] = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const sumAll = (values: number[], { negate = false }: { negate?: boolean } = {}): number => {
        const sum = values.reduce((total, value) => total + value, 0);
        return negate ? -sum : sum;
      };
      const total = async (options: { negate?: boolean }) => {
        const tasks = Array.from(
          { length: 9 },
          (_, index) => manager.run(sumAll, [index, index + 1], options).value(),
        );
        return (await Promise.all(tasks)).reduce((all, value) => all + value, 0);
      };
      return [await total({}), await total({ negate: true })];
    });
    expect([sum, negated]).toEqual([81, -81]);
  },
);

test("A function gives bytes as they are (TR_vine_python_no_serialization)", async () => {
  const bytes = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    const made = await manager.run(() => new Uint8Array([0, 255, 128, 10, 13])).value();
    return [made instanceof Uint8Array, ...made];
  });
  expect(bytes).toEqual([true, 0, 255, 128, 10, 13]);
});

test(
  "A temp that a function wrote is read by another, and then given up (TR_vine_python_temp_files)",
  async () => {
    const { value, copies, error } = await runWorkflow(
      async ({ Manager, ONE_WORKER }) => {
        await using manager = await Manager.start({ workers: ONE_WORKER });
        const made = manager.temp();
        const library = manager.library({ name: "writer", module: "./writer.ts" });
        const writing = library.with({ outputs: { made } }).call("write", "made", 100);
        const read = async (path: string) => (await import("node:fs")).readFileSync(path).length;
        const value = await manager.run(read, made).value();
        await writing.value();
        const copies = made.replicaCount;
        await manager.undeclare(made);
        const error = await made.text().then(() => "", String);
        return { value, copies, error };
      },
      {
        files: {
          "writer.ts": `import { writeFileSync } from "node:fs";
export const write = (path: string, count: number) => writeFileSync(path, "x".repeat(count));`,
        },
      },
    );
    expect([value, copies]).toEqual([100, 1]);
    expect(error).toContain("undeclared");
  },
);

/** The libraries of the test of calls, each with the factor that its context gives it. */
const LIBRARIES = {
  "plain.ts": `export const divide = (a: number, b: number): number => a / b;`,
  "context.ts": `import { libraryContext } from "tendril";
export const setup = () => ({ base: 100 });
export const add = (a: number): number => libraryContext<typeof setup>().base + a;`,
  "slots.ts": `import { libraryContext } from "tendril";
export const setup = async () => ({ base: await Promise.resolve(1000) });
export const add = async (a: number) => libraryContext<Awaited<ReturnType<typeof setup>>>().base + a;`,
  "lambdas.ts": `export const double = (a: number): number => a * 2;
export const { triple } = { triple: (a: number): number => a * 3 };`,
  "made.ts": `export const square = new Function("a", "return a * a");`,
  "files.ts": `import { readFileSync, writeFileSync } from "node:fs";
export function copy(path: string, to: string): number {
  const bytes = readFileSync(path);
  writeFileSync(to, bytes);
  return bytes.length;
}`,
  "loaded.ts": `import { libraryContext } from "tendril";
import table from "./table.json";
export const setup = () => new Map(Object.entries(table));
export const look = (word: string): number => libraryContext<typeof setup>().get(word) ?? 0;`,
  "table.json": JSON.stringify({ oak: 7, elm: 8 }),
};

test(
  "Seven libraries serve 100 calls each, with the exact total (TR_vine_python_serverless)",
  async () => {
    const { totals, copied, instances } = await runWorkflow(
      async ({ Manager }) => {
        await using manager = await Manager.start({ workers: { cores: 8 } });
        const library = (name: string, options: { context?: string; slots?: number } = {}) =>
          manager.library({ name, module: `./${name}.ts`, ...options });
        const plain = library("plain");
        const context = library("context", { context: "setup" });
        const slots = library("slots", { context: "setup", slots: 4 });
        const lambdas = library("lambdas");
        const made = library("made");
        const files = library("files");
        const loaded = library("loaded", { context: "setup" });
        const input = manager.buffer("12345");
        const outputs = Array.from({ length: 100 }, () => manager.temp());
        const calls: { [name: string]: (index: number) => Promise<number> } = {
          plain: (index) => plain.call<number>("divide", index, 2).value(),
          context: (index) => context.call<number>("add", index).value(),
          slots: (index) => slots.call<number>("add", index).value(),
          lambdas: (index) =>
            lambdas.call<number>(index % 2 === 0 ? "double" : "triple", index).value(),
          made: (index) => made.call<number>("square", index).value(),
          files: (index) => {
            const one = files.with({ outputs: { copy: outputs[index]! } });
            return one.call<number>("copy", input, "copy").value();
          },
          loaded: (index) => loaded.call<number>("look", index % 2 === 0 ? "oak" : "elm").value(),
        };
        const entries = Object.entries(calls).map(async ([name, call]) => {
          const values = await Promise.all(Array.from({ length: 100 }, (_, index) => call(index)));
          return [name, values.reduce((total, value) => total + value, 0)];
        });
        const totals = Object.fromEntries(await Promise.all(entries));
        const copied = await outputs[99]!.text();
        return { totals, copied, instances: manager.status().libraries };
      },
      { files: LIBRARIES },
    );
    const sum = 4950;
    expect(totals).toEqual({
      plain: sum / 2,
      context: 100 * 100 + sum,
      slots: 1000 * 100 + sum,
      lambdas: 2 * 2450 + 3 * 2500,
      made: 328_350,
      files: 500,
      loaded: 750,
    });
    expect([copied, instances]).toEqual(["12345", 7]);
  },
);

test(
  "All 10 calls of a library that cannot start come back (TR_vine_python_serverless_failure)",
  async () => {
    const { results, other } = await runWorkflow(
      async ({ Manager, ONE_WORKER }) => {
        await using manager = await Manager.start({
          workers: ONE_WORKER,
          policies: { libraryRetries: 2 },
        });
        const library = manager.library({ name: "dying", module: "./dying.ts", context: "setup" });
        const calls = Array.from({ length: 10 }, () => library.call("never"));
        const results = await Promise.all(calls);
        return { results, other: await manager.run(() => "alive").value() };
      },
      {
        files: {
          "dying.ts": `export function setup() { console.error("no luck"); process.exit(3); }
export const never = () => 1;`,
        },
      },
    );
    expect(results.map(({ outcome }) => outcome)).toEqual(new Array(10).fill("library_failed"));
    for (const { message } of results) expect(message).toContain("no luck");
    expect(other).toBe("alive");
  },
);

const MATHS = `export const add = (a: number, b: number): number => a + b;
export function fail(message: string): never { throw new RangeError(message); }`;

test(
  "The value of one call is an argument of the next (TR_vine_python_future_funcall)",
  async () => {
    const value = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const library = manager.library({ name: "maths", module: "./maths.ts" });
      const add = (a: number, b: number) => library.call<number>("add", a, b).value();
      const [a, b] = await Promise.all([add(7, 4), add(2, 3)]);
      return await add(a, b);
    }, { files: { "maths.ts": MATHS } });
    expect(value).toBe(16);
  },
);

test(
  "A call that fails rejects with the function's message (TR_vine_python_future_funcall)",
  async () => {
    const { error, result } = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const library = manager.library({ name: "maths", module: "./maths.ts" });
      const call = library.call("fail", "this is on purpose");
      const error = await call.value().then(() => "", (thrown: Error) => thrown.message);
      return { error, result: await call };
    }, { files: { "maths.ts": MATHS } });
    expect(error).toBe("RangeError: this is on purpose");
    expect(result.outcome).toBe("call_error");
  },
);

test("Functions chain by their values (TR_vine_python_future_pythontask)", async () => {
  const value = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    const add = (a: number, b: number) => a + b;
    const a = await manager.run(add, 7, 3).value();
    const [b, c] = await Promise.all([
      manager.run(add, a, 1).value(),
      manager.run(add, a, 2).value(),
    ]);
    return await manager.run(add, b, c).value();
  });
  expect(value).toBe(23);
});

test(
  "An exception of a function arrives with its message, at each await (TR_vine_python_future_pythontask)",
  async () => {
    const messages = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const failing = manager.run(() => {
        throw new TypeError("something was amiss");
      });
      const message = () => failing.value().then(() => "", (thrown: Error) => thrown.message);
      return [await message(), await message()];
    });
    expect(messages).toEqual(new Array(2).fill("TypeError: something was amiss"));
  },
);

test(
  "Promise.all(), race() and any() wait for all, the first, and the first that succeeds " +
    "(TR_vine_python_future_module, wait)",
  async () => {
    const report = await runWorkflow(async ({ Manager }) => {
      const { writeFileSync } = await import("node:fs");
      await using manager = await Manager.start({ workers: { cores: 2 } });
      const gate = `${process.cwd()}/gate`;
      const slow = () =>
        manager.submit({
          command: `until test -e ${gate}; do sleep 0.01; done; echo slow`,
          cores: 1,
        });
      const quick = () => manager.submit({ command: "echo quick", cores: 1 });
      const failing = () => manager.submit({ command: "exit 3", cores: 1 });
      const stuck = slow();
      const first = await Promise.race([stuck, quick()]);
      const failed = await Promise.race([stuck.orThrow(), failing().orThrow()])
        .then(() => "", (thrown: Error) => thrown.name);
      const fine = await Promise.any([stuck.orThrow(), failing().orThrow(), quick().orThrow()]);
      const isPending = stuck.state !== "done";
      writeFileSync(gate, "");
      const all = await Promise.all([stuck, quick(), failing()]);
      return {
        first: first.stdout,
        failed,
        fine: fine.stdout,
        isPending,
        all: all.map(({ stdout, outcome }) => `${outcome} ${stdout}`.trim()),
      };
    });
    expect(report).toEqual({
      first: "quick\n",
      failed: "TaskError",
      fine: "quick\n",
      isPending: true,
      all: ["success slow", "success quick", "exit"],
    });
  },
);

test(
  "Manager.completed() gives results as tasks end, whatever their order " +
    "(TR_vine_python_future_module, as_completed)",
  async () => {
    const tags = await runWorkflow(async ({ Manager }) => {
      const { writeFileSync } = await import("node:fs");
      await using manager = await Manager.start({ workers: { cores: 3 } });
      const tags: (string | undefined)[] = [];
      const until = (name: string) => `until test -e ${process.cwd()}/${name}; do sleep 0.01; done`;
      manager.submit({ command: until("second"), tag: "last", cores: 1 });
      manager.submit({ command: until("first"), tag: "second", cores: 1 });
      manager.submit({ command: "true", tag: "first", cores: 1 });
      for await (const { tag } of manager.completed()) {
        tags.push(tag);
        writeFileSync(tag ?? "none", "");
      }
      return tags;
    });
    expect(tags).toEqual(["first", "second", "last"]);
  },
);

// TaskVine throws TimeoutError; here there is no result when the time is over, and the task goes on.
test(
  "Manager.wait() gives nothing when its time is over (TR_vine_python_future_module, TimeoutError)",
  async () => {
    const { isNothing, state, later } = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const { writeFileSync } = await import("node:fs");
      const gate = `${process.cwd()}/gate`;
      const task = manager.submit({ command: `until test -e ${gate}; do sleep 0.01; done` });
      const isNothing = await manager.wait({ timeout: "50ms" }) === undefined;
      const state = task.state;
      writeFileSync(gate, "");
      return { isNothing, state, later: (await manager.wait())?.outcome };
    });
    expect(isNothing).toBe(true);
    expect(state).not.toBe("done");
    expect(later).toBe("success");
  },
);

test("A call is cancelled while it waits (TR_vine_python_future_module, cancel)", async () => {
  const { outcome, message, other } = await runWorkflow(async ({ Manager, ONE_WORKER, until }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    const running = manager.run(() => new Promise(() => setInterval(() => {}, 1000)));
    await until(() => running.state === "running", "it runs");
    const waiting = manager.run(() => 1);
    waiting.cancel();
    running.cancel();
    const message = await waiting.value().then(() => "", (thrown: Error) => thrown.message);
    return { outcome: (await running).outcome, message, other: await manager.run(() => 2).value() };
  });
  expect([outcome, other]).toEqual(["cancelled", 2]);
  expect(message).toContain("cancelled");
});
