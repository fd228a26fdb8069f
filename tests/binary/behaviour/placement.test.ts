/** What no test of TaskVine covers, of where tasks run: strict inputs, slow workers, task groups. */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

test("A task with a strict input waits for the worker that has it (strict_input)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker, until }) => {
    const { writeFileSync } = await import("node:fs");
    await using manager = await Manager.start({ policies: { dispatchAhead: 1 } });
    await startWorker(manager);
    const temp = manager.temp();
    const made = await manager.submit({ command: "echo here > t", outputs: { t: temp } });
    const gate = `${process.cwd()}/gate`;
    const busy = manager.submit({ command: `until test -e ${gate}; do sleep 0.01; done` });
    await until(() => busy.state === "running", "the holder is busy");
    await startWorker(manager);
    const strict = manager.submit({
      command: "cat t",
      inputs: { t: { file: temp, strict: true } },
    });
    // The other worker has room, and is given what comes later.
    const other = await manager.submit({ command: "true" });
    const { state } = strict;
    writeFileSync(gate, "");
    const result = await strict;
    return {
      isOther: other.workerId !== made.workerId,
      state,
      stdout: result.stdout,
      isHolder: result.workerId === made.workerId,
    };
  });
  expect(report.state).not.toBe("done");
  expect(report).toMatchObject({ isOther: true, stdout: "here\n", isHolder: true });
});

// TaskVine: "fixed location missing".
test("A task whose strict input no worker has ends, and says so (strict_input)", async () => {
  const result = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
    const data = { file: manager.buffer("x".repeat(100_000)), strict: true };
    return await manager.submit({ command: "cat data", inputs: { data } });
  });
  expect(result.outcome).toBe("unsatisfiable");
  expect(result.message).toContain('strict input "data"');
});

test("What a slow worker is not done with runs at another one (slow-worker disconnect)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker }) => {
    await using manager = await Manager.start({ policies: { slowWorkerFactor: 3 } });
    for (let count = 0; count < 2; count++) await startWorker(manager);
    // The first try of one of them is slow, which the task is not to blame for.
    const command = "test $KIND = slow && test $TENDRIL_TRY = 1 && sleep 600; echo done";
    const submit = (kind: string) =>
      manager.submit({ command: `KIND=${kind}; ${command}`, workerLosses: 0, retries: 0 });
    const quick = await Promise.all(Array.from({ length: 12 }, () => submit("quick")));
    const slow = await submit("slow");
    return {
      quick: quick.map(({ outcome }) => outcome),
      slow: [slow.outcome, slow.try, slow.stdout],
    };
  });
  expect(report.quick).toEqual(new Array(12).fill("success"));
  expect(report.slow).toEqual(["success", 2, "done\n"]);
});

test("A chain of tasks that temps join runs at one worker (task groups)", async () => {
  const report = await runWorkflow(async ({ Manager }) => {
    const CHAINS = 4;
    await using manager = await Manager.start({
      workers: { count: 2, cores: 2 },
      policies: { taskGroups: true, placement: "random", waitForWorkers: 2 },
    });
    const chains = Array.from({ length: CHAINS }, async () => {
      const [first, second, third] = [manager.temp(), manager.temp(), manager.temp()];
      const make = "head -c 200000 /dev/zero > out";
      const copy = "cat in > out";
      const results = await Promise.all([
        manager.submit({ command: make, outputs: { out: first } }),
        manager.submit({ command: copy, inputs: { in: first }, outputs: { out: second } }),
        manager.submit({ command: copy, inputs: { in: second }, outputs: { out: third } }),
        manager.submit({ command: "wc -c < in", inputs: { in: third } }),
      ]);
      return {
        count: Number(results[3].stdout),
        workers: new Set(results.map(({ workerId }) => workerId)).size,
      };
    });
    return { chains: await Promise.all(chains), bytes: manager.status().bytes.workerToWorker };
  });
  expect(report).toEqual({ chains: new Array(4).fill({ count: 200_000, workers: 1 }), bytes: 0 });
});
