/** What no test of TaskVine covers, of what tasks use: it is measured, and limits are kept. */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

const MB = 1_000_000;

/** Has 100 MB of memory for a while, in a child of the shell. */
const HOLD = "head -c 100000000 /dev/zero | tail -c 100000000 | { sleep 0.5; wc -c; }";

test("Results tell the memory, processes and disk that a task used (monitoring)", async () => {
  const results = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
    const command = `head -c 20000000 /dev/zero > data; ${process.argv[2]}`;
    return await Promise.all([
      manager.submit({ command }),
      manager.submit({ command: "sleep 0.5" }),
    ]);
  }, { scriptArgs: [HOLD] });
  const [large, small] = results.map(({ used }) => used);
  expect(large?.memoryBytes).toBeGreaterThan(100 * MB);
  expect(large?.memoryBytes).toBeLessThan(200 * MB);
  expect(large?.processCount).toBeGreaterThanOrEqual(3);
  expect(large?.diskBytes).toBeGreaterThanOrEqual(20 * MB);
  expect(small?.memoryBytes).toBeLessThan(50 * MB);
});

test("A task beyond the memory that it stated is stopped, and its peak named (monitoring)", async () => {
  const { result, other } = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 2 } });
    const large = manager.submit({ command: process.argv[2] ?? "", memory: "30MB", retries: 1 });
    const other = manager.submit({ command: "sleep 0.3; echo fine", memory: "30MB" });
    return { result: await large, other: (await other).stdout };
  }, { scriptArgs: [HOLD] });
  // Stated by its user: each try counts against `retries`.
  expect(result).toMatchObject({ outcome: "resources_exhausted", try: 2 });
  expect(result.message).toContain("memory");
  expect(result.used?.memoryBytes).toBeGreaterThan(30 * MB);
  expect(other).toBe("fine\n");
});
