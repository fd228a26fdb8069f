import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";

import { Manager, type TaskHandle, type TaskResult } from "../../mod.ts";
import { processesOf, Scratch, until } from "./scratch.ts";

test("TaskResult names the signal, the status and the output that was missed", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: 1 });
  const results = await Promise.all([
    manager.submit({ command: "kill -SEGV $$" }),
    manager.submit({ command: "sh -c 'kill -KILL $$'; kill -TERM $$" }),
    manager.submit({ command: "/nowhere/none" }),
    manager.submit({ command: "touch a", outputs: { a: manager.temp(), "b/c": manager.buffer() } }),
    manager.submit({ command: "sleep 600", timeout: "100ms" }),
    manager.submit({ command: "exit 7", retries: 2 }),
  ]);
  expect(results.map(({ outcome, exitCode, signal, mount, try: last }) => {
    return { outcome, exitCode, signal, mount, try: last };
  })).toMatchObject([
    { outcome: "signal", signal: "SIGSEGV" },
    { outcome: "signal", signal: "SIGTERM" },
    { outcome: "exit", exitCode: 127 },
    { outcome: "output_missing", exitCode: 0, mount: "b/c" },
    { outcome: "timeout" },
    { outcome: "exit", exitCode: 7, try: 3 },
  ]);
  expect(results[2].stderr).toContain("/nowhere/none");
}, 120_000);

test(
  "A task's environment variable may be large; one that is too large fails that task",
  async () => {
    await using _scratch = await Scratch.open();
    await using manager = await Manager.start({ workers: 1 });
    const large = manager.submit({
      command: 'printf %s "$LARGE" | wc -c',
      env: { LARGE: "x".repeat(100_000) },
    });
    const limit = manager.submit({ command: "true", env: { LARGE: "x".repeat(200_000) } });
    const huge = (): TaskHandle<TaskResult> =>
      manager.submit({ command: "true", env: { LARGE: "x".repeat(3_000_000) } });
    expect(huge).toThrow(/Cannot .*3000000|3,000,000|1048576/);
    const other = manager.submit({ command: "echo fine" });
    expect((await large).stdout.trim()).toBe("100000");
    expect((await other).stdout).toBe("fine\n");
    // Linux takes 128 KiB in one string: execve(2).
    const { outcome, message } = await limit;
    expect([outcome, message]).toEqual(["start_failed", expect.stringContaining("LARGE")]);
  },
  120_000,
);

test("stdout and stderr are kept apart, and of a long one the end is kept", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: 1 });
  const [both, long] = await Promise.all([
    manager.submit({ command: "echo one; echo two >&2; echo three; exit 1" }),
    manager.submit({
      command: "head -c 1000000 /dev/zero | tr '\\0' a; echo the end; echo error >&2",
    }),
  ]);
  expect([both.stdout, both.stderr]).toEqual(["one\nthree\n", "two\n"]);
  expect([long.outcome, long.stderr]).toEqual(["success", "error\n"]);
  expect(long.stdout.endsWith("aaathe end\n")).toBe(true);
  expect(long.stdout.length).toBeLessThanOrEqual(65_536);
  expect(long.stdout.length).toBeGreaterThan(60_000);
}, 120_000);

test("A task that starts a daemon leaves nothing behind, however it ends", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager, { cores: 2 });
  const name = `${worker.mark}-daemon`;
  const started = scratch.path("started");
  // A name of its own, so that it is found when it has cleared its environment.
  const daemon = `setsid -f sh -c 'exec sleep 600' ${name}; ` +
    `(env -i setsid sh -c 'while :; do sleep 600; done' ${name} &); `;
  const results = await Promise.all([
    manager.submit({ command: `${daemon} exit 0` }),
    manager.submit({ command: `${daemon} kill -9 $$` }),
    manager.submit({ command: `${daemon} sleep 600`, timeout: "200ms" }),
  ]);
  expect(results.map(({ outcome }) => outcome)).toEqual(["success", "signal", "timeout"]);
  const isDaemon = (line: string) => line.includes("sleep 600");
  expect(processesOf(worker.mark).filter(isDaemon)).toEqual([]);
  const cancelled = manager.submit({ command: `${daemon} touch ${started}; sleep 600` });
  await until(() => existsSync(started), "the task runs");
  cancelled.cancel();
  expect((await cancelled).outcome).toBe("cancelled");
  await until(() => !processesOf(worker.mark).some(isDaemon), "the daemons are gone");
}, 120_000);

test("TaskHandle.cancel ends a task in each of its states, its process group with it", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { dispatchAhead: 2 } });
  const temp = manager.temp();
  const gate = scratch.path("gate");
  const ready = manager.submit({ command: "true" });
  ready.cancel();
  expect((await ready).outcome).toBe("cancelled");

  const worker = await scratch.worker(manager);
  const started = scratch.path("started");
  const running = manager.submit({
    command: `trap '' TERM; sleep 600 & touch ${started}; sleep 600`,
    outputs: { never: temp },
  });
  const ahead = manager.submit({ command: "true" });
  const waiting = manager.submit({ command: "true", inputs: { never: temp } });
  await until(() => existsSync(started), "the task runs");
  expect(waiting.state).toBe("waiting");
  for (const task of [waiting, ahead]) {
    task.cancel();
    expect((await task).outcome).toBe("cancelled");
  }
  running.cancel();
  running.cancel();
  expect((await running).outcome).toBe("cancelled");
  await until(
    () => !processesOf(worker.mark).some((line) => line.includes("sleep 600")),
    "the processes are gone",
  );
  // An input that does not come keeps it in staging.
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 60,
    fetch: ({ method }) => {
      const isAsked = method === "HEAD";
      return isAsked ? new Response(null, { headers: { etag: '"1"' } }) : new Promise(() => {});
    },
  });
  const staging = manager.submit({
    command: "true",
    inputs: { slow: manager.url(`http://127.0.0.1:${server.port}/slow`) },
  });
  await until(() => manager.status().transfers === 1, "the transfer began");
  staging.cancel();
  expect((await staging).outcome).toBe("cancelled");
  const done = manager.submit({ command: `test ! -e ${gate}` });
  expect((await done).outcome).toBe("success");
  done.cancel();
  expect((await done).outcome).toBe("success");
}, 120_000);

test("A task that kills its workers is lost as often as it says, no oftener", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { reconnectGrace: "100ms" } });
  const log = scratch.path("runs");
  const workers = await Promise.all([0, 1, 2].map(() => scratch.worker(manager)));
  const deadly = manager.submit({
    command: `echo run >> ${log}; kill -9 $PPID; sleep 600`,
    workerLosses: 1,
  });
  const result = await deadly;
  expect([result.outcome, result.try]).toEqual(["worker_lost", 2]);
  expect(readFileSync(log, "utf8")).toBe("run\nrun\n");
  expect((await manager.submit({ command: "echo alive" })).stdout).toBe("alive\n");
  await until(
    () => workers.filter(({ child }) => child.signalCode === null).length === 1,
    "one is left",
  );
  expect(process.exitCode ?? 0).toBe(0);
}, 120_000);
