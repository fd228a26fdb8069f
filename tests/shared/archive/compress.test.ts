import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

import { compress, type CompressOptions } from "../../../shared/archive/compress.ts";
import { COMPRESSIONS } from "../../../shared/archive/decompress.ts";
import { inPieces, joinBytes } from "./raw_tar.ts";
import { scratch } from "./scratch.ts";

/** More than two blocks of the largest kind, and not a whole number of any. */
const CONTENT = Buffer.concat(
  Array.from(
    { length: 90_000 },
    (_, index) => Buffer.from(`${index * 7_919} of ${"x".repeat(90)}`),
  ),
);

async function compressed(bytes: Uint8Array, options: CompressOptions): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of compress(inPieces(bytes, 333_333), options)) parts.push(part);
  return joinBytes(parts);
}

async function decompressed(bytes: Uint8Array): Promise<Uint8Array> {
  const compression = COMPRESSIONS.find(({ isStart }) => isStart(bytes));
  const parts: Uint8Array[] = [];
  for await (const part of compression?.decode(inPieces(bytes, 70_000)) ?? []) parts.push(part);
  return joinBytes(parts);
}

// Its zstd stream stops after the first frame, and no worker runs on it.
const isDeno = "Deno" in globalThis;

test("compress() makes one gzip member that every reader takes", async () => {
  await using dir = await scratch();
  for (const [level, threads] of [[1, 1], [4, 3], [9, 8]] as const) {
    const bytes = await compressed(CONTENT, { compression: "gzip", level, threads });
    expect(bytes.length).toBeLessThan(CONTENT.length / 4);
    expect(Buffer.compare(gunzipSync(bytes), CONTENT)).toBe(0);
    expect(Buffer.compare(await decompressed(bytes), CONTENT)).toBe(0);
    writeFileSync(`${dir.path}/a.gz`, bytes);
    const theirs = execFileSync("gzip", ["-dc", `${dir.path}/a.gz`], { maxBuffer: 2 ** 26 });
    expect(Buffer.compare(theirs, CONTENT)).toBe(0);
    // One member: of more, only the last one's size is listed.
    expect(execFileSync("gzip", ["-l", `${dir.path}/a.gz`]).toString())
      .toContain(` ${CONTENT.length} `);
  }
});

test.skipIf(isDeno)("compress() makes zstd frames that every reader takes", async () => {
  await using dir = await scratch();
  for (const [level, threads] of [[1, 1], [3, 4]] as const) {
    const bytes = await compressed(CONTENT, { compression: "zstd", level, threads });
    expect(Buffer.compare(await decompressed(bytes), CONTENT)).toBe(0);
    writeFileSync(`${dir.path}/a.zst`, bytes);
    const theirs = execFileSync("zstd", ["-dc", `${dir.path}/a.zst`], { maxBuffer: 2 ** 26 });
    expect(Buffer.compare(theirs, CONTENT)).toBe(0);
    const changed = Buffer.from(bytes);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    await expect(decompressed(changed)).rejects.toThrow("as zstd");
  }
});

test("compress() passes on what is not to be compressed, and compresses nothing to a whole", async () => {
  const plain = { compression: "none", level: 0, threads: 1 } as const;
  expect(Buffer.compare(await compressed(CONTENT, plain), CONTENT)).toBe(0);
  const bytes = await compressed(new Uint8Array(0), { ...plain, compression: "gzip", level: 4 });
  expect(gunzipSync(bytes).length).toBe(0);
});

test("compress() fails with its source, and closes it when nobody reads on", async () => {
  let isClosed = false;
  async function* endless(failsAt: number): AsyncGenerator<Uint8Array, void> {
    try {
      for (let count = 0;; count++) {
        if (count === failsAt) throw new Error("the source failed");
        yield await Promise.resolve(new Uint8Array(1_000_000));
      }
    } finally {
      isClosed = true;
    }
  }
  const options = { compression: "gzip", level: 1, threads: 2 } as const;
  const failing = async (): Promise<void> => {
    for await (const _part of compress(endless(9), options)) { /* Until it fails. */ }
  };
  await expect(failing()).rejects.toThrow("the source failed");
  isClosed = false;
  for await (const part of compress(endless(-1), options)) if (part.length > 1_000) break;
  expect(isClosed).toBe(true);
});
