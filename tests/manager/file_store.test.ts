import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { FileEntry } from "../../manager/file_entry.ts";
import { FileStore } from "../../manager/file_store.ts";
import type { CacheName, TaskId } from "../../shared/ids.ts";

function newStore(): FileStore {
  return new FileStore({
    workflowId: "w",
    push: () => {},
    request: () => Promise.resolve(),
    prune: () => Promise.resolve(),
    countReplicas: () => 0,
  });
}

function declareBuffer(store: FileStore, text: string): FileEntry {
  const bytes = new TextEncoder().encode(text);
  const source = { kind: "buffer", bytes } as const;
  const entry = store.entryOf(
    store.declare({ source, level: "workflow", peerTransfer: true }),
    "buffer",
  );
  store.useAsInput(entry);
  return entry;
}

test("FileStore.forget() lets go of an undeclared file, not of another of the same name", async () => {
  const store = newStore();
  const [first, second] = [declareBuffer(store, "same"), declareBuffer(store, "same")];
  const name = first.bound!.name;
  await store.forget(first.id);
  expect(store.get(first.id)).toBe(first);
  await store.undeclare(first);
  expect(store.get(first.id)).toBe(first);
  await store.forget(first.id);
  expect([store.get(first.id), store.byName(name)]).toEqual([undefined, second]);
  await store.undeclare(second);
  await store.forget(second.id);
  expect([store.get(second.id), store.byName(name)]).toEqual([undefined, undefined]);
});

test("FileStore.forget() removes contents the manager keeps, not those at a user's path", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tendril-store-"));
  try {
    const store = newStore();
    for (
      const source of [
        { kind: "buffer", bytes: undefined },
        { kind: "local", path: join(folder, "local") },
      ] as const
    ) {
      const path = join(folder, source.kind);
      await writeFile(path, "contents");
      const handle = store.declare({ source, level: "workflow", peerTransfer: true });
      const entry = store.entryOf(handle, "output");
      store.useAsOutput(entry, 1 as TaskId);
      expect(store.byName(`temp-w-${entry.id}` as CacheName)).toBe(entry);
      store.setPlace(entry, { path, sizeBytes: 8, digest: "", isDirectory: false, generation: 1 });
      await store.undeclare(entry);
      await store.forget(entry.id);
      expect(() => store.entryOf(handle, "it")).toThrow("it was undeclared");
    }
    expect(await readdir(folder)).toEqual(["local"]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
