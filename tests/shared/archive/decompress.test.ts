import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { constants, crc32, gzipSync, zstdCompressSync } from "node:zlib";

import { ArchiveError } from "../../../shared/archive/archive_error.ts";
import { COMPRESSIONS } from "../../../shared/archive/decompress.ts";
import { inPieces, joinBytes } from "./raw_tar.ts";

/** What no compression makes small, of several blocks of bzip2 and buffers of each decoder. */
const CONTENT = Buffer.concat(
  Array.from({ length: 40_000 }, (_, index) => Buffer.from(`${index * 7_919} of ${index}\n`)),
);

function python(module: "bz2" | "lzma", bytes: Uint8Array, options = ""): Uint8Array {
  const program = `import sys, ${module}
sys.stdout.buffer.write(${module}.compress(sys.stdin.buffer.read()${options}))`;
  return execFileSync("python3", ["-c", program], { input: bytes, maxBuffer: 2 ** 26 });
}

function zstd(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
}

const COMPRESSORS: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  gzip: (bytes) => gzipSync(bytes),
  zstd,
  bzip2: (bytes) => python("bz2", bytes, ", 1"),
  xz: (bytes) => python("lzma", bytes),
};

/** The decoder that the start of `bytes` tells. */
async function decoded(bytes: Uint8Array, pieceBytes?: number): Promise<Uint8Array> {
  const compression = COMPRESSIONS.find(({ isStart }) => isStart(bytes.subarray(0, 512)));
  if (compression === undefined) throw new Error("no compression");
  const parts: Uint8Array[] = [];
  for await (const part of compression.decode(inPieces(bytes, pieceBytes))) parts.push(part);
  return joinBytes(parts);
}

async function fault(bytes: Uint8Array): Promise<string> {
  const error: unknown = await decoded(bytes).then(() => "none", (cause: unknown) => cause);
  return error instanceof ArchiveError ? error.message : `not refused: ${error}`;
}

// Its stream ends after the first frame, and no worker runs on it.
const isDeno = "Deno" in globalThis;

for (const [name, compress] of Object.entries(COMPRESSORS)) {
  const runs = name === "zstd" && isDeno ? test.skip : test;

  runs(
    `COMPRESSIONS decode ${name} of one and of many streams, in pieces of any size`,
    async () => {
      const one = compress(CONTENT);
      expect(Buffer.compare(await decoded(one), CONTENT)).toBe(0);
      const many = joinBytes([
        compress(CONTENT.subarray(0, 100_000)),
        compress(CONTENT.subarray(0, 0)),
        compress(CONTENT.subarray(100_000)),
      ]);
      for (const pieceBytes of [997, 70_000, many.length]) {
        expect(Buffer.compare(await decoded(many, pieceBytes), CONTENT)).toBe(0);
      }
    },
  );

  runs(`COMPRESSIONS refuse ${name} that was cut off, anywhere in its last stream`, async () => {
    const [first, last] = [compress(CONTENT.subarray(0, 5_000)), compress(CONTENT)];
    const bytes = joinBytes([first, last]);
    const steps = [3, 5, 9, 13, 100, last.length >> 1, last.length - 9, last.length - 1];
    for (const length of steps) {
      const found = await fault(bytes.subarray(0, first.length + length));
      expect(found).toContain(`Cannot decompress the archive as ${name}: `);
    }
  });

  runs(`COMPRESSIONS refuse ${name} of which a bit was changed`, async () => {
    const bytes = compress(CONTENT.subarray(0, 50_000));
    const offset = name === "gzip" ? 10 : 8;
    for (let index = 0; index < 60; index++) {
      const changed = Buffer.from(bytes);
      const at = offset + Math.floor((bytes.length - offset) * index / 60);
      changed[at] = (changed[at] ?? 0) ^ (1 << (index % 8));
      const result = await decoded(changed).catch((error: unknown) => error);
      // A bit that means nothing may change; what is decoded may not.
      if (result instanceof ArchiveError) continue;
      expect(Buffer.compare(result as Uint8Array, CONTENT.subarray(0, 50_000))).toBe(0);
    }
  });

  runs(`COMPRESSIONS refuse what follows ${name} that is none`, async () => {
    const bytes = joinBytes([compress(CONTENT), Buffer.from("and something else")]);
    expect(await fault(bytes)).toContain(`Cannot decompress the archive as ${name}: `);
  });
}

const runsZstd = isDeno ? test.skip : test;
runsZstd("COMPRESSIONS pass over skippable frames of zstd", async () => {
  const skipped = Buffer.from("502a4d1804000000aabbccdd", "hex");
  const bytes = joinBytes([skipped, zstd(CONTENT.subarray(0, 9)), skipped, skipped]);
  expect(await decoded(bytes, 5)).toEqual(new Uint8Array(CONTENT.subarray(0, 9)));
  expect(await fault(bytes.subarray(0, bytes.length - 1))).toContain("as zstd: it ends too soon");
});

test("COMPRESSIONS refuse bzip2 whose blocks are right and whose end is not", async () => {
  const bytes = Buffer.from(COMPRESSORS["bzip2"]?.(CONTENT) ?? []);
  bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 1;
  expect(await fault(bytes)).toContain("as bzip2: wrong checksum");
});

