/**
 * Defects that TaskVine has and Tendril must not have: section 7.2 of its description. Those that
 * are shown not to be here by other tests:
 *
 * | defect | test |
 * |---|---|
 * | A2 a task that writes its input spoils it for later ones | integration/inputs |
 * | A4 a task kills its workers for ever | integration/outcome, loss |
 * | A7 the limit of transfers from a url is not kept | manager/core/transfer `transfersPerUrl` |
 * | A8 the disk is not looked at before inputs are brought | worker/core/disk, integration/disk_limit |
 * | A15 a worker that was killed leaves a process that serves its cache | integration/loss |
 * | A16 original and recovery task race, a worker that cannot serve peers | integration/making, relay |
 * | A18 level "worker" is deleted with the connection | integration/next_manager |
 *
 * Without a counterpart: A1 (a cache of results comes with a later issue), A10 and A17 (of Python and C), A14
 * (documents).
 */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

test("A long variable and a long name harm nobody, and the manager goes on (A3)", async () => {
  const report = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: 1 });
    const long = manager.submit({ command: "printf %s $V | wc -c", env: { V: "x".repeat(5000) } });
    const refusalOf = (options: object): string => {
      try {
        manager.submit({ command: "true", ...options });
        return "";
      } catch (error) {
        return String(error);
      }
    };
    const refused = [
      refusalOf({ outputs: { ["x".repeat(5000)]: manager.temp() } }),
      refusalOf({ tag: "t".repeat(5000) }),
    ];
    const tagged = manager.submit({ command: "echo fine", tag: "t".repeat(256) });
    return { length: (await long).stdout.trim(), refused, other: (await tagged).stdout };
  });
  expect(report).toMatchObject({ length: "5000", other: "fine\n" });
  expect(report.refused[0]).toContain("Cannot take output");
  expect(report.refused[1]).toContain("Cannot take tag");
});

test("Death by a signal is told from an exit with that number (A5)", async () => {
  const ends = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ workers: 1 });
    const results = await Promise.all([
      manager.submit({ command: "kill -SEGV $$" }),
      manager.submit({ command: "exit 11" }),
      manager.submit({ command: "kill -KILL $$" }),
      manager.submit({ command: "exit 9" }),
    ]);
    return results.map(({ outcome, exitCode, signal }) => `${outcome} ${signal ?? exitCode}`);
  });
  expect(ends).toEqual(["signal SIGSEGV", "exit 11", "signal SIGKILL", "exit 9"]);
});

test("A sandbox that outgrows its first disk has more, up to the most of its category (A6)", async () => {
  const [grown, beyond] = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({
      workers: { cores: 2, memory: "1GB", disk: "1GB" },
    });
    const limits = { mode: "max", first: { disk: "10MB" }, max: { disk: "100MB" } } as const;
    manager.category("growing", limits);
    // Tries that have too little end by being stopped alone.
    const submit = (bytes: number, end: string) =>
      manager.submit({ command: `head -c ${bytes} /dev/zero > data; ${end}`, category: "growing" });
    return await Promise.all([
      submit(30_000_000, "test $TENDRIL_TRY -ge 2 || sleep 600"),
      submit(130_000_000, "sleep 600"),
    ]);
  });
  expect(grown?.outcome).toBe("success");
  expect(grown?.allocated?.diskBytes).toBeGreaterThan(10_000_000);
  expect(grown?.allocated?.diskBytes).toBeLessThanOrEqual(100_000_000);
  expect(beyond?.outcome).toBe("resources_exhausted");
  // It is given up for what it used, which no try may have: on a busy machine a try with less than
  // the most has written that before it is stopped.
  expect(beyond?.allocated?.diskBytes).toBeLessThanOrEqual(100_000_000);
  expect(beyond?.used?.diskBytes).toBeGreaterThan(100_000_000);
});

