/** Files that commands make at the workers which need them. */

import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

import { Manager } from "../../mod.ts";
import { processesOf, Scratch, until } from "./scratch.ts";

/** A command that notes each of its runs in `log`. */
function noted(log: string, command: string): string {
  return `echo run >> ${log}; ${command}`;
}

function runCount(log: string): number {
  return existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").length : 0;
}

test("miniTask() makes a file of inputs of every kind, once at each worker", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  for (let count = 0; count < 2; count++) await scratch.worker(manager);
  const log = scratch.path("log");
  const path = scratch.path("local");
  writeFileSync(path, "local\n");
  const temp = manager.temp();
  manager.submit({ command: "echo temp > made", outputs: { made: temp } });
  const first = manager.miniTask({
    command: "mkdir -p out/sub && cat in/buffer > out/sub/file && ln -s sub/file out/link",
    inputs: { "in/buffer": manager.buffer("buffer\n") },
  }, "out");
  const second = manager.miniTask({
    command: noted(log, `cat local url temp first/link > all; echo $WORD >> all`),
    inputs: { local: manager.file(path), url: manager.url(`file://${path}`), temp, first },
    env: { WORD: "word" },
  }, "all");
  const tasks = Array.from({ length: 4 }, () => {
    // Both workers have to take some.
    return manager.submit({ command: "sleep 0.3; cat second", inputs: { second } });
  });
  const ends = await Promise.all(tasks);
  expect(ends.map(({ stdout, message }) => stdout + message))
    .toEqual(ends.map(() => "local\nlocal\ntemp\nbuffer\nword\n"));
  expect(runCount(log)).toBe(new Set(ends.map(({ workerId }) => workerId)).size);
  expect(await second.text()).toContain("buffer");
}, 120_000);

test("miniTask() with peerTransfer is made by one worker, and fetched by the others", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  for (let count = 0; count < 3; count++) await scratch.worker(manager);
  await until(() => manager.status().workers.connected === 3, "all workers joined");
  const log = scratch.path("log");
  // Two makings would have different bytes.
  const command = noted(log, "mkdir tree; head -c 300000 /dev/urandom > tree/random; sleep 0.3");
  const tree = manager.miniTask({ command }, "tree", { peerTransfer: true });
  const tasks = Array.from({ length: 3 }, () => {
    return manager.submit({ command: "sleep 1; sha256sum tree/random", inputs: { tree } });
  });
  const ends = await Promise.all(tasks);
  expect(new Set(ends.map(({ workerId }) => workerId)).size).toBe(3);
  expect(new Set(ends.map(({ stdout }) => stdout)).size).toBe(1);
  expect(runCount(log)).toBe(1);
  expect(manager.status().bytes.workerToWorker).toBeGreaterThan(600_000);
}, 120_000);

test(
  "miniTask() that fails says how, and fails what needs it; one that recovers does not",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager, { cores: 2 });
    const log = scratch.path("log");
    const failing = [
      {
        command: "echo no such host >&2; exit 127",
        why: /"data", failed: .*code 127.*no such host/,
      },
      { command: "echo done", why: /"data" was not made; it said: done/ },
      { command: "sleep 60", timeout: 100, why: /its time was up: 100 ms/ },
      {
        command: "head -c 900000000 /dev/zero | tail -c 900000000",
        memory: "100MB",
        why: /its processes had \d+ MB of memory in use, 100 MB were allocated/,
      },
      {
        command: "head -c 90000000 /dev/zero > filler; sleep 60",
        disk: "10MB",
        why: /its sandbox had \S+ MB on the disk, 10 MB were allocated/,
      },
      { command: "kill -9 $$", why: /ended by SIGKILL/ },
      { command: "echo x >> in", inputs: { in: manager.buffer("y") }, why: /was not made/ },
    ];
    const ends = await Promise.all(failing.map(({ why: _, ...task }) => {
      const data = manager.miniTask(task, "data");
      return manager.submit({ command: "cat data", inputs: { data } });
    }));
    for (const [index, { outcome, message }] of ends.entries()) {
      expect(outcome).toBe("transfer_failed");
      expect(message).toMatch(failing[index]!.why);
    }
    // The third time it is there.
    const command = noted(log, `test $(wc -l < ${log}) -ge 3 && echo made > data`);
    const data = manager.miniTask({ command }, "data");
    expect((await manager.submit({ command: "cat data", inputs: { data } })).stdout).toBe("made\n");
    expect(runCount(log)).toBe(3);
  },
  120_000,
);

test(
  "miniTask() that states no disk is stopped when it takes more than there is room for",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager, { args: ["--disk", "40MB"] });
    const data = manager.miniTask({
      command: "head -c 300000000 /dev/zero > filler; sleep 60; touch data",
    }, "data");
    const { outcome, message } = await manager.submit({ command: "true", inputs: { data } });
    expect([outcome, message]).toEqual([
      expect.stringMatching(/^(transfer_failed|disk_full)$/),
      expect.stringMatching(/its sandbox had \S+ MB on the disk, 40 MB were allocated/),
    ]);
    expect((await manager.submit({ command: "echo on" })).stdout).toBe("on\n");
    expect(worker.child.exitCode).toBe(null);
  },
  120_000,
);

test("miniTask() ends with the task that waits for it, and with its worker", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager);
  const stayer = manager.miniTask({ command: "sleep 987; touch data" }, "data");
  const isRunning = () => processesOf(worker.mark).some((line) => line.includes("sleep 987"));
  const task = manager.submit({ command: "true", inputs: { stayer } });
  await until(isRunning, "the command runs");
  task.cancel();
  expect((await task).outcome).toBe("cancelled");
  await until(() => !isRunning(), "the command was ended");
  const next = manager.submit({ command: "true", inputs: { stayer } });
  await until(isRunning, "the command runs again");
  worker.child.kill("SIGKILL");
  await until(() => !isRunning(), "the watcher ended the command");
  next.cancel();
  await next;
}, 120_000);

test(
  "miniTask() makes archives, and what tasks in libraries wait for on a full worker",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager, { cores: 1 });
    mkdirSync(scratch.path("bin"));
    const pack = "mkdir bin; printf '#!/bin/sh\\necho hello' > bin/hello; chmod +x bin/hello; " +
      "tar czf env.tgz bin";
    const archive = manager.miniTask({ command: pack }, "env.tgz");
    const environment = manager.environment(archive);
    const end = await manager.submit({ command: "hello", environment });
    expect([end.stdout, end.message]).toEqual(["hello\n", ""]);
    const listing = manager.miniTask({
      command: "hello > all; ls tree >> all",
      environment,
      inputs: { tree: manager.unpack(archive) },
    }, "all");
    // The only core is the instance's by the time the call is there.
    const path = scratch.path("library.mjs");
    writeFileSync(
      path,
      `import { readFileSync } from "node:fs";
export const nothing = () => 1;
export const read = (path) => readFileSync(path, "utf8");`,
    );
    const library = manager.library({ name: "reader", module: path, cores: 1 });
    await library.call("nothing").value();
    expect(await library.call("read", listing).value()).toBe("hello\nbin\n");
  },
  120_000,
);
