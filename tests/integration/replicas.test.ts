import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import { type FileHandle, Manager } from "../../mod.ts";
import { Scratch, type ScratchWorker, until } from "./scratch.ts";

const NAME = "replicas";

/** Temps of a workflow that is pruned: chains of them, each made of the one before. */
const CHAINS = 10;
const STAGES = 20;

/** Most copies of temps of a chain at a time: what is read and what is written, at both workers. */
const LIVE_MAX = 4;

/** Temps in the caches of `workers`. */
function countTemps(workers: readonly ScratchWorker[]): number {
  let count = 0;
  for (const { workspace } of workers) {
    const user = `tendril-${process.getuid?.()}`;
    for (const name of readdirSync(join(workspace, user, NAME, "cache", "files"))) {
      if (name.startsWith("temp-")) count += 1;
    }
  }
  return count;
}

/** Runs the chains; returns the most temps that were there at a time. */
async function runChains(manager: Manager, workers: readonly ScratchWorker[]): Promise<number> {
  const ends: FileHandle[] = [];
  for (let chain = 0; chain < CHAINS; chain++) {
    let before = manager.buffer(`${chain}\n`);
    for (let stage = 0; stage < STAGES; stage++) {
      const after = manager.temp({ release: "auto" });
      const command = "cat before > after && head -c 20000 /dev/zero >> after";
      manager.submit({ command, inputs: { before }, outputs: { after } });
      before = after;
    }
    ends.push(before);
  }
  let most = 0;
  for await (const { outcome, message } of manager.completed()) {
    expect([outcome, message]).toEqual(["success", ""]);
    most = Math.max(most, countTemps(workers));
  }
  expect((await ends[0]?.contents())?.length).toBe(2 + STAGES * 20_000);
  return most;
}

test(
  "A temp with two replicas outlives the worker that made it, and nothing is run again",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({ policies: { replicas: 2 } });
    const maker = await scratch.worker(manager);
    const temp = manager.temp();
    const command = "head -c 3000000 /dev/urandom > data && sha256sum < data";
    const made = await manager.submit({ command, outputs: { data: temp } });
    expect(temp.replicaCount).toBe(1);
    await scratch.worker(manager);
    await until(() => temp.replicaCount === 2, `there are two: ${maker.said()}`);
    maker.child.kill("SIGKILL");
    const read = await manager.submit({ command: "sha256sum < data", inputs: { data: temp } });
    expect([read.outcome, read.stdout]).toEqual(["success", made.stdout]);
    expect(manager.status().tasks.recoveries).toBe(0);
    // The number is kept: a worker that joins is given what the lost one had.
    await scratch.worker(manager);
    await until(() => temp.replicaCount === 2, "there are two again");
  },
  120_000,
);

test("Pruning keeps the temps of a workflow to those that are still read", async () => {
  await using scratch = await Scratch.open();
  const policies = { pruneTemps: "consumed", waitForWorkers: 2 } as const;
  await using manager = await Manager.start({ name: NAME, policies });
  const workers = await Promise.all([scratch.worker(manager), scratch.worker(manager)]);
  const pruned = await runChains(manager, workers);
  process.stdout.write(
    `consumed: at most ${pruned} copies of ${CHAINS * STAGES} temps at a time\n`,
  );
  expect(pruned).toBeLessThanOrEqual(CHAINS * LIVE_MAX);
  await until(() => countTemps(workers) === CHAINS, "only the ends of the chains are left");
  manager.tune({ pruneTemps: "never" });
  const kept = await runChains(manager, workers);
  process.stdout.write(
    `never: at most ${kept - CHAINS} copies of ${CHAINS * STAGES} temps at a time\n`,
  );
  expect(countTemps(workers)).toBeGreaterThanOrEqual(CHAINS * (STAGES + 1));
  expect(manager.status().tasks.recoveries).toBe(0);
}, 120_000);

test("FileHandle is pruned, replicated and given up by its user", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await Promise.all([scratch.worker(manager), scratch.worker(manager)]);
  let name: string | undefined;
  {
    using temp = manager.temp();
    await manager.submit({ command: "echo once > t", outputs: { t: temp } });
    await manager.replicate(temp, 2);
    await until(() => temp.replicaCount === 2, "there are two");
    await manager.prune(temp);
    expect(temp.replicaCount).toBe(0);
    // It is made again.
    expect(await temp.text()).toBe("once\n");
    expect(manager.status().tasks.recoveries).toBe(1);
    name = temp.cacheName;
    await expect(manager.replicate(temp, 0)).rejects.toThrow(/a whole number from 1 to 100/);
  }
  expect(name).toMatch(/^temp-/);
  const other = manager.temp();
  await expect(manager.replicate(manager.unpack("x.tar"), 2)).rejects.toThrow(/makes its own/);
  await manager.undeclare(other);
  await expect(manager.prune(other)).rejects.toThrow(/it was undeclared/);
}, 120_000);
