import { expect, test } from "bun:test";

import { Manager } from "../../mod.ts";
import { Scratch } from "./scratch.ts";

/** A manager with a worker that its peers cannot reach, and one that they can. */
async function walledOff(scratch: Scratch, policies: { peerTransfers?: boolean } = {}) {
  const manager = await Manager.start({ policies: { waitForWorkers: 2, ...policies } });
  // Another address than loopback stands in its place; this one is nobody's (RFC 6761).
  const args = ["--feature", "walled", "--advertise", "walled.invalid:9", "--insecure"];
  await scratch.worker(manager, { args });
  await scratch.worker(manager, { args: ["--feature", "open"], cores: 2 });
  return manager;
}

test("A temp of a worker that its peers cannot reach goes by way of the manager", async () => {
  await using scratch = await Scratch.open();
  await using manager = await walledOff(scratch);
  const file = manager.temp();
  const tree = manager.temp();
  manager.submit({
    command: "head -c 300000 /dev/zero > big; mkdir -p tree/sub; echo leaf > tree/sub/leaf",
    outputs: { big: file, tree },
    features: ["walled"],
  });
  const reader = manager.submit({
    command: "wc -c < big; cat tree/sub/leaf",
    inputs: { big: file, tree },
    features: ["open"],
  });
  const result = await reader;
  expect([result.outcome, result.message]).toEqual(["success", ""]);
  expect(result.stdout.trim()).toBe("300000\nleaf");
  const { bytes } = manager.status();
  expect(bytes.workerToManager).toBeGreaterThan(300_000);
  expect(bytes.managerToWorker).toBe(bytes.workerToManager);
  expect(bytes.workerToWorker).toBe(0);
  // The other way is open.
  const back = manager.temp();
  manager.submit({
    command: "head -c 200000 /dev/zero > big",
    outputs: { big: back },
    features: ["open"],
  });
  const read = await manager.submit({
    command: "wc -c < big",
    inputs: { big: back },
    features: ["walled"],
  });
  expect(read.stdout.trim()).toBe("200000");
  expect(manager.status().bytes.workerToWorker).toBe(200_000);
  expect(manager.status().refused).toMatchObject({ lie: 0, flood: 0 });
}, 120_000);

test("Files go by way of the manager when workers may not pass them on", async () => {
  await using scratch = await Scratch.open();
  await using manager = await walledOff(scratch, { peerTransfers: false });
  const file = manager.temp();
  manager.submit({
    command: "head -c 100000 /dev/zero > big",
    outputs: { big: file },
    features: ["open"],
  });
  const read = await manager.submit({
    command: "wc -c < big",
    inputs: { big: file },
    features: ["walled"],
  });
  expect([read.outcome, read.stdout.trim()]).toEqual(["success", "100000"]);
  const { bytes } = manager.status();
  expect([bytes.workerToManager, bytes.managerToWorker]).toEqual([100_000, 100_000]);
  expect(await file.contents().then(({ length }) => length)).toBe(100_000);
}, 120_000);
