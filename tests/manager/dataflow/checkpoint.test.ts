import { expect, test } from "bun:test";

import {
  CHECKPOINT_MODES,
  type CheckpointOptions,
  CheckpointStore,
} from "../../../manager/dataflow/checkpoint.ts";
import { MemoryMemoStore } from "../../../manager/dataflow/memory_memo_store.ts";
import type { MemoEntry } from "../../../manager/dataflow/memo_store.ts";
import { until } from "../../until.ts";
import { entryOf, keyOf } from "./memo_entries.ts";
import { listed, testMemoStore } from "./memo_store_contract.ts";

/** A store that survives another one's closing, and can be full. */
class Disk extends MemoryMemoStore {
  isFull = false;
  /** Resolves what is being written, when that waits. */
  gate: Promise<void> | undefined;

  override async putAll(entries: readonly MemoEntry[]): Promise<void> {
    await this.gate;
    if (this.isFull && entries.length > 0) throw new Error("the disk is full");
    await super.putAll(entries);
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}

function open(
  stated: Partial<CheckpointOptions>,
): { store: CheckpointStore; disk: Disk; said: string[] } {
  const disk = new Disk();
  const said: string[] = [];
  const onTrouble = (message: string) => void said.push(message);
  return {
    store: new CheckpointStore({ store: disk, mode: "manual", onTrouble, ...stated }),
    disk,
    said,
  };
}

for (const mode of CHECKPOINT_MODES) {
  const onTrouble = () => {};
  testMemoStore(`CheckpointStore of mode ${mode}`, () => {
    return Promise.resolve(new CheckpointStore({ store: new MemoryMemoStore(), mode, onTrouble }));
  });
}

test("CheckpointStore passes each entry on at once, or at the end, as its mode says", async () => {
  for (const mode of CHECKPOINT_MODES) {
    const { store, disk } = open({ mode });
    await store.put(entryOf(1));
    expect([mode, await listed(disk)]).toEqual([mode, mode === "task_exit" ? [keyOf(1)] : []]);
    expect(await store.get([keyOf(2), keyOf(1)])).toEqual([undefined, entryOf(1)]);
    await store.flush();
    await store.put(entryOf(2));
    expect((await listed(disk)).length).toBe(mode === "task_exit" ? 2 : 1);
    await store.close();
    expect(await listed(disk)).toEqual([keyOf(1), keyOf(2)]);
  }
});

test("CheckpointStore passes entries on every so often, those too that come meanwhile", async () => {
  const { store, disk } = open({ mode: "periodic", periodMs: 1 });
  const { promise, resolve } = Promise.withResolvers<void>();
  disk.gate = promise;
  await store.put(entryOf(1));
  const first = store.flush();
  await store.put(entryOf(2));
  expect((await store.get([keyOf(1), keyOf(2)])).map((entry) => entry?.key)).toEqual(
    [keyOf(1), keyOf(2)],
  );
  resolve();
  await first;
  await until(async () => (await listed(disk)).length === 2, "the second is there");
});

test("CheckpointStore holds so much and no more, whatever its mode", async () => {
  const { store, disk } = open({ mode: "exit", heldBytesMax: 2_000 });
  const value = { kind: "bytes", bytes: new Uint8Array(1_200) } as const;
  await store.put(entryOf(1, { value }));
  await store.put(entryOf(2, { value }));
  await until(async () => (await listed(disk)).length === 2, "both are there");
});

test("CheckpointStore keeps what it cannot pass on, and says so", async () => {
  const { store, disk, said } = open({ mode: "periodic", periodMs: 1 });
  disk.isFull = true;
  await store.put(entryOf(1));
  await until(() => said.length > 0, "it is said");
  expect(said).toEqual(["Cannot checkpoint results yet: the disk is full"]);
  await store.put(entryOf(2));
  const flushed = store.flush();
  await store.put(entryOf(1, { app: "newer" }));
  await expect(flushed).rejects.toThrow("the disk is full");
  expect((await store.get([keyOf(1)]))[0]?.app).toBe("newer");
  disk.isFull = false;
  await store.flush();
  expect(await listed(disk)).toEqual([keyOf(2), keyOf(1)]);
  expect((await disk.get([keyOf(1)]))[0]?.app).toBe("newer");
});

test("CheckpointStore.forget() counts an entry once, and nothing of it comes back", async () => {
  const { store, disk } = open({});
  await store.putAll([entryOf(1), entryOf(2)]);
  await store.flush();
  await store.putAll([entryOf(2, { app: "newer" }), entryOf(3)]);
  expect(await listed(store)).toEqual([1, 2, 3].map(keyOf));
  const flushed = store.flush();
  expect(await store.forget("all")).toBe(3);
  await flushed;
  await store.close();
  expect(await listed(disk)).toEqual([]);
});
