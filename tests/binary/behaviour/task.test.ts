/**
 * TaskVine's behaviour: one task, many tasks, their outcomes, cancelling and tags.
 *
 * Lines of its list that have no test in this folder:
 *
 * | line | why |
 * |---|---|
 * | TR_vine_valgrind | no C; what tests of the binary leave behind is looked for after each run |
 * | TR_vine_allocations det_*, quantized | these modes are not here |
 * | TR_vine_python_cache | results are not cached yet |
 * | TR_vine_python_serverless fork | comes with libraries in Python |
 * | TR_vine_python_prometheus | there are no metrics yet |
 * | TR_vine_task_graph_compat | there is no layer for Dask's graphs |
 * | factory scaling | there is no factory yet |
 * | bandwidth limit | there is none: the manager does not wait for bytes |
 */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

test("Manager runs a task with 1 MB in and 1 MB out; the output exists (TR_vine_single)", async () => {
  const { outcome, sizeBytes } = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    const { statSync } = await import("node:fs");
    await using manager = await Manager.start({ workers: ONE_WORKER });
    const input = manager.buffer("x".repeat(1_000_000));
    const { outcome } = await manager.submit({
      command: "sleep 0.1; cat input | tr x y > output",
      inputs: { input },
      outputs: { output: manager.file("output.0") },
    });
    return { outcome, sizeBytes: statSync("output.0").size };
  });
  expect([outcome, sizeBytes]).toEqual(["success", 1_000_000]);
});

test(
  "Manager runs 16 tasks on a worker of 4 cores, 4 at a time; all outputs exist (TR_vine_multicore)",
  async () => {
    const { sizes, workersUsed, most } = await runWorkflow(async ({ Manager }) => {
      const { mkdirSync, readdirSync, statSync } = await import("node:fs");
      await using manager = await Manager.start({ workers: { cores: 4 } });
      const input = manager.buffer("x".repeat(100_000));
      // The first ones meet: none goes on before four have started.
      const meet = `touch ${process.cwd()}/started/$TENDRIL_TASK_ID; ` +
        `while [ $(ls ${process.cwd()}/started | wc -l) -lt 4 ]; do sleep 0.01; done`;
      mkdirSync("started");
      const tasks = Array.from({ length: 16 }, (_, index) =>
        manager.submit({
          command: `${meet}; cp input output`,
          inputs: { input },
          outputs: { output: manager.file(`outputs/${index}`) },
          cores: 1,
        }));
      const results = await Promise.all(tasks);
      const spans = results.map(({ times: { startedAtMs, ranMs } }) => {
        return { fromMs: startedAtMs, toMs: startedAtMs + ranMs };
      });
      const atOnce = spans.map(({ fromMs }) =>
        spans.filter((other) => other.fromMs <= fromMs && fromMs < other.toMs).length
      );
      return {
        sizes: readdirSync("outputs").map((name) => statSync(`outputs/${name}`).size),
        workersUsed: new Set(results.map(({ workerId }) => workerId)).size,
        most: Math.max(...atOnce),
      };
    });
    expect(sizes).toEqual(new Array(16).fill(100_000));
    expect([workersUsed, most]).toEqual([1, 4]);
  },
);

test('TaskResult is "exit" with 126 for a file that is not executable (TR_vine_python)', async () => {
  const result = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    return await manager.submit({
      command: "./program",
      inputs: { program: manager.buffer("no program\n") },
    });
  });
  expect(result).toMatchObject({ outcome: "exit", exitCode: 126 });
});

test('TaskResult is "exit" with 127 for a command that is not found (TR_vine_python)', async () => {
  const result = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    return await manager.submit({ command: "./no-such-program" });
  });
  expect(result).toMatchObject({ outcome: "exit", exitCode: 127 });
});

test("A task that ends before its timeout succeeds (TR_vine_python, time_max)", async () => {
  const result = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    return await manager.submit({ command: "sleep 0.05", timeout: "30s" });
  });
  expect(result).toMatchObject({ outcome: "success", exitCode: 0 });
});

// TaskVine: "max wall time" with exit code 9. Here no exit code is made up for what did not exit.
test('A task beyond its timeout ends as "timeout" (TR_vine_python, time_max)', async () => {
  const result = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    return await manager.submit({ command: "sleep 600", timeout: "100ms" });
  });
  expect(result.outcome).toBe("timeout");
  expect(result.exitCode).toBeUndefined();
});

test("A task that ends before its endBy succeeds (TR_vine_python, time_end)", async () => {
  const result = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    return await manager.submit({ command: "sleep 0.05", endBy: new Date(Date.now() + 60_000) });
  });
  expect(result).toMatchObject({ outcome: "success", exitCode: 0 });
});

// TaskVine: "max end time" with exit code 9.
test('A task beyond its endBy ends as "expired" (TR_vine_python, time_end)', async () => {
  const outcomes = await runWorkflow(async ({ Manager, ONE_WORKER, until }) => {
    await using manager = await Manager.start({ workers: ONE_WORKER });
    const endBy = new Date(Date.now() + 500);
    const running = manager.submit({ command: "sleep 600", endBy });
    // On a machine that is busy it may be over before.
    await until(() => ["running", "done"].includes(running.state), "it runs");
    const waiting = manager.submit({ command: "true", endBy });
    return [(await running).outcome, (await waiting).outcome];
  });
  expect(outcomes).toEqual(["expired", "expired"]);
});

test(
  'Tasks cancelled all at once come back "cancelled", each once (TR_vine_python_cancel)',
  async () => {
    const { cancelledCount, results, isEmpty } = await runWorkflow(
      async ({ Manager, ONE_WORKER, until }) => {
        await using manager = await Manager.start({ workers: ONE_WORKER });
        for (let count = 0; count < 10; count++) {
          manager.submit({ command: "sleep 600" });
        }
        await until(() => manager.status().tasks.triesStarted > 0, "one of them runs");
        const cancelledCount = manager.cancel({ all: true });
        const results = [];
        for await (const { id, outcome } of manager.completed()) results.push({ id, outcome });
        return { cancelledCount, results, isEmpty: manager.isEmpty() };
      },
    );
    expect(cancelledCount).toBe(10);
    expect(results.map(({ outcome }) => outcome)).toEqual(new Array(10).fill("cancelled"));
    expect(new Set(results.map(({ id }) => id)).size).toBe(10);
    expect(isEmpty).toBe(true);
  },
);

test(
  "Manager.wait() gives tasks of a tag in the order in which tags are asked for (TR_vine_python_tag)",
  async () => {
    const tags = await runWorkflow(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      for (const tag of ["1", "2", "3"]) manager.submit({ command: "true", tag });
      const tags: (string | undefined)[] = [];
      for (const tag of ["3", "1", "2"]) tags.push((await manager.wait({ tag }))?.tag);
      return tags;
    });
    expect(tags).toEqual(["3", "1", "2"]);
  },
);
