/** Archives that hold more than a worker's disk: each fails what needs it, and nothing else. */

import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { readdirSync, writeFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";

import { Manager } from "../../mod.ts";
import { rawTar } from "../shared/archive/raw_tar.ts";
import { rawZip } from "../shared/archive/raw_zip.ts";
import { Scratch } from "./scratch.ts";

const DISK = "64MB";
const PART_BYTES = 16 * 2 ** 20;
/** What the archives hold: 1 GiB. */
const PART_COUNT = 64;

/** A tar of a small file and a GiB of zeros, each part of it compressed by itself. */
function bomb(compress: (bytes: Uint8Array) => Uint8Array): Buffer {
  const before = rawTar({ name: "first", data: "1" }).subarray(0, 1_024);
  const header = rawTar({ name: "d/zeros", size: PART_COUNT * PART_BYTES }).subarray(0, 512);
  const part = compress(new Uint8Array(PART_BYTES));
  const parts = Array.from({ length: PART_COUNT }, () => part);
  const end = compress(new Uint8Array(1_024));
  return Buffer.concat([compress(Buffer.concat([before, header])), ...parts, end]);
}

/** A zip says beforehand what it holds. */
function zipBomb(): Uint8Array {
  return rawZip([{ name: "first", data: "1" }, {
    name: "d/zeros",
    data: new Uint8Array(128 * 2 ** 20),
    isDeflated: true,
  }]);
}

test(
  "An archive that holds more than a worker's disk is disk_full, and leaves nothing",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager, { args: ["--disk", DISK] });
    const bombs = { gzip: bomb(gzipSync), zstd: bomb(zstdCompressSync), zip: zipBomb() };
    for (const [name, bytes] of Object.entries(bombs)) {
      expect(bytes.length).toBeLessThan(2_000_000);
      writeFileSync(scratch.path(name), bytes);
      const archive = manager.file(scratch.path(name));
      for (const kind of ["unpack", "environment"] as const) {
        const tree = manager[kind](archive);
        const result = kind === "unpack"
          ? await manager.submit({ command: "true", inputs: { tree } })
          : await manager.submit({ command: "true", environment: tree });
        expect([name, kind, result.outcome, result.message]).toEqual([
          name,
          kind,
          "disk_full",
          expect.stringMatching(
            /Cannot read the archive: it holds more than \d+ bytes, in entry "d\/zeros": the disk has room for no more/,
          ),
        ]);
      }
    }
    const files = readdirSync(worker.workspace, { recursive: true, withFileTypes: true });
    expect(files.filter(({ name }) => ["first", "zeros", "d"].includes(name))).toEqual([]);
    const fitting = scratch.path("fitting");
    writeFileSync(fitting, gzipSync(rawTar({ name: "zeros", data: new Uint8Array(50_000_000) })));
    const tree = manager.unpack(manager.file(fitting));
    const next = await manager.submit({ command: "wc -c < tree/zeros", inputs: { tree } });
    expect([next.outcome, next.message, next.stdout.trim()]).toEqual(["success", "", "50000000"]);
    expect(worker.child.exitCode).toBe(null);
  },
  120_000,
);
