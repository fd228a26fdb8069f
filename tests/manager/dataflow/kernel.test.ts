import { expect, test } from "bun:test";

import {
  AppError,
  CancelledError,
  DependencyError,
  JoinError,
} from "../../../manager/dataflow/app_error.ts";
import { DEEP_RESOLVER } from "../../../manager/dataflow/dependency.ts";
import { callOf } from "../../../manager/dataflow/future.ts";
import { PlacedFile } from "../../../manager/dataflow/placed_file.ts";
import { StoredValue } from "../../../manager/dataflow/stored_value.ts";
import { until } from "../../until.ts";
import { errorOf, functionRecipe, KernelFixture, nextTurn } from "./kernel_fixture.ts";

test("cancel() of a call that waits for others runs nothing of it", async () => {
  const fixture = new KernelFixture();
  const first = fixture.call("first");
  const second = fixture.call("second", [[first]]);
  second.cancel();
  expect([second.state, callOf(second).args]).toEqual(["cancelled", []]);
  fixture.done("first", 1);
  expect(await first).toBe(1);
  expect(fixture.executor.tries.length).toBe(1);
  expect((await errorOf(second)).message).toBe(
    "Cannot give the result of call 2, second([first#1]): it was cancelled",
  );
});

test("cancel() of a call that pauses before a try ends its timer", async () => {
  const cleared: unknown[] = [];
  const before = globalThis.clearTimeout;
  const fixture = new KernelFixture();
  const call = fixture.call("slow", [], { retries: 1, retryDelay: "1h" });
  fixture.fail("slow");
  await nextTurn();
  expect([call.state, call.tryCount, fixture.kernel.openCount]).toEqual(["pending", 1, 1]);
  globalThis.clearTimeout = ((timer: never) => {
    cleared.push(timer);
    before(timer);
  }) as typeof clearTimeout;
  try {
    call.cancel();
  } finally {
    globalThis.clearTimeout = before;
  }
  expect([cleared.length, call.state, fixture.kernel.openCount]).toEqual([1, "cancelled", 0]);
});

test("cancel() of a call whose files are being brought gives it to no executor", async () => {
  const brought = Promise.withResolvers<void>();
  const fixture = new KernelFixture({ ensure: () => brought.promise });
  const recipe = functionRecipe("first", { outputs: { out: "out" } });
  const first = fixture.kernel.call<number, "out">(recipe, []);
  const file = new PlacedFile({ kind: "path", path: "/out" });
  const value = StoredValue.plain(1);
  fixture.end("first", { kind: "done", value, outputs: { out: file } });
  const second = fixture.call("second", [first.outputs.out]);
  expect(second.state).toBe("pending");
  second.cancel();
  brought.resolve();
  await nextTurn();
  expect([second.state, fixture.executor.tries.length]).toEqual(["cancelled", 1]);
});

test("cancel() of a call that runs ends its try, and what the try gives comes too late", async () => {
  const fixture = new KernelFixture();
  const call = fixture.call("slow");
  const next = fixture.call("next", [{ of: call }]);
  expect(call.state).toBe("launched");
  call.cancel();
  expect(fixture.tryOf("slow").isCancelled).toBe(true);
  fixture.done("slow", 1);
  await expect(Promise.resolve(call)).rejects.toBeInstanceOf(CancelledError);
  const error = await errorOf(next);
  expect(error).toBeInstanceOf(DependencyError);
  expect(error.message).toBe(
    "Cannot run call 2, next({of: slow#1}): it depends on call 1, slow(), which has no result: " +
      "it was cancelled",
  );
  expect([next.state, fixture.executor.tries.length]).toEqual(["dep_fail", 1]);
});

test("cancel() of a join ends what its function has made, and nothing else", async () => {
  const fixture = new KernelFixture();
  const other = fixture.call("other");
  const join = fixture.join("tree", () => {
    const leaf = fixture.call("leaf");
    const inner = fixture.join("inner", () => fixture.call("deep"));
    return [fixture.call("sum", [leaf, inner]), other];
  });
  await until(() => fixture.executor.tries.length === 3, "all run");
  expect(join.state).toBe("joining");
  join.cancel();
  expect(fixture.executor.pending.filter(({ isCancelled }) => !isCancelled).length).toBe(1);
  expect([other.state, fixture.kernel.openCount]).toEqual(["launched", 1]);
  fixture.done("other", 1);
  expect(await other).toBe(1);
});

test("cancel() of a join whose function still runs has it make no more", async () => {
  const gate = Promise.withResolvers<void>();
  const fixture = new KernelFixture();
  const thrown: Error[] = [];
  const join = fixture.join("tree", async () => {
    const first = fixture.call("first");
    await gate.promise;
    try {
      fixture.call("second", [first]);
    } catch (error) {
      thrown.push(error as Error);
    }
  });
  await nextTurn();
  join.cancel();
  gate.resolve();
  await nextTurn();
  expect(thrown.map(({ message }) => message)).toEqual([
    "Cannot give the result of call 1, second(…): call 1, which makes it, was cancelled",
  ]);
  expect(fixture.executor.tries.map(({ isCancelled }) => isCancelled)).toEqual([true]);
});

