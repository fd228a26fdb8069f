/**
 * TaskVine's behaviour: files of every kind, there and back. TR_vine_python_ssl runs the same list
 * over TLS, and so does this file: the manager then listens on all addresses.
 */

import { expect, test } from "bun:test";

import { runWorkflow, type Stage } from "./workflow.ts";

for (
  const [transport, ...args] of [
    ["TR_vine_python"],
    ["TR_vine_python_ssl", "--listen", ":0"],
  ] as const
) {
  const run = <T>(script: (stage: Stage) => Promise<T>): Promise<T> =>
    runWorkflow(script, { args });

  test(`A manager is at the address that its connections need (${transport})`, async () => {
    const address = await run(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      await manager.submit({ command: "true" });
      return manager.address;
    });
    expect(address).toStartWith(args.length === 0 ? "http://127.0.0.1:" : "https://");
  });

  test(`A task reads a file and writes a file (${transport})`, async () => {
    const output = await run(async ({ Manager, ONE_WORKER }) => {
      const { readFileSync, writeFileSync } = await import("node:fs");
      // Too long for a message.
      writeFileSync("input.txt", "howdy\n".repeat(20_000));
      await using manager = await Manager.start({ workers: ONE_WORKER });
      await manager.submit({
        command: "cat input > output",
        inputs: { input: manager.file("input.txt") },
        outputs: { output: manager.file("output.txt") },
      });
      return readFileSync("output.txt", "utf8");
    });
    expect(output).toBe("howdy\n".repeat(20_000));
  });

  test(`A task reads a directory (${transport})`, async () => {
    const stdout = await run(async ({ Manager, ONE_WORKER }) => {
      const { mkdirSync, writeFileSync } = await import("node:fs");
      mkdirSync("data/sub", { recursive: true });
      writeFileSync("data/sub/a", "in a directory\n");
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const result = await manager.submit({
        command: "cat inputs/data/sub/a",
        inputs: { "inputs/data": manager.file("data") },
      });
      return result.stdout;
    });
    expect(stdout).toBe("in a directory\n");
  });

  test(`A task reads a directory that is mounted as a link (${transport})`, async () => {
    const stdout = await run(async ({ Manager, ONE_WORKER }) => {
      const { mkdirSync, writeFileSync } = await import("node:fs");
      mkdirSync("data/sub", { recursive: true });
      writeFileSync("data/sub/a", "in a directory\n");
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const result = await manager.submit({
        command: "test -h data && cat data/sub/a",
        inputs: { data: { file: manager.file("data"), symlink: true } },
      });
      return result.stdout;
    });
    expect(stdout).toBe("in a directory\n");
  });

  test(`A task writes a file into a mounted directory of its outputs (${transport})`, async () => {
    const output = await run(async ({ Manager, ONE_WORKER }) => {
      const { readFileSync } = await import("node:fs");
      await using manager = await Manager.start({ workers: ONE_WORKER });
      await manager.submit({
        command: "echo howdy > outputs/deep/1",
        inputs: { "outputs/given": manager.buffer("") },
        outputs: { "outputs/deep/1": manager.file("back/output.txt") },
      });
      return readFileSync("back/output.txt", "utf8");
    });
    expect(output).toBe("howdy\n");
  });

  test(`A task writes a directory (${transport})`, async () => {
    const names = await run(async ({ Manager, ONE_WORKER }) => {
      const { readdirSync } = await import("node:fs");
      await using manager = await Manager.start({ workers: ONE_WORKER });
      await manager.submit({
        command: "mkdir -p tree/sub; touch tree/a tree/sub/b",
        outputs: { tree: manager.file("tree") },
      });
      return readdirSync("tree", { recursive: true }).sort();
    });
    expect(names).toEqual(["a", "sub", "sub/b"]);
  });

  test(`A buffer goes in, and comes back in two buffers (${transport})`, async () => {
    const texts = await run(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const [one, two] = [manager.buffer(), manager.buffer()];
      await manager.submit({
        command: "tee one two < given > /dev/null",
        inputs: { given: manager.buffer("This is only a test!") },
        outputs: { one, two },
      });
      return [await one.text(), await two.text()];
    });
    expect(texts).toEqual(["This is only a test!", "This is only a test!"]);
  });

  // TaskVine: "input missing" with exit code -1. Here what never ran has no exit code.
  test(`A task whose input is not there ends as "input_missing" (${transport})`, async () => {
    const result = await run(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      return await manager.submit({
        command: "cat input",
        inputs: { input: manager.file("/nowhere/none") },
      });
    });
    expect(result).toMatchObject({ outcome: "input_missing", try: 0 });
    expect(result.message).toContain("/nowhere/none");
    expect(result.exitCode).toBeUndefined();
  });

  test(`A task that leaves no output ends as "output_missing", with 0 (${transport})`, async () => {
    const result = await run(async ({ Manager, ONE_WORKER }) => {
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const outputs = { output: manager.file("output.txt") };
      return await manager.submit({ command: "true", outputs });
    });
    expect(result).toMatchObject({ outcome: "output_missing", exitCode: 0, mount: "output" });
  });

  test(`unpack() makes a directory of an archive at a file url (${transport})`, async () => {
    const stdout = await run(async ({ Manager, ONE_WORKER }) => {
      const { execFileSync } = await import("node:child_process");
      const { mkdirSync, writeFileSync } = await import("node:fs");
      mkdirSync("data");
      writeFileSync("data/a", "from an archive\n");
      execFileSync("tar", ["-czf", "data.tar.gz", "data"]);
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const archive = manager.url(`file://${process.cwd()}/data.tar.gz`, { cache: "worker" });
      const result = await manager.submit({
        command: "cat unpacked/data/a",
        inputs: { unpacked: manager.unpack(archive) },
      });
      return result.stdout;
    });
    expect(stdout).toBe("from an archive\n");
  });

  // TaskVine gives what a mini task makes its `mode`, 0600. Here a cached file is for reading only.
  test(`miniTask() fetches a file by curl once, for two tasks to read (${transport})`, async () => {
    const { results, heard } = await run(async ({ Manager, ONE_WORKER, startServer }) => {
      await using server = await startServer("fetched\n");
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const command = `curl -sSL -o output ${server.url}`;
      const fetched = manager.miniTask({ command }, "output", { mode: 0o600 });
      const results: string[] = [];
      for (let count = 0; count < 2; count++) {
        const task = { command: "cat data; test ! -x data", inputs: { data: fetched } };
        const { outcome, stdout } = await manager.submit(task);
        results.push(`${outcome}: ${stdout}`);
      }
      return { results, heard: server.heard };
    });
    expect(results).toEqual(["success: fetched\n", "success: fetched\n"]);
    expect(heard).toEqual(["GET /data"]);
  });

  test(`A url is fetched once, for five tasks to read (${transport})`, async () => {
    const { results, heard } = await run(async ({ Manager, ONE_WORKER, startServer }) => {
      await using server = await startServer("fetched\n");
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const data = manager.url(server.url, { cache: "worker" });
      const results: string[] = [];
      for (let count = 0; count < 5; count++) {
        results.push((await manager.submit({ command: "cat data", inputs: { data } })).stdout);
      }
      return { results, heard: server.heard };
    });
    expect(results).toEqual(new Array(5).fill("fetched\n"));
    expect(heard.filter((line) => line === "GET /data")).toEqual(["GET /data"]);
  });

  // TaskVine: "forsaken" with exit code -1 after `max_forsaken` tries; here the reason is said.
  test(`A task of a url that nobody serves ends as "transfer_failed" (${transport})`, async () => {
    const result = await run(async ({ Manager, ONE_WORKER, startServer }) => {
      await using server = await startServer(undefined);
      await using manager = await Manager.start({ workers: ONE_WORKER });
      return await manager.submit({
        command: "cat data",
        inputs: { data: manager.url(server.url) },
      });
    });
    expect(result.outcome).toBe("transfer_failed");
    expect(result.message).toContain("404");
  });

  test(`A temp is made and fetched: "howdy" (${transport})`, async () => {
    const { outcome, text } = await run(async ({ Manager, ONE_WORKER }) => {
      const { readFileSync } = await import("node:fs");
      await using manager = await Manager.start({ workers: ONE_WORKER });
      const temp = manager.temp();
      const { outcome } = await manager.submit({
        command: "echo howdy > output",
        outputs: { output: temp },
      });
      return { outcome, text: readFileSync(await manager.fetch(temp), "utf8") };
    });
    expect([outcome, text]).toEqual(["success", "howdy\n"]);
  });
}

