import { expect, test } from "bun:test";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";

import { FileThreads } from "../../../shared/archive/file_threads.ts";
import { scratch } from "./scratch.ts";

const HAS_THREADS = "Bun" in globalThis && process.platform === "linux" &&
  availableParallelism() > 1;

/** Offers files, each under a name of its own, until one is taken; returns its name. */
async function offerUntilTaken(threads: FileThreads): Promise<string> {
  for (let index = 0;; index++) {
    const meta = { path: `f${index}`, mode: 0o644, mtimeMs: 1_600_000_000_000 };
    if (threads.offer(meta, new TextEncoder().encode("text"))) return meta.path;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test.if(HAS_THREADS)(
  "FileThreads takes files off the caller once there are many, and settles them by name",
  async () => {
    await using dir = await scratch();
    const threads = new FileThreads(dir.path);
    const path = await offerUntilTaken(threads);
    expect(Number(path.slice(1))).toBeGreaterThan(200);
    threads.settle("another");
    threads.settle(path);
    expect(await readFile(`${dir.path}/${path}`, "utf8")).toBe("text");
    const next = await offerUntilTaken(threads);
    threads.finish();
    expect((await readdir(dir.path)).sort()).toEqual([next, path].sort());
    expect(threads.offer({ path: "x", mode: 0, mtimeMs: 0 }, new Uint8Array(0))).toBe(false);
  },
);

test.if(HAS_THREADS)(
  "FileThreads makes links to files on their way, before another takes the name of their target",
  async () => {
    await using dir = await scratch();
    const threads = new FileThreads(dir.path);
    const meta = { mode: 0o644, mtimeMs: 0 };
    const bytes = (text: string) => new TextEncoder().encode(text);
    expect(threads.offerLink({ ...meta, path: "x" }, "none")).toBe(false);
    const path = await offerUntilTaken(threads);
    expect(threads.offerLink({ ...meta, path: "link" }, path)).toBe(true);
    expect(threads.offerLink({ ...meta, path: "again" }, "link")).toBe(true);
    threads.settle(path);
    await writeFile(`${dir.path}/link`, "one file");
    expect(threads.offer({ ...meta, path }, bytes("another"))).toBe(true);
    threads.finish();
    expect(await readFile(`${dir.path}/again`, "utf8")).toBe("one file");
    expect(await readFile(`${dir.path}/${path}`, "utf8")).toBe("another");
  },
);

test("FileThreads.stop() ends threads that never had a file", () => {
  const threads = new FileThreads("/nowhere");
  threads.settle("a");
  threads.stop();
  threads.finish();
});
