/** What no test of TaskVine covers, of hosts: those that are blocked, and those that are drained. */

import { expect, test } from "bun:test";

import { runWorkflow } from "./workflow.ts";

test("A host that is blocked gets nothing until it is unblocked (blocklist)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker }) => {
    await using manager = await Manager.start();
    for (const host of ["node-a", "node-b"]) {
      await startWorker(manager, { host, args: ["--feature", host] });
    }
    manager.blockHost("node-a");
    const tasks = Array.from({ length: 6 }, () => manager.submit({ command: "true" }));
    const only = manager.submit({ command: "true", features: ["node-a"] });
    const hosts = (await Promise.all(tasks)).map(({ host }) => host);
    const { state } = only;
    manager.unblockHost("node-a");
    return { hosts, state, host: (await only).host };
  });
  expect(report).toEqual({ hosts: new Array(6).fill("node-b"), state: "ready", host: "node-a" });
});

test("A host is blocked for a while only (blocklist)", async () => {
  const host = await runWorkflow(async ({ Manager, startWorker }) => {
    await using manager = await Manager.start();
    await startWorker(manager, { host: "node-a" });
    manager.blockHost("node-a", { for: "200ms" });
    return (await manager.submit({ command: "true" })).host;
  });
  expect(host).toBe("node-a");
});

test("A host that is drained ends what it runs, and its workers leave (draining)", async () => {
  const report = await runWorkflow(async ({ Manager, startWorker, until }) => {
    const { writeFileSync } = await import("node:fs");
    await using manager = await Manager.start();
    const leaving = await startWorker(manager, { host: "node-a" });
    const gate = `${process.cwd()}/gate`;
    const running = manager.submit({ command: `until test -e ${gate}; do sleep 0.01; done` });
    await until(() => running.state === "running", "it runs");
    await startWorker(manager, { host: "node-b" });
    manager.drainHost("node-a");
    const tasks = Array.from({ length: 3 }, () => manager.submit({ command: "true" }));
    const hosts = (await Promise.all(tasks)).map(({ host }) => host);
    writeFileSync(gate, "");
    const { outcome, host, try: last } = await running;
    await until(() => leaving.exitCode !== null, "its worker has left");
    return { hosts, outcome, host, last, left: manager.status().workers.connected };
  });
  expect(report).toEqual({
    hosts: new Array(3).fill("node-b"),
    outcome: "success",
    host: "node-a",
    last: 1,
    left: 1,
  });
});