// TaskVine waits for the last object of a task that used it; here, for the tasks that are pending.
test(
  "A file with unlinkWhenDone goes when it is undeclared and no task needs it " +
    "(TR_vine_python_unlink_when_done)",
  async () => {
    const report = await runWorkflow(async ({ Manager, until }) => {
      const { existsSync, mkdirSync, writeFileSync } = await import("node:fs");
      for (const name of ["unused", "used", "kept"]) writeFileSync(name, "x".repeat(100_000));
      mkdirSync("left");
      writeFileSync("left/a", "");
      const manager = await Manager.start({ workers: { cores: 2 } });
      const declare = (name: string) => manager.file(name, { unlinkWhenDone: true });
      await manager.undeclare(declare("unused"));
      const [used, output, left] = [declare("used"), declare("output"), declare("left")];
      const kept = manager.file("kept");
      const gate = `${process.cwd()}/gate`;
      const command = `until test -e ${gate}; do sleep 0.01; done; cat used > output`;
      const task = manager.submit({ command, inputs: { used, kept }, outputs: { output } });
      await until(() => task.state === "running", "it runs");
      for (const file of [used, kept, output]) await manager.undeclare(file);
      // The manager has heard of it: another task has been through it since.
      await manager.submit({ command: "true" });
      const undeclared = existsSync("used");
      writeFileSync(gate, "");
      const { outcome } = await task;
      await until(() => !existsSync("used") && !existsSync("output"), "they are removed");
      const ended = ["unused", "kept", "left/a"].map((name) => existsSync(name));
      await manager.submit({ command: "ls left", inputs: { left } });
      await manager.close();
      return {
        undeclared,
        outcome,
        ended,
        closed: ["kept", "left"].map((name) => existsSync(name)),
      };
    });
    expect(report).toEqual({
      undeclared: true,
      outcome: "success",
      ended: [false, true, true],
      closed: [true, false],
    });
  },
);
