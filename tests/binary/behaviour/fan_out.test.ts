/** TaskVine's behaviour: functions over many items (TR_vine_python_future_hof). */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

for (const chunkSize of [1, 2, 3, 50]) {
  test(`map() gives results in order, ${chunkSize} items a task (TR_vine_python_future_hof)`, async () => {
    const values = await runWorkflow(async ({ Manager }) => {
      await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
      const items = Array.from({ length: 10 }, (_, index) => index);
      const chunkSize = Number(process.argv[2]);
      return await manager.map((item: number) => item * item, items, { chunkSize });
    }, { scriptArgs: [String(chunkSize)] });
    expect(values).toEqual([0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
  });

  test(`pair() gives results of all pairs, ${chunkSize} a task (TR_vine_python_future_hof)`, async () => {
    const values = await runWorkflow(async ({ Manager }) => {
      await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
      const chunkSize = Number(process.argv[2]);
      const name = (letter: string, count: number) => `${letter}${count}`;
      return await manager.pair(name, ["a", "b"], [1, 2, 3], { chunkSize });
    }, { scriptArgs: [String(chunkSize)] });
    expect(values).toEqual(["a1", "a2", "a3", "b1", "b2", "b3"]);
  });
}

for (const arity of [2, 3, 25]) {
  test(`treeReduce() combines ${arity} by a task, in order (TR_vine_python_future_hof)`, async () => {
    const [joined, most, alone] = await runWorkflow(async ({ Manager }) => {
      await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
      const arity = Number(process.argv[2]);
      const letters = [..."abcdefghijklmnopqrstuvw"];
      const numbers = letters.map((_, index) => (index * 7) % 23);
      return await Promise.all([
        manager.treeReduce((a: string, b: string) => a + b, letters, { arity }),
        manager.treeReduce((a: number, b: number) => Math.max(a, b), numbers, { arity }),
        manager.treeReduce((a: string, b: string) => a + b, ["one"], { arity }),
      ]);
    }, { scriptArgs: [String(arity)] });
    expect([joined, most, alone]).toEqual(["abcdefghijklmnopqrstuvw", 22, "one"]);
  });
}

test("map() rejects with the message of the item that failed (TR_vine_python_future_hof)", async () => {
  const message = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
    const invert = (item: number): number => {
      if (item === 0) throw new RangeError("no zero, please");
      return 1 / item;
    };
    return await manager.map(invert, [2, 1, 0, 4]).then(() => "", (error: Error) => error.message);
  });
  expect(message).toContain("no zero, please");
});