test("Every task is counted once, however it ends and however often it runs (A9)", async () => {
  const counts = await runWorkflow(async ({ Manager, until }) => {
    await using manager = await Manager.start({ workers: { count: 2, cores: 2 } });
    const tasks = [
      ...["true", "true", "true"].map((command) => manager.submit({ command })),
      ...["exit 1", "kill -9 $$"].map((command) => manager.submit({ command, retries: 2 })),
      manager.submit({ command: "true", outputs: { none: manager.temp() } }),
    ];
    const cancelled = manager.submit({ command: "sleep 600" });
    await Promise.all(tasks);
    await until(() => cancelled.state === "running", "it runs");
    cancelled.cancel();
    await cancelled;
    const { submitted, succeeded, failed, triesStarted, ...rest } = manager.status().tasks;
    return { submitted, succeeded, failed, cancelled: rest.cancelled, triesStarted };
  });
  expect(counts).toEqual({ submitted: 7, succeeded: 3, failed: 3, cancelled: 1, triesStarted: 11 });
});

test("Only a task that fits no worker is said to fit none, however idle they are (A8)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker, until }) => {
    await using manager = await Manager.start({ policies: { dispatchAhead: 1 } });
    for (let count = 0; count < 2; count++) await startWorker(manager);
    const idle = manager.status().unplaceable;
    const held = ["a", "b"].map(() => manager.submit({ command: "sleep 600" }));
    await until(() => held.every(({ state }) => state === "running"), "both workers are in use");
    manager.submit({ command: "true", cores: 1 });
    manager.submit({ command: "true", cores: 2, category: "large" });
    await until(() => manager.status().unplaceable.length > 0, "the large one is found");
    return { idle, unplaceable: manager.status().unplaceable };
  });
  expect(report.idle).toEqual([]);
  expect(report.unplaceable).toMatchObject([{ category: "large", taskCount: 1 }]);
  expect(JSON.stringify(report.unplaceable)).toContain("cores");
});

test("The mode of what comes from a url is that of the file that a task runs (A11)", async () => {
  const report = await runWorkflow(async ({ Manager, startServer }) => {
    const { statSync } = await import("node:fs");
    await using server = await startServer("#!/bin/sh\necho ran\n");
    await using manager = await Manager.start({ workers: 1 });
    const result = await manager.submit({
      command: "./program; cp program copy",
      inputs: { program: manager.url(server.url, { mode: 0o755 }) },
      outputs: { copy: manager.file("copy", { mode: 0o740 }) },
    });
    return { stdout: result.stdout, mode: (statSync("copy").mode & 0o777).toString(8) };
  });
  expect(report).toEqual({ stdout: "ran\n", mode: "740" });
});

const LOOPING = `import { writeFileSync } from "node:fs";
export function spin(path: string): never {
  writeFileSync(path, String(process.pid));
  while (true);
}
export const quick = (): string => "quick";`;

for (const how of ["cancelled", "timeout"] as const) {
  test(`A call that ends as ${how} is stopped, and its slot is free (A12)`, async () => {
    const report = await runWorkflow(async ({ Manager, until }) => {
      const { existsSync, readFileSync } = await import("node:fs");
      const isCancelled = process.argv[2] === "cancelled";
      await using manager = await Manager.start({ workers: { cores: 1 } });
      const library = manager.library({ name: "looping", module: "./looping.ts" });
      const limited = isCancelled ? library : library.with({ timeout: "2s" });
      const spinning = limited.call("spin", `${process.cwd()}/pid`);
      await until(() => existsSync("pid") && readFileSync("pid", "utf8") !== "", "it spins");
      const pid = readFileSync("pid", "utf8");
      if (isCancelled) spinning.cancel();
      const { outcome } = await spinning;
      const value = await library.call<string>("quick").value();
      await until(() => !existsSync(`/proc/${pid}`), "its process is gone");
      return { outcome, value };
    }, { scriptArgs: [how], files: { "looping.ts": LOOPING } });
    expect(report).toEqual({ outcome: how, value: "quick" });
  });
}
