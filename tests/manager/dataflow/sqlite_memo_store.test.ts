import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import type { MemoEntry } from "../../../manager/dataflow/memo_store.ts";
import {
  SqliteMemoStore,
  type SqliteMemoStoreOptions,
} from "../../../manager/dataflow/sqlite_memo_store.ts";
import { newRandom, nextRandomBelow } from "../../../shared/random.ts";
import { BINARY } from "../../binary/built.ts";
import { smallDisk } from "../../integration/small_disk.ts";
import { until } from "../../until.ts";
import { entryOf, keyOf } from "./memo_entries.ts";
import { listed, testMemoStore } from "./memo_store_contract.ts";

let folder = "";
let count = 0;

beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "tendril-memo-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const newPath = () => join(folder, String(count += 1), "memo.db");
const open = (path: string, options: SqliteMemoStoreOptions = {}) =>
  SqliteMemoStore.open({ path, command: [BINARY, "internal-memo"], ...options });

testMemoStore("SqliteMemoStore", (place) => open(join(place, "deeper", "memo.db")));

/** Does something to the file behind the store's back. */
function alter(path: string, sql: string): void {
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
}

/** A file with entries of the numbers below `entryCount`. */
async function filled(entryCount: number, stated: Partial<MemoEntry> = {}): Promise<string> {
  const path = newPath();
  await using store = await open(path);
  await store.putAll(Array.from({ length: entryCount }, (_, number) => entryOf(number, stated)));
  return path;
}

test("SqliteMemoStore.open() finds what was put before, and leaves one file behind", async () => {
  const path = await filled(3);
  await using store = await open(path, { isNewAllowed: false });
  expect(await store.get([keyOf(2)])).toEqual([entryOf(2)]);
  await store.close();
  expect(readdirSync(join(path, ".."))).toEqual(["memo.db"]);
});

test("SqliteMemoStore shares its file with other flows, from the start", async () => {
  const path = newPath();
  const stores = await Promise.all([open(path), open(path), open(path)]);
  await Promise.all(stores.map(async (store, index) => {
    for (let number = index; number < 60; number += 3) await store.put(entryOf(number));
  }));
  for (const store of stores) expect((await listed(store)).length).toBe(60);
  await Promise.all(stores.map((store) => store.close()));
});

test("SqliteMemoStore.get() misses what is damaged or foreign, and counts it", async () => {
  const path = await filled(6);
  const other = "unhex(replace(hex(body), hex('align'), hex('alien')))";
  alter(path, `UPDATE entry SET body = ${other} WHERE row = 1`);
  alter(path, `UPDATE entry SET checksum = 'none' WHERE row = 2`);
  alter(path, `UPDATE entry SET body = 7 WHERE row = 3`);
  alter(path, `UPDATE entry SET body = zeroblob(9000000) WHERE row = 4`);
  alter(path, `UPDATE entry SET call = x'ff', made_at_ms = 'soon', app = 3 WHERE row = 5`);
  await using store = await open(path);
  const found = await store.get([0, 1, 2, 3, 4, 5].map(keyOf));
  expect(found).toEqual([undefined, undefined, undefined, undefined, entryOf(4), entryOf(5)]);
  expect(store.damagedCount).toBe(4);
  expect((await listed(store)).length).toBe(6);
  await store.put(entryOf(0));
  expect(await store.get([keyOf(0)])).toEqual([entryOf(0)]);
});

test("SqliteMemoStore lives with a file that lost any of its bytes", async () => {
  const path = await filled(200, { value: { kind: "bytes", bytes: new Uint8Array(3_000) } });
  const whole = readFileSync(path);
  const random = newRandom(11);
  for (let round = 0; round < 6; round++) {
    const torn = Uint8Array.from(whole);
    const at = nextRandomBelow(random, whole.length - 100);
    if (round % 2 === 0) writeFileSync(path, torn.subarray(0, at));
    else writeFileSync(path, torn.fill(0x5a, at, at + 20_000));
    try {
      await using store = await open(path);
      const found = await store.get(Array.from({ length: 200 }, (_, number) => keyOf(number)));
      const hits = found.filter((entry) => entry !== undefined);
      expect(hits.every(({ value }) => value.kind === "bytes" && value.bytes.length === 3_000))
        .toBe(true);
    } catch (error) {
      expect(String(error)).toMatch(/^Error: Cannot (open|read) memo file ".+": .+/);
    }
  }
});

