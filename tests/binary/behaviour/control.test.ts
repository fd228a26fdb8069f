/** What no test of TaskVine covers, of what tasks are asked for: retries, outputs, watching. */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

test("A task is tried again as often as its retries say, and no oftener (retries)", async () => {
  const report = await runWorkflow(async ({ Manager }) => {
    const { readFileSync } = await import("node:fs");
    // A try that is taken back from a worker before it starts would have a number as well.
    await using manager = await Manager.start({
      workers: { count: 2, cores: 1 },
      policies: { dispatchAhead: 1, dispatchAheadTime: 0 },
    });
    const log = (name: string) => `${process.cwd()}/${name}`;
    const submit = (name: string, retries: number) =>
      manager.submit({
        command: `echo $TENDRIL_TRY >> ${log(name)}; test $(wc -l < ${log(name)}) -ge 3`,
        retries,
      });
    const results = await Promise.all([submit("enough", 4), submit("few", 1), submit("none", 0)]);
    return {
      ends: results.map(({ outcome, try: last }) => `${outcome} ${last}`),
      tries: ["enough", "few", "none"].map((name) =>
        readFileSync(name, "utf8").split("\n").length - 1
      ),
    };
  });
  expect(report).toEqual({ ends: ["success 3", "exit 2", "exit 1"], tries: [3, 2, 1] });
});

test("Losing a worker does not use up retries (retries)", async () => {
  const result = await runWorkflow(async ({ Manager, startWorker, until }) => {
    const { existsSync } = await import("node:fs");
    await using manager = await Manager.start({ policies: { reconnectGrace: "100ms" } });
    const first = await startWorker(manager);
    const started = `${process.cwd()}/started`;
    const command =
      `test $TENDRIL_TRY -gt 1 && exit $((3 - $TENDRIL_TRY)); touch ${started}; sleep 600`;
    const task = manager.submit({ command, retries: 1 });
    await until(() => existsSync("started"), "it runs");
    first.kill("SIGKILL");
    await startWorker(manager);
    // The second try fails by itself, and the third succeeds.
    const { outcome, try: last } = await task;
    return { outcome, last };
  });
  expect(result).toEqual({ outcome: "success", last: 3 });
});

for (const code of [0, 3]) {
  test(`Outputs come back of a ${code === 0 ? "success" : "failure"} only (success/failure only)`, async () => {
    const report = await runWorkflow(async ({ Manager }) => {
      const { existsSync, readFileSync } = await import("node:fs");
      await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
      const { outcome } = await manager.submit({
        command: `echo why > log; echo result > result; exit ${process.argv[2]}`,
        outputs: {
          log: { file: manager.file("back/log"), only: "failure" },
          result: { file: manager.file("back/result"), only: "success" },
        },
      });
      const contents = (name: string) =>
        existsSync(`back/${name}`) ? readFileSync(`back/${name}`, "utf8") : "none";
      return { outcome, log: contents("log"), result: contents("result") };
    }, { scriptArgs: [String(code)] });
    expect(report).toEqual(
      code === 0
        ? { outcome: "success", log: "none", result: "result\n" }
        : { outcome: "exit", log: "why\n", result: "none" },
    );
  });
}

test("What a growing output gains is here while the task runs (watch)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker, until }) => {
    const { existsSync, readFileSync, writeFileSync } = await import("node:fs");
    await using manager = await Manager.start();
    for (let count = 0; count < 2; count++) await startWorker(manager);
    const gate = `${process.cwd()}/gate`;
    const tasks = ["a", "b"].map((name) =>
      manager.submit({
        command:
          `echo ${name} one >> log; until test -e ${gate}; do sleep 0.01; done; echo two >> log`,
        outputs: { log: { file: manager.file(name), watch: true } },
      })
    );
    const contents = (name: string) => existsSync(name) ? readFileSync(name, "utf8") : "";
    await until(() => contents("a") === "a one\n" && contents("b") === "b one\n", "both are seen");
    const states = tasks.map(({ state }) => state);
    writeFileSync(gate, "");
    const outcomes = (await Promise.all(tasks)).map(({ outcome }) => outcome);
    return { states, outcomes, ends: ["a", "b"].map(contents) };
  });
  expect(report).toEqual({
    states: ["running", "running"],
    outcomes: ["success", "success"],
    ends: ["a one\ntwo\n", "b one\ntwo\n"],
  });
});

