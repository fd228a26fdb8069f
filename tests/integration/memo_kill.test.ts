/** Managers that are killed while they remember results. */

import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import { SqliteMemoStore } from "../../manager/dataflow/sqlite_memo_store.ts";
import { newRandom, nextRandomBelow } from "../../shared/random.ts";
import { BINARY, ROOT } from "../binary/built.ts";
import { keyOf } from "../manager/dataflow/memo_entries.ts";
import { until } from "../until.ts";

const ROUNDS = 10;

/** Numbers of one round, apart from those of the others. */
const ROUND_NUMBERS = 1_000_000;

/** Starts a writer and kills it when it has said so much; gives the numbers that it said. */
async function killed(
  path: string,
  { first, afterCount, killsOwner }: {
    readonly first: number;
    readonly afterCount: number;
    readonly killsOwner: boolean;
  },
): Promise<number[]> {
  const program = join(ROOT, "tests/integration/memo_writer.ts");
  const args = [program, BINARY, path, String(first)];
  const writer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  writer.stdout.on("data", (bytes) => said += String(bytes));
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  writer.once("close", () => resolve());
  await until(() => said.split("\n").length > afterCount + 2, "so much is put");
  const [owner = ""] = said.split("\n");
  if (killsOwner) process.kill(Number(owner), "SIGKILL");
  writer.kill("SIGKILL");
  await ended;
  // What is cut off was not said.
  return said.slice(0, said.lastIndexOf("\n")).split("\n").slice(1).map(Number);
}

test(
  "a manager that is killed at any moment has remembered whatever put() resolved for",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "tendril-memo-"));
    const path = join(folder, "memo.db");
    const random = newRandom(5);
    const all: number[] = [];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const first = round * ROUND_NUMBERS;
        const afterCount = nextRandomBelow(random, 300);
        all.push(...await killed(path, { first, afterCount, killsOwner: round % 2 === 1 }));
        // An owner that was not killed may still write what it was told.
        await using store = await SqliteMemoStore.open({
          path,
          command: [BINARY, "internal-memo"],
        });
        const found = await store.get(all.map(keyOf));
        expect(all.filter((_, index) => found[index] === undefined)).toEqual([]);
        expect(store.damagedCount).toBe(0);
      }
      expect(all.length).toBeGreaterThan(ROUNDS);
      const database = new DatabaseSync(path);
      expect(database.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
      database.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  60_000,
);