test("COMPRESSIONS take gzip and xz with the padding that their formats allow", async () => {
  const padded = joinBytes([gzipSync(CONTENT), new Uint8Array(1_000)]);
  expect((await decoded(padded)).length).toBe(CONTENT.length);
  const xz = python("lzma", CONTENT);
  const both = joinBytes([xz, new Uint8Array(8), xz]);
  expect((await decoded(both)).length).toBe(2 * CONTENT.length);
});

/** What is stored as it is, so that nothing but a check can tell a change. */
const RANDOM = Buffer.concat(
  Array.from({ length: 6_000 }, (_, index) => createHash("sha256").update(`${index}`).digest()),
);

const XZ_CHECKS = ["NONE", "CRC32", "CRC64", "SHA256"];

function xz(check: string, bytes: Uint8Array, ...options: string[]): Uint8Array {
  const args = ["-c", `--check=${check.toLowerCase()}`, ...options];
  return execFileSync("xz", args, { input: bytes, maxBuffer: 2 ** 26 });
}

test.each(XZ_CHECKS)(
  "COMPRESSIONS decode xz with check %s: blocks, streams, padding",
  async (check) => {
    const content = CONTENT.subarray(0, 250_000);
    const one = xz(check, content);
    expect(Buffer.compare(await decoded(one), content)).toBe(0);
    // Of many blocks with sizes in their headers, and without.
    const many = xz(check, content, "-T2", "--block-size=100000");
    for (const pieceBytes of [99, 70_000]) {
      expect(Buffer.compare(await decoded(many, pieceBytes), content)).toBe(0);
    }
    const flushed = xz(check, content, "-T1", "--block-size=50000", "-9");
    expect(Buffer.compare(await decoded(flushed), content)).toBe(0);
    const other = xz(XZ_CHECKS[(XZ_CHECKS.indexOf(check) + 1) % 4] ?? "", RANDOM);
    const empty = xz(check, new Uint8Array(0));
    const joined = joinBytes([
      empty,
      many,
      new Uint8Array(8),
      other,
      one,
      empty,
      new Uint8Array(4),
    ]);
    const expected = Buffer.concat([content, RANDOM, content]);
    expect(Buffer.compare(await decoded(joined, 33_333), expected)).toBe(0);
    expect((await decoded(empty)).length).toBe(0);
  },
);

test.each(XZ_CHECKS)(
  "COMPRESSIONS refuse xz with check %s that was changed anywhere",
  async (check) => {
    const content = CONTENT.subarray(0, 20_000);
    const bytes = xz(check, content, "-T2", "--block-size=7000");
    expect(Buffer.compare(await decoded(bytes), content)).toBe(0);
    for (let index = 0; index < 150; index++) {
      const changed = Buffer.from(bytes);
      const at = 6 + Math.floor((bytes.length - 6) * index / 150);
      changed[at] = (changed[at] ?? 0) ^ (1 << (index % 8));
      expect([at, await fault(changed)])
        .toEqual([at, expect.stringContaining("Cannot decompress the archive as xz: ")]);
    }
    for (let length = bytes.length - 60; length < bytes.length; length++) {
      expect([length, await fault(bytes.subarray(0, length))])
        .toEqual([length, expect.stringContaining("Cannot decompress the archive as xz: ")]);
    }
  },
);

test("COMPRESSIONS refuse xz of which only the SHA-256 is wrong", async () => {
  const bytes = Buffer.from(xz("SHA256", RANDOM));
  const at = bytes.indexOf(RANDOM.subarray(1_000, 1_100));
  expect(at).toBeGreaterThan(0);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  expect(await fault(bytes)).toBe("Cannot decompress the archive as xz: wrong checksum");
});

test("COMPRESSIONS say of xz that it has a filter that is not known", async () => {
  for (const check of ["CRC64", "SHA256"]) {
    expect(await fault(xz(check, CONTENT, "--x86", "--lzma2=preset=1")))
      .toBe("Cannot decompress the archive as xz: it has a filter other than LZMA2");
  }
});

test("COMPRESSIONS refuse xz with a check of an unknown kind", async () => {
  const bytes = Buffer.from(xz("NONE", CONTENT));
  bytes[7] = 2;
  bytes.writeUInt32LE(crc32(bytes.subarray(6, 8)), 8);
  expect(await fault(bytes)).toContain("Cannot decompress the archive as xz: ");
});

test.each(["CRC64", "SHA256"])(
  "COMPRESSIONS read no index of xz with check %s that is longer than its blocks",
  async (check) => {
    const bytes = Buffer.from(xz(check, CONTENT));
    // Written before the last 12 bytes, which state its length in words, less one.
    const indexBytes = 4 * (bytes.readUInt32LE(bytes.length - 8) + 1);
    bytes[bytes.length - 12 - indexBytes + 1] = 0x7f;
    expect(await fault(bytes))
      .toBe("Cannot decompress the archive as xz: its index is not that of its blocks");
  },
);
