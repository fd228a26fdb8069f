import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import { type Fact, Manager } from "../../mod.ts";
import { Scratch, until } from "./scratch.ts";
import { TcpProxy } from "./tcp_proxy.ts";

/** The length of the cut is what these tests are about. */
const CUT_MS = 1_000;

test("A task whose worker's connection is cut for a second runs once", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await using road = await TcpProxy.open(manager.address);
  await scratch.worker(manager, { url: road.url, cores: 2 });
  const [log, gate] = [scratch.path("runs"), scratch.path("gate")];
  const long = manager.submit({
    command: `echo run >> ${log}; while [ ! -e ${gate} ]; do sleep 0.02; done; echo long`,
  });
  // Ends while nobody can be told.
  const short = manager.submit({ command: `sleep 0.5; echo run >> ${log}; echo short` });
  await until(() => existsSync(log), "the task runs");
  road.cut();
  await until(() => manager.status().workers.away === 1, "the connection is gone");
  await delay(CUT_MS);
  road.mend();
  await until(() => manager.status().workers.connected === 1, "the worker is back");
  await writeFile(gate, "");
  const results = await Promise.all([long, short]);
  expect(results.map((result) => [result.outcome, result.stdout, result.try])).toEqual([
    ["success", "long\n", 1],
    ["success", "short\n", 1],
  ]);
  expect(readFileSync(log, "utf8")).toBe("run\nrun\n");
  expect(manager.status().tasks).toMatchObject({ triesStarted: 2, succeeded: 2 });
}, 120_000);

test("A result that comes after the grace is discarded, and the task counts once", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { reconnectGrace: "200ms" } });
  const facts: Fact[] = [];
  manager.subscribe((more) => facts.push(...more));
  await using road = await TcpProxy.open(manager.address);
  await scratch.worker(manager, { url: road.url });
  const [log, gate] = [scratch.path("runs"), scratch.path("gate")];
  const output = manager.temp();
  const task = manager.submit({
    command: `echo $$ >> ${log}; while [ ! -e ${gate} ]; do sleep 0.02; done; echo $$ > output`,
    outputs: { output },
  });
  await until(() => existsSync(log), "the task runs");
  road.cut();
  await until(() => facts.some(({ kind }) => kind === "worker_left"), "the worker is given up");
  // Both tries end now: the first one at a worker that cannot tell.
  await writeFile(gate, "");
  const other = await scratch.worker(manager);
  const result = await task;
  expect([result.outcome, result.try]).toEqual(["success", 2]);
  const [first, second] = readFileSync(log, "utf8").trim().split("\n");
  expect(first).not.toBe(second);
  road.mend();
  await until(() => manager.status().workers.connected === 2, "the first worker is back");
  expect((await manager.submit({ command: "cat o", inputs: { o: output } })).stdout.trim())
    .toBe(second!);
  expect(await output.text()).toBe(`${second}\n`);
  other.child.kill("SIGTERM");
  await other.ended;
  expect(manager.status().tasks).toMatchObject({ succeeded: 2, failed: 0, submitted: 2 });
  expect(facts.filter((fact) => fact.kind === "task_ended").length).toBe(2);
}, 120_000);