test("cancel() of a call that has ended, or once more, changes nothing", async () => {
  const fixture = new KernelFixture();
  const call = fixture.call("quick");
  fixture.done("quick", 1);
  call.cancel();
  expect([call.state, await call]).toEqual(["exec_done", 1]);
  const other = fixture.call("other");
  other.cancel();
  const { error } = other;
  other.cancel();
  expect(other.error).toBe(error!);
});

test("cancel() works from whoever awaits another call", async () => {
  const fixture = new KernelFixture();
  const first = fixture.call("first");
  const second = fixture.call("second");
  const cancelled = first.then(() => second.cancel());
  fixture.done("first", 1);
  await cancelled;
  expect([second.state, fixture.tryOf("second").isCancelled]).toEqual(["cancelled", true]);
});

test("A promise that never settles keeps nothing of a call that was cancelled", () => {
  const fixture = new KernelFixture();
  const never = new Promise<never>(() => {});
  const call = fixture.call("waits", [never, new Uint8Array(8)]);
  const record = callOf(call);
  const { promised } = record;
  expect(promised?.call).toBe(record);
  call.cancel();
  expect([promised?.call, record.promised, record.args]).toEqual([undefined, undefined, []]);
});

test("A call lets go of what it was given once it has ended", async () => {
  const fixture = new KernelFixture();
  const first = fixture.call("first", [new Uint8Array(8)]);
  const second = fixture.call("second", [first]);
  fixture.done("first", 1);
  fixture.done("second", 2);
  expect(await second).toBe(2);
  const { args, consumers, listeners, running, failures } = callOf(first);
  expect({ args, consumers, listeners, running, failures }).toEqual({
    args: [],
    consumers: undefined,
    listeners: undefined,
    running: undefined,
    failures: undefined,
  });
});

test("A try that ends twice is no end of the next one", async () => {
  const fixture = new KernelFixture();
  const call = fixture.call("twice", [], { retries: 1 });
  const first = fixture.tryOf("twice");
  const failure = { kind: "exit", message: "broken" } as const;
  first.onEnd({ kind: "failed", failure });
  first.onEnd({ kind: "failed", failure });
  await nextTurn();
  first.onEnd({ kind: "failed", failure });
  await nextTurn();
  expect([call.state, call.tryCount]).toEqual(["launched", 2]);
  fixture.done("twice", 7);
  expect(await call).toBe(7);
});

test("A retry handler that throws, or gives no cost, ends the call with its own error as the cause", async () => {
  const fixture = new KernelFixture();
  const answers: (() => number)[] = [
    () => {
      throw new Error("no idea");
    },
    () => NaN,
    () => undefined as never,
  ];
  const messages: string[] = [];
  for (const retryHandler of answers) {
    const call = fixture.call("asked", [], { retries: 5, retryHandler });
    fixture.fail("asked");
    const error = await errorOf(call);
    expect(error).toBeInstanceOf(AppError);
    expect([call.tryCount, (error.cause as Error).message.length > 0]).toEqual([1, true]);
    messages.push(error.message.replace(/^Call \d+, /, ""));
  }
  expect(messages).toEqual([
    "asked(), failed as exit: broken; and whether to try again: no idea",
    "asked(), failed as exit: broken; and whether to try again: " +
    'Cannot take "NaN" as the cost of a failure: expected 0 or more',
    "asked(), failed as exit: broken; and whether to try again: " +
    'Cannot take "undefined" as the answer of a retry handler: expected a cost, or { cost }',
  ]);
});

test("retryOn repeats failures of these kinds alone", async () => {
  const fixture = new KernelFixture();
  const call = fixture.call("picky", [], { retries: 5, retryOn: ["timeout"] });
  fixture.fail("picky", { kind: "timeout" });
  await nextTurn();
  expect([call.state, call.tryCount]).toEqual(["launched", 2]);
  fixture.fail("picky", { kind: "exit" });
  const error = await errorOf(call);
  expect(error.message).toBe("Call 1, picky(), failed after 2 tries as exit: broken");
  expect((error as AppError).failures.map(({ kind }) => kind)).toEqual(["timeout", "exit"]);
});

test("retryDelay doubles after each failure, up to a minute", async () => {
  const pauses: number[] = [];
  const before = globalThis.setTimeout;
  globalThis.setTimeout = ((listener: () => void, ms: number) => {
    pauses.push(ms);
    return before(listener, 0);
  }) as typeof setTimeout;
  try {
    const fixture = new KernelFixture();
    const call = fixture.call("slow", [], { retries: 5, retryDelay: "8s" });
    for (let number = 1; number <= 5; number++) {
      fixture.fail("slow");
      while (call.tryCount === number) await new Promise((resolve) => before(resolve, 1));
    }
    fixture.done("slow", 1);
    expect(await call).toBe(1);
  } finally {
    globalThis.setTimeout = before;
  }
  expect(pauses).toEqual([8_000, 16_000, 32_000, 60_000, 60_000]);
});