test("SqliteMemoStore.open() refuses what is no memo file, and leaves it as it is", async () => {
  const path = newPath();
  mkdirSync(join(path, ".."));
  const foreign = join(path, "../foreign.db");
  alter(foreign, "CREATE TABLE entry (row, key)");
  const newer = await filled(1);
  alter(newer, "PRAGMA user_version = 2");
  const changed = await filled(1);
  alter(changed, "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END");
  writeFileSync(path, "samples: a, b, c\n".repeat(100));
  const refused: [string, string][] = [
    [path, "file is not a database; name another file"],
    [foreign, "it is a database of something else; name another file"],
    [newer, "it is of version 2 and this Tendril reads 1; use the Tendril that wrote it"],
    [changed, "its tables are not those of a memory of results"],
    [join(path, ".."), "unable to open database file"],
  ];
  for (const [place, message] of refused) {
    const before = place.endsWith(".db") ? readFileSync(place) : undefined;
    const error = await open(place).then(() => "opened", String);
    expect(error).toStartWith(`Error: Cannot open memo file "${place}": ${message}`);
    if (before !== undefined) expect(readFileSync(place).equals(before)).toBe(true);
  }
  await expect(open(`${path}.none`, { isNewAllowed: false })).rejects.toThrow("there is none");
  expect(existsSync(`${path}.none`)).toBe(false);
});

test("SqliteMemoStore goes on when its process is killed, and says so; once", async () => {
  const said: string[] = [];
  await using store = await open(newPath(), { onTrouble: (message) => said.push(message) });
  const put = (from: number) =>
    Promise.all(Array.from({ length: 50 }, (_, index) => store.put(entryOf(from + index))));
  const first = put(0);
  process.kill(store.processId!, "SIGKILL");
  await first;
  expect((await listed(store)).length).toBe(50);
  expect(said).toEqual([
    expect.stringMatching(/^Started the owner of memo file ".+" anew: its process ended with SIGK/),
  ]);
  process.kill(store.processId!, "SIGKILL");
  await expect(put(50)).rejects.toThrow(/^Cannot use memo file ".+": its process ended with SIGKI/);
  await expect(store.get([keyOf(1)])).rejects.toThrow("its process ended with SIGKILL");
  expect(said.length).toBe(1);
});

test("SqliteMemoStore.put() says that a disk is full, and nothing that was there is lost", async () => {
  const place = newPath();
  using disk = smallDisk(place, 512 * 1024);
  if (disk === undefined) return;
  const path = join(place, "memo.db");
  await using store = await open(path);
  await store.putAll([1, 2, 3].map((number) => entryOf(number)));
  const value = { kind: "bytes", bytes: new Uint8Array(1_000_000) } as const;
  await expect(store.put(entryOf(4, { value }))).rejects.toThrow(
    `Cannot write memo file "${path}": database or disk is full; what was in it is still there`,
  );
  await store.put(entryOf(5));
  expect(await listed(store)).toEqual([1, 2, 3, 5].map(keyOf));
});

test("SqliteMemoStore.forget() gives the room of what was forgotten back", async () => {
  const path = await filled(300, { value: { kind: "bytes", bytes: new Uint8Array(10_000) } });
  await using store = await open(path);
  const before = readFileSync(path).length;
  await store.forget({ madeBeforeMs: 1_290 });
  expect(readFileSync(path).length).toBeLessThan(before / 5);
  expect((await listed(store)).length).toBe(10);
});

test("SqliteMemoStore.open() says why there is no process", async () => {
  const path = newPath();
  await expect(open(path, { command: ["/none/tendril"] })).rejects.toThrow(
    `Cannot use memo file "${path}": its process ended with 127`,
  );
});

test("SqliteMemoStore starts another process when its own does not answer, and ends it", async () => {
  const store = await open(newPath(), { answerMsMax: 1_000 });
  const stopped = store.processId!;
  process.kill(stopped, "SIGSTOP");
  await store.put(entryOf(1));
  const pid = store.processId!;
  expect([pid === stopped, await listed(store)]).toEqual([false, [keyOf(1)]]);
  await store.close();
  await until(() => !isAlive(stopped) && !isAlive(pid), "both have ended");
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