test("A category has no more tasks at workers than it may (categories max_concurrent)", async () => {
  const { most, outcomes, others } = await runWorkflow(async ({ Manager }) => {
    const { mkdirSync } = await import("node:fs");
    await using manager = await Manager.start({ workers: { count: 2, cores: 2 } });
    manager.category("few", { maxConcurrent: 2 });
    mkdirSync("at");
    const at = `${process.cwd()}/at`;
    const command = `touch ${at}/$TENDRIL_TASK_ID; ls ${at} | wc -l; sleep 0.05; ` +
      `rm ${at}/$TENDRIL_TASK_ID`;
    const tasks = Array.from({ length: 8 }, () => manager.submit({ command, category: "few" }));
    // Others go past them.
    const other = Array.from({ length: 4 }, () => manager.submit({ command: "true" }));
    const results = await Promise.all(tasks);
    return {
      most: Math.max(...results.map(({ stdout }) => Number(stdout))),
      outcomes: results.map(({ outcome }) => outcome),
      others: (await Promise.all(other)).map(({ outcome }) => outcome),
    };
  });
  expect(most).toBeLessThanOrEqual(2);
  expect(outcomes).toEqual(new Array(8).fill("success"));
  expect(others).toEqual(new Array(4).fill("success"));
});

test("A handler says what a failure costs, and so how often it is tried (retries)", async () => {
  const report = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
    const costs: string[] = [];
    const task = manager.submit({
      command: "test $TENDRIL_TRY = 4 && exit 1; exit 75",
      retries: 1,
      // What the machine is to blame for costs nothing.
      retry: ({ exitCode, try: last }) => {
        costs.push(`${last}: ${exitCode}`);
        return exitCode === 75 ? 0 : 2;
      },
    });
    const { outcome, exitCode, try: last } = await task;
    return { outcome, exitCode, last, costs };
  });
  expect(report).toEqual({
    outcome: "exit",
    exitCode: 1,
    last: 4,
    costs: ["1: 75", "2: 75", "3: 75", "4: 1"],
  });
});

test("A task is given up once it was forsaken more often than it may (max_forsaken)", async () => {
  const report = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({
      workers: { count: 2, cores: 1 },
      policies: { dispatchAhead: 1, dispatchAheadTime: 0 },
    });
    // Variables of which one is too large for a process: no worker can start it.
    const env = { LARGE: "x".repeat(200_000) };
    const submit = (maxForsaken: number) => manager.submit({ command: "true", env, maxForsaken });
    const results = await Promise.all([submit(0), submit(3)]);
    const other = await manager.submit({ command: "echo fine" });
    return {
      ends: results.map(({ outcome, try: last }) => `${outcome} ${last}`),
      other: other.stdout,
    };
  });
  expect(report).toEqual({ ends: ["start_failed 1", "start_failed 4"], other: "fine\n" });
});

test("Tasks of a category are cancelled, and no others (TR_vine_python_cancel)", async () => {
  const report = await runWorkflow(async ({ Manager, until }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
    const [doomed, spared] = ["doomed", "spared"].map((category) =>
      Array.from({ length: 3 }, () => manager.submit({ command: "sleep 600", category }))
    );
    await until(() => manager.status().tasks.triesStarted === 2, "both workers run one");
    const counts = [manager.cancel({ category: "doomed" })];
    const ends = (await Promise.all(doomed ?? [])).map(({ outcome }) => outcome);
    const isLeft = (spared ?? []).every(({ state }) => state !== "done");
    counts.push(manager.cancel({ all: true }));
    ends.push(...(await Promise.all(spared ?? [])).map(({ outcome }) => outcome));
    return { counts, isLeft, ends };
  });
  expect(report).toEqual({ counts: [3, 3], isLeft: true, ends: new Array(6).fill("cancelled") });
});