test("call() refuses an app that no executor takes, also when it waits", () => {
  const fixture = new KernelFixture();
  const first = fixture.call("first");
  expect(() => fixture.call("second", [first], { executor: "elsewhere" })).toThrow(
    'Cannot run "second" on executor "elsewhere": the flow has "a"',
  );
  expect(fixture.kernel.openCount).toBe(1);
});

test("call() takes a future of another flow as any promise, and refuses its files", async () => {
  const one = new KernelFixture();
  const other = new KernelFixture();
  const first = one.call("first");
  const second = other.call("second", [first]);
  expect(second.state).toBe("pending");
  one.done("first", 3);
  await until(() => second.state === "launched", "the second call runs");
  expect(other.tryOf("second").aTry.args).toEqual([3]);
  const made = one.kernel.call<number, "out">(
    functionRecipe("made", { outputs: { out: "o" } }),
    [],
  );
  expect(() => other.call("third", [{ of: made.outputs.out }])).toThrow(
    'Cannot call "third": output "out" of call 2 is of another flow',
  );
});

test("joinApp() gives what futures and promises in what it returns give", async () => {
  const fixture = new KernelFixture();
  const one = fixture.join<number>("one", () => fixture.call("leaf"));
  const many = fixture.join<unknown>("many", () => ({
    list: [fixture.call("leaf"), Promise.resolve([fixture.call("leaf")])],
    plain: 3,
  }));
  const none = fixture.join<unknown>("none", () => []);
  await until(() => fixture.executor.tries.length === 3, "all leaves run");
  expect([one.state, many.state, await none]).toEqual(["joining", "joining", []]);
  for (const [index, taken] of fixture.executor.tries.entries()) {
    const value = StoredValue.plain(index);
    fixture.executor.end(taken, { kind: "done", value, outputs: {} });
  }
  expect(await one).toBe(0);
  expect(await many).toEqual({ list: [1, [2]], plain: 3 });
});

test("joinApp() fails with a JoinError that names the call within", async () => {
  const fixture = new KernelFixture();
  const join = fixture.join("tree", () => [fixture.call("leaf"), fixture.call("other")]);
  const eager = fixture.join("eager", async () => await fixture.call("leaf"));
  await until(() => fixture.executor.tries.length === 3, "all leaves run");
  fixture.fail("leaf");
  fixture.executor.end(fixture.executor.tries[0]!, {
    kind: "failed",
    failure: { kind: "exit", message: "broken" },
  });
  for (const [call, inner] of [[join, 3], [eager, 5]] as const) {
    const error = await errorOf(call);
    expect(error).toBeInstanceOf(JoinError);
    expect([(error as JoinError).chain.map(({ app }) => app), call.state]).toEqual([
      ["leaf"],
      "failed",
    ]);
    expect(error.message).toContain(`it joins call ${inner}, leaf(), which failed as exit: broken`);
  }
  expect(fixture.kernel.openCount).toBe(1);
});

test("get() of a value that is here takes no try, also of what a join gave", async () => {
  const fixture = new KernelFixture();
  const join = fixture.join<{ a: number }>("join", () => ({ a: fixture.call("leaf"), b: 2 }));
  await until(() => fixture.executor.tries.length === 1, "the leaf runs");
  const part = join.get("a");
  fixture.done("leaf", 5);
  expect([await part, part.state, fixture.executor.tries.length]).toEqual([5, "exec_done", 1]);
});

test("A fan-in of 16,000 looks at each future twice", () => {
  let visits = 0;
  const fixture = new KernelFixture({
    resolver: {
      map: (value, map) =>
        DEEP_RESOLVER.map(value, (found) => {
          visits += 1;
          return map(found);
        }),
    },
  });
  const recipe = functionRecipe("part");
  const parts = Array.from({ length: 16_000 }, () => fixture.kernel.call(recipe, []));
  const sum = fixture.call("sum", [parts]);
  expect(visits).toBe(parts.length);
  const { tries } = fixture.executor;
  for (const one of [...tries]) {
    fixture.executor.end(one, { kind: "done", value: StoredValue.plain(1), outputs: {} });
  }
  expect([visits, sum.state, tries.at(-1)?.aTry.app]).toEqual([32_000, "launched", "sum"]);
});

test("A chain of 5,000 calls ends when its first one fails, and says so shortly", async () => {
  const fixture = new KernelFixture();
  const next = functionRecipe("next");
  let last = fixture.call("first");
  for (let index = 0; index < 5_000; index++) last = fixture.kernel.call(next, [last]);
  fixture.fail("first");
  const error = await errorOf(last) as DependencyError;
  expect([fixture.kernel.openCount, error.chain.length]).toEqual([0, 5_000]);
  expect(error.message.length).toBeLessThan(500);
  expect(error.message).toContain("<- … 4992 more, which failed as exit: broken");
});
