/** Files among workers of several hosts, over links that are slow, are cut, and heal. */

import { expect, test } from "bun:test";
import { randomFillSync } from "node:crypto";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import { BINARY } from "../binary/built.ts";
import { type Hosts, runOn, workspaceOf } from "./hosts.ts";
import { type Host, Network, whyNoNamespaces } from "./namespaces.ts";
import { Scratch, until } from "./scratch.ts";

const whyNot = whyNoNamespaces();
if (whyNot !== undefined) process.stderr.write(`Other hosts are not tried: ${whyNot}\n`);

const SIZE_BYTES = 20_000_000;

/** So slow that what crosses it takes seconds. */
const SLOW_BITS = 40_000_000;

const RUNNER = { command: [BINARY, "run", "--quiet"], library: "tendril" };

interface Sums {
  readonly sums: readonly string[];
}

/** One file to a task on each worker. */
const BROADCAST = `
const manager = await start({ waitForWorkers: 5, transfersFromManager: 2 });
const input = manager.file(folder + "/source");
const features = ["1", "2", "3", "4", "5"];
const sums = await Promise.all(features.map((feature) => check(manager.submit({
  command: "sha256sum < input", inputs: { input }, features: [feature],
}))));
await finish(manager, { sums });
`;

/** A temp of the worker "holder" that a task at "reader" needs. */
const PASS_ON = `
const manager = await start({ waitForWorkers: 2, transferStallTimeout: "1s" });
const temp = manager.temp();
const made = await check(manager.submit({
  command: "head -c ${SIZE_BYTES} /dev/urandom > data; sha256sum < data",
  outputs: { data: temp }, features: ["holder"],
}));
const read = await check(manager.submit({
  command: "sha256sum < data", inputs: { data: temp }, features: ["reader"],
}));
await finish(manager, { sums: [made, read] });
`;

/** Bytes of the largest file that comes in at a worker. */
function incomingBytes(workspace: string): number {
  try {
    const folder = join(workspace, `tendril-${process.getuid?.()}`, "hosts", "cache", "incoming");
    return Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).size));
  } catch {
    // Not yet, or no more.
    return 0;
  }
}

/**
 * A holder and a reader whose links to each other can be cut alone: each has one of its own to the
 * manager.
 */
function peers(network: Network): Hosts {
  const manager = network.host("manager", [1, 2]);
  const workers = [network.host("holder", [1, 3]), network.host("reader", [2, 3])];
  for (const worker of workers) network.slow(worker, 1, SLOW_BITS);
  return { manager, workers, features: ["holder", "reader"] };
}

/** Cuts the holder off from its peers when a part of the file has come to `workspace`. */
async function cutInTheMiddle(network: Network, holder: Host, workspace: string): Promise<void> {
  await until(() => incomingBytes(workspace) > SIZE_BYTES / 4, "a part has come");
  network.cut(holder, 1);
}

test.if(whyNot === undefined)(
  "A file reaches workers of three hosts, one behind a slow link, of which the manager sends two",
  async () => {
    await using scratch = await Scratch.open();
    using network = new Network();
    const manager = network.host("manager");
    const [a, b, c] = ["a", "b", "c"].map((name) => network.host(name));
    if (a === undefined || b === undefined || c === undefined) throw new Error("Hosts are missing");
    network.slow(c, 0, SLOW_BITS);
    const source = randomFillSync(new Uint8Array(SIZE_BYTES));
    writeFileSync(scratch.path("source"), source);
    const digest = new Bun.CryptoHasher("sha256").update(source).digest("hex");
    const hosts = { manager, workers: [a, a, b, b, c], features: ["1", "2", "3", "4", "5"] };
    const told = await runOn<Sums>(hosts, scratch, { ...RUNNER, text: BROADCAST });
    expect(told.sums).toEqual(hosts.features.map(() => `${digest}  -\n`));
    const { bytes } = told.status;
    expect(bytes.managerToWorker).toBeLessThanOrEqual(2 * SIZE_BYTES);
    expect(bytes.managerToWorker + bytes.workerToWorker).toBe(5 * SIZE_BYTES);
  },
  120_000,
);

test.if(whyNot === undefined)(
  "A file whose only holder is cut off from its reader goes on by way of the manager",
  async () => {
    await using scratch = await Scratch.open();
    using network = new Network();
    const hosts = peers(network);
    const [holder] = hosts.workers;
    const during = () => cutInTheMiddle(network, holder!, workspaceOf(scratch, 1));
    const { sums, status } = await runOn<Sums>(hosts, scratch, {
      ...RUNNER,
      text: PASS_ON,
      during,
    });
    expect(sums[1]).toBe(sums[0]!);
    expect(status.tasks.recoveries).toBe(0);
    expect(status.bytes.workerToManager).toBe(SIZE_BYTES);
    // What came before the link was cut is not sent again.
    expect(status.bytes.workerToWorker).toBeGreaterThan(SIZE_BYTES / 4);
    expect(status.bytes.workerToWorker + status.bytes.managerToWorker).toBe(SIZE_BYTES);
  },
  120_000,
);

test.if(whyNot === undefined)(
  "A file whose holder is cut off for a while comes when the link is whole again, or before",
  async () => {
    await using scratch = await Scratch.open();
    using network = new Network();
    const hosts = peers(network);
    const [holder] = hosts.workers;
    const during = async () => {
      const workspace = workspaceOf(scratch, 1);
      await cutInTheMiddle(network, holder!, workspace);
      let [lastBytes, sinceMs] = [0, performance.now()];
      await until(() => {
        const bytes = incomingBytes(workspace);
        if (bytes !== lastBytes) [lastBytes, sinceMs] = [bytes, performance.now()];
        return performance.now() - sinceMs > 500;
      }, "nothing comes");
      network.heal(holder!, 1);
    };
    const { sums, status } = await runOn<Sums>(hosts, scratch, {
      ...RUNNER,
      text: PASS_ON,
      during,
    });
    expect(sums[1]).toBe(sums[0]!);
    expect(status.tasks.recoveries).toBe(0);
    expect(status.bytes.workerToWorker + status.bytes.managerToWorker).toBe(SIZE_BYTES);
  },
  120_000,
);
