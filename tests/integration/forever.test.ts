import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";

import { join } from "@std/path";

import { Manager } from "../../mod.ts";
import { BINARY } from "../binary/built.ts";
import { ALL_SAID, prepareKept, useKept } from "./kept.ts";
import { Scratch, until } from "./scratch.ts";

const FILE_BYTES = 1_000_000;

/** A workflow of its own that reads the file at `path`; what it moved to its worker. */
async function readOnce(
  scratch: Scratch,
  { path, workspace, isKilled }: { path: string; workspace: string; isKilled: boolean },
): Promise<number> {
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager, { workspace, args: ["--single"] });
  const query = manager.file(path, { cache: "forever" });
  const result = await manager.submit({ command: "wc -c < query", inputs: { query } });
  expect([result.outcome, result.stdout.trim()]).toEqual(["success", String(FILE_BYTES)]);
  const { managerToWorker } = manager.status().bytes;
  if (isKilled) {
    worker.child.kill("SIGKILL");
    await worker.ended;
  }
  return managerToWorker;
}

for (const isKilled of [false, true]) {
  test(
    `A later workflow finds what an earlier one left for ever (worker killed: ${isKilled})`,
    async () => {
      await using scratch = await Scratch.open();
      const path = scratch.path("query");
      writeFileSync(path, new Uint8Array(FILE_BYTES).fill(7));
      const workspace = scratch.path("workers");
      expect(await readOnce(scratch, { path, workspace, isKilled })).toBe(FILE_BYTES);
      expect(await readOnce(scratch, { path, workspace, isKilled })).toBe(0);
      const cache = (...args: string[]) =>
        spawnSync(BINARY, ["cache", ...args, "--workspace", workspace], { encoding: "utf8" });
      const [kept] = JSON.parse(cache("list", "--json").stdout).files;
      expect(kept).toMatchObject({ sizeBytes: FILE_BYTES, kind: "file" });
      expect(cache("remove", kept.name).stdout).toBe(`${kept.name}\n`);
      expect(await readOnce(scratch, { path, workspace, isKilled })).toBe(FILE_BYTES);
    },
    120_000,
  );
}

for (const isKilled of [false, true]) {
  test(
    `A later workflow has trees, environments and mini tasks for ever (worker killed: ${isKilled})`,
    async () => {
      await using scratch = await Scratch.open();
      prepareKept(scratch);
      const workspace = scratch.path("workers");
      const workflow = async () => {
        await using manager = await Manager.start();
        const worker = await scratch.worker(manager, { workspace, args: ["--single"] });
        const effort = await useKept(manager, scratch, "forever");
        if (isKilled) worker.child.kill("SIGKILL");
        else await manager.close();
        await worker.ended;
        return effort;
      };
      const first = await workflow();
      expect([first.runCount, first.said]).toEqual([2, ALL_SAID]);
      expect(await workflow()).toEqual({ transferCount: 0, runCount: 2, said: ALL_SAID });
      // What somebody has written to is found before it is used, and had anew.
      const entries = readdirSync(
        join(workspace, `tendril-${process.getuid?.()}`, "store/entries"),
      );
      const damaged = entries.filter((name) => /^(dir1|environment|mini)-/.test(name));
      for (const name of damaged) {
        const path = join(
          workspace,
          `tendril-${process.getuid?.()}`,
          "store/entries",
          name,
          "data",
        );
        if (statSync(path).isDirectory()) writeFileSync(join(path, "more"), "");
      }
      const third = await workflow();
      expect([third.transferCount > 0, third.runCount, third.said]).toEqual([true, 3, ALL_SAID]);
      expect(await workflow()).toEqual({ transferCount: 0, runCount: 3, said: ALL_SAID });
    },
    120_000,
  );
}

test("Workers of one host that need the same for ever at once have it made once", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const workspace = scratch.path("workers");
  for (let count = 0; count < 3; count++) await scratch.worker(manager, { workspace });
  await until(() => manager.status().workers.connected === 3, "all workers joined");
  const log = scratch.path("log");
  const command = `echo run >> ${log}; sleep 0.5; mkdir tree; date +%N > tree/instant`;
  const tree = manager.miniTask({ command }, "tree", { cache: "forever" });
  const ends = await Promise.all([0, 1, 2].map(() => {
    return manager.submit({ command: "sleep 1; cat tree/instant", inputs: { tree } });
  }));
  expect(new Set(ends.map(({ workerId }) => workerId)).size).toBe(3);
  expect(new Set(ends.map(({ stdout }) => stdout)).size).toBe(1);
  expect(readFileSync(log, "utf8")).toBe("run\n");
  const args = ["cache", "remove", "--all", "--workspace", workspace];
  const busy = spawnSync(BINARY, args, { encoding: "utf8" });
  expect([busy.status, busy.stderr]).toEqual([
    1,
    `tendril cache: Cannot remove "${tree.cacheName}": a running worker has it in use\n`,
  ]);
  const again = await manager.submit({ command: "cat tree/instant", inputs: { tree } });
  expect(again.stdout).toBe(ends[0]!.stdout);
}, 120_000);

test("What is removed from the store stays where a worker has it in use", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const workspace = scratch.path("workers");
  await scratch.worker(manager, { workspace });
  const path = scratch.path("query");
  writeFileSync(path, new Uint8Array(FILE_BYTES).fill(7));
  const query = manager.file(path, { cache: "forever" });
  const read = () => manager.submit({ command: "wc -c < query", inputs: { query } });
  expect((await read()).outcome).toBe("success");
  const args = ["cache", "remove", "--all", "--workspace", workspace];
  expect(spawnSync(BINARY, args).status).toBe(0);
  expect((await read()).stdout.trim()).toBe(String(FILE_BYTES));
  expect(manager.status().bytes.managerToWorker).toBe(FILE_BYTES);
}, 120_000);
