import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

import { Manager } from "../../mod.ts";
import { BINARY } from "../binary/built.ts";
import { Scratch } from "./scratch.ts";

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
    40_000,
  );
}

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
}, 40_000);
