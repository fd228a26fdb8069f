import { expect, test } from "bun:test";
import process from "node:process";

import { Manager } from "../../mod.ts";
import { Scratch, until } from "./scratch.ts";
import { usedBytes } from "./small_disk.ts";

const TEMP_COUNT = 8;
const TEMP_BYTES = 4_000_000;

test(
  "shiftDiskLoad moves temps to an emptier disk, where tasks find them as they were",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({ policies: { recovery: "off" } });
    const args = ["--disk", "40MB"];
    const full = await scratch.worker(manager, { args });
    const temps = Array.from({ length: TEMP_COUNT }, () => manager.temp());
    const made = temps.map((out, index) =>
      manager.submit({
        command: `head -c ${TEMP_BYTES} /dev/zero | tr '\\0' ${index} > out`,
        outputs: { out },
      })
    );
    for (const task of made) expect((await task).outcome).toBe("success");
    const empty = await scratch.worker(manager, { args });
    await until(() => manager.status().workers.connected === 2, "both are here");
    expect(await usedBytes(empty.workspace)).toBeLessThan(TEMP_BYTES);
    manager.tune({ shiftDiskLoad: true });
    // 32 MB and 0, which are 80 points of 40 MB apart, until less than 20 are left.
    const isMoved = async () => await usedBytes(full.workspace) <= 5 * TEMP_BYTES + 100_000;
    await until(isMoved, "a part has moved");
    const held = [await usedBytes(full.workspace), await usedBytes(empty.workspace)];
    process.stdout.write(
      `two disks that held 32 MB and nothing hold ${held.join(" and ")} bytes\n`,
    );
    expect(held[1]).toBeGreaterThanOrEqual(3 * TEMP_BYTES);
    const { diskUsedBytes, diskBytes } = manager.status().workers;
    expect([diskUsedBytes > 0, diskBytes]).toEqual([true, 80_000_000]);
    for (const [index, temp] of temps.entries()) {
      const read = await manager.submit({
        command: "head -c 3 in; wc -c < in",
        inputs: { in: temp },
      });
      expect(read.stdout.trim()).toBe(`${String(index).repeat(3)}${TEMP_BYTES}`);
    }
  },
  120_000,
);
