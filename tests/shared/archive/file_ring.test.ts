import { expect, test } from "bun:test";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import { ArchiveError } from "../../../shared/archive/archive_error.ts";
import { FileRing, newFileRingMemory } from "../../../shared/archive/file_ring.ts";
import type { FileThreadData } from "../../../shared/archive/file_thread.ts";
import { scratch } from "./scratch.ts";

const THREAD = fileURLToPath(
  new URL("../../../shared/archive/file_thread.ts", import.meta.url).href,
);
const TIME_MS = 1_600_000_000_250;

/** A ring whose other end is a thread that writes below `root`. */
class ServedRing implements AsyncDisposable {
  readonly ring: FileRing;
  readonly #ended: Promise<unknown>;

  constructor(root: string) {
    const memory = newFileRingMemory();
    const workerData: FileThreadData = { root, memory };
    this.ring = new FileRing(memory);
    this.#ended = once(new Worker(THREAD, { workerData }), "exit");
  }

  /** Gives a file as soon as there is room and someone to write it. */
  async give(path: string, contents: string, mode = 0o644): Promise<number> {
    const bytes = new TextEncoder().encode(contents);
    for (;;) {
      const number = this.ring.give({ path, mode, mtimeMs: TIME_MS }, bytes);
      if (number !== undefined) return number;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ring.stop();
    await this.#ended;
  }
}

function contentsOf(index: number): string {
  return `${index} `.repeat(index % 100 === 0 ? 20_000 : index % 300);
}

test("FileRing.give() has files of every size written as they were given", async () => {
  await using dir = await scratch();
  await using served = new ServedRing(dir.path);
  await mkdir(`${dir.path}/çödé 😀`);
  // More than the ring holds at one time.
  for (let index = 0; index < 600; index++) {
    await served.give(`çödé 😀/文${index}`, contentsOf(index), 0o755);
  }
  served.ring.settle();
  expect(served.ring.writtenCount).toBe(600);
  expect((await readdir(`${dir.path}/çödé 😀`)).length).toBe(600);
  for (let index = 0; index < 600; index += 50) {
    const path = `${dir.path}/çödé 😀/文${index}`;
    expect(await readFile(path, "utf8")).toBe(contentsOf(index));
    const status = await stat(path);
    expect(status.mode & 0o7777).toBe(0o755);
    expect(Math.floor(status.mtimeMs)).toBe(TIME_MS);
  }
});

test("FileRing.settle() returns when the file of a number is written, also one that replaces another", async () => {
  await using dir = await scratch();
  await using served = new ServedRing(dir.path);
  for (let index = 0; index < 50; index++) {
    const number = await served.give("same", `${index}`);
    if (index % 7 > 0) continue;
    served.ring.settle(number);
    expect(await readFile(`${dir.path}/same`, "utf8")).toBe(`${index}`);
  }
});

test("FileRing throws what kept a file from being written, with its entry, again and again", async () => {
  await using dir = await scratch();
  await using served = new ServedRing(dir.path);
  await served.give("there", "1");
  await served.give("missing/file", "2");
  const failures: unknown[] = [];
  for (const act of [() => served.ring.settle(), () => served.ring.writtenCount]) {
    try {
      act();
    } catch (error) {
      failures.push(error);
    }
  }
  await served.give("late", "3").catch((error: unknown) => failures.push(error));
  expect(failures.length).toBe(3);
  for (const failure of failures) {
    expect(failure).toBeInstanceOf(ArchiveError);
    expect((failure as ArchiveError).entry).toBe("missing/file");
    expect((failure as ArchiveError).message).toContain(
      'Cannot write entry "missing/file": ENOENT',
    );
  }
  expect(await readdir(dir.path)).toEqual(["there"]);
});

test("FileRing.stop() returns when nothing is written any more", async () => {
  await using dir = await scratch();
  await using served = new ServedRing(dir.path);
  for (let index = 0; index < 500; index++) await served.give(`f${index}`, contentsOf(index));
  served.ring.stop();
  const names = await readdir(dir.path);
  await new Promise((resolve) => setImmediate(resolve));
  expect((await readdir(dir.path)).length).toBe(names.length);
  expect(names.length).toBeLessThanOrEqual(500);
});
