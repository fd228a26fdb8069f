import { expect, test } from "bun:test";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { type FileHandle, Manager } from "../../mod.ts";
import { Scratch, type ScratchWorker } from "./scratch.ts";
import { usedBytes } from "./small_disk.ts";

const CHAIN_COUNT = 20;
const STAGE_COUNT = 50;
const TEMP_COUNT: number = CHAIN_COUNT * STAGE_COUNT;
const TEMP_BYTES = 20_000;
const WORKER_COUNT = 2;

/** Between two looks at the disks. */
const LOOK_PAUSE_MS = 20;

/** Chains of tasks, each of which makes a temp of the one before it: 1,000 temps. */
function submitChains(manager: Manager): { temps: FileHandle[]; last: Promise<string>[] } {
  const temps: FileHandle[] = [];
  const last = Array.from({ length: CHAIN_COUNT }, async (_, chain) => {
    let before: FileHandle | undefined;
    for (let stage = 0; stage < STAGE_COUNT; stage++) {
      const after = manager.temp({ release: "auto" });
      temps.push(after);
      manager.submit({
        command: before === undefined
          ? `head -c ${TEMP_BYTES} /dev/zero | tr '\\0' ${chain % 10} > after`
          : "cp before after",
        inputs: before === undefined ? {} : { before },
        outputs: { after },
      });
      before = after;
    }
    const { outcome, message, stdout } = await manager.submit({
      command: "head -c 3 last; wc -c < last",
      inputs: { last: before! },
    });
    expect([outcome, message]).toEqual(["success", ""]);
    return stdout.trim();
  });
  return { temps, last };
}

/** What the caches hold together. */
async function cachedBytes(workers: readonly ScratchWorker[]): Promise<number> {
  let bytes = 0;
  for (const { workspace } of workers) {
    bytes += await usedBytes(workspace).catch(() => 0);
  }
  return bytes;
}

for (const pruneTemps of ["consumed", "never"] as const) {
  test(`Of 1,000 temps the workers hold what pruneTemps "${pruneTemps}" says`, async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({ policies: { pruneTemps } });
    const workers = await Promise.all(
      Array.from({ length: WORKER_COUNT }, () => scratch.worker(manager, { cores: 2 })),
    );
    const { temps, last } = submitChains(manager);
    let isDone = false;
    let most = { bytes: 0, boundBytes: 0 };
    const looking = (async () => {
      while (!isDone && pruneTemps === "consumed") {
        const before = manager.status().tasks.dispatched;
        const bytes = await cachedBytes(workers);
        const dispatched = Math.max(before, manager.status().tasks.dispatched);
        // Of a chain lives the temp that comes next. A task in flight has what it makes, perhaps a
        // copy of what it reads at another worker, and what was read before it is being removed.
        const boundBytes = (CHAIN_COUNT + 3 * dispatched) * TEMP_BYTES;
        expect(bytes).toBeLessThanOrEqual(boundBytes);
        if (bytes > most.bytes) most = { bytes, boundBytes };
        await delay(LOOK_PAUSE_MS);
      }
    })();
    const ends = await Promise.all(last);
    isDone = true;
    await looking;
    for (const [chain, end] of ends.entries()) {
      expect(end).toBe(`${String(chain % 10).repeat(3)}${TEMP_BYTES}`);
    }
    const held = temps.filter((temp) => temp.replicaCount > 0).length;
    const heldBytes = await cachedBytes(workers);
    process.stdout.write(
      `${pruneTemps}: of ${TEMP_COUNT} temps, ${TEMP_COUNT * TEMP_BYTES} bytes, the workers hold ` +
        `${held} at the end, ${heldBytes} bytes` +
        (pruneTemps === "never"
          ? "\n"
          : `; at most ${most.bytes}, when ${most.boundBytes} were live and in flight\n`),
    );
    if (pruneTemps === "never") {
      expect(held).toBe(TEMP_COUNT);
      expect(heldBytes).toBeGreaterThanOrEqual(TEMP_COUNT * TEMP_BYTES);
    } else {
      expect(held).toBe(0);
    }
  }, 120_000);
}
