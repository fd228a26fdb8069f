/**
 * A program that puts results into a memo file until it is killed: `BINARY FILE NUMBER`. It prints the id of
 * the process that owns the file, and then each entry's number as soon as that is on the disk.
 *
 * @module
 */

import process from "node:process";

import { SqliteMemoStore } from "../../manager/dataflow/sqlite_memo_store.ts";
import { entryOf, keyOf } from "../manager/dataflow/memo_entries.ts";

/** Puts under way at a time. */
const AT_ONCE = 40;

const [binary = "", path = "", first = "0"] = process.argv.slice(2);
const store = await SqliteMemoStore.open({ path, command: [binary, "internal-memo"] });
process.stdout.write(`${store.processId}\n`);
let next = Number(first);
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (;;) {
    const number = next++;
    // Of all sizes: some fill pages of their own.
    const bytes = new Uint8Array(number % 50 === 0 ? 100_000 : number % 7 * 300);
    await store.put(entryOf(number, { key: keyOf(number), value: { kind: "bytes", bytes } }));
    process.stdout.write(`${number}\n`);
  }
}));
