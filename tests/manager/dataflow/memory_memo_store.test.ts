import { expect, test } from "bun:test";

import { MemoryMemoStore } from "../../../manager/dataflow/memory_memo_store.ts";
import { entryOf, keyOf } from "./memo_entries.ts";
import { listed, testMemoStore } from "./memo_store_contract.ts";

testMemoStore("MemoryMemoStore", () => Promise.resolve(new MemoryMemoStore()));

test("MemoryMemoStore.put() lets the oldest go when there is no room", async () => {
  await using store = new MemoryMemoStore({ bytesMax: 10_000 });
  const value = { kind: "bytes", bytes: new Uint8Array(2_000) } as const;
  for (const number of [1, 2, 3, 4, 5]) await store.put(entryOf(number, { value }));
  expect(await listed(store)).toEqual([3, 4, 5].map(keyOf));
});
