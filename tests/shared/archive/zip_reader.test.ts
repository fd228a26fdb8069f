import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { lstatSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { crc32, zstdCompressSync } from "node:zlib";

import { ArchiveError } from "../../../shared/archive/archive_error.ts";
import { unpackFile } from "../../../shared/archive/unpack.ts";
import type { UnpackOptions } from "../../../shared/archive/unpack.ts";
import { joinBytes, rawTar } from "./raw_tar.ts";
import type { RawEntry } from "./raw_tar.ts";
import { rawZip } from "./raw_zip.ts";
import type { RawZipEnd, RawZipEntry } from "./raw_zip.ts";
import { listTree, scratch } from "./scratch.ts";

async function unpacked(bytes: Uint8Array): Promise<string[]> {
  await using dir = await scratch();
  writeFileSync(`${dir.path}/a`, bytes);
  await unpackFile(`${dir.path}/a`, `${dir.path}/to`);
  return await listTree(`${dir.path}/to`);
}

/** Unpacks what must fail, checks that nothing is left and returns the error. */
async function refused(bytes: Uint8Array, options: UnpackOptions = {}): Promise<ArchiveError> {
  await using dir = await scratch();
  writeFileSync(`${dir.path}/a`, bytes);
  const error: unknown = await unpackFile(`${dir.path}/a`, `${dir.path}/to`, options)
    .then(() => "not refused", (cause: unknown) => cause);
  expect(error).toBeInstanceOf(ArchiveError);
  expect(await readdir(dir.path)).toEqual(["a"]);
  return error as ArchiveError;
}

const LONG = "0123456789".repeat(50_000);

test("unpackFile() unpacks a zip file with modes, links and what it has of directories", async () => {
  const bytes = rawZip([
    { name: "bin/", mode: 0o040750 },
    { name: "bin/run", mode: 0o100755, data: "run", isDeflated: true },
    { name: "setuid", mode: 0o104777 },
    { name: "link", mode: 0o120777, data: "bin/run" },
    { name: "no/parent", data: LONG, isDeflated: true },
    { name: "dos", mode: 0, system: 0, data: "d" },
    { name: "stored", data: LONG },
  ]);
  const shown = JSON.stringify(LONG.slice(0, 40));
  expect(await unpacked(bytes)).toEqual([
    "bin/",
    'bin/run 755 "run"',
    'dos 644 "d"',
    "link -> bin/run",
    "no/",
    `no/parent 644 ${shown}`,
    'setuid 755 ""',
    `stored 644 ${shown}`,
  ]);
  expect(await unpacked(rawZip([]))).toEqual([]);
});

test("unpackFile() takes for a file what zip packed from a pipe", async () => {
  const entry = { name: "-", mode: 0o010600 };
  expect(await unpacked(rawZip([{ ...entry, data: "1" }]))).toEqual(['- 600 "1"']);
  expect((await refused(rawZip([entry]))).message).toContain("it is a device or a pipe");
});

test("unpackFile() takes NULs behind a zip file, as bsdtar writes into a pipe", async () => {
  const bytes = rawZip([{ name: "a", data: "1" }]);
  expect(await unpacked(joinBytes([bytes, new Uint8Array(10_240)]))).toEqual(['a 644 "1"']);
  const error = await refused(joinBytes([bytes, new Uint8Array(9), Uint8Array.of(1)]));
  expect(error.message).toContain("it ends too soon");
});

test("unpackFile() reads the names of a zip file as they were meant", async () => {
  const cp437 = new Uint8Array([0x81, 0x62, 0x65, 0x72]);
  const old = new Uint8Array([0x8e]);
  const field = joinBytes([new Uint8Array(9), new TextEncoder().encode("Ωmega")]);
  const view = new DataView(field.buffer);
  view.setUint16(0, 0x7075, true);
  view.setUint16(2, field.length - 4, true);
  view.setUint8(4, 1);
  view.setUint32(5, crc32(old), true);
  const names = await unpacked(rawZip([
    { name: "flag é", flags: 0x800, system: 0 },
    { name: "unix é" },
    { name: cp437, system: 0 },
    { name: old, system: 0, extra: field },
  ]));
  expect(names.map((line) => line.split(" 644")[0])).toEqual([
    "flag é",
    "unix é",
    "über",
    "Ωmega",
  ]);
  const error = await refused(rawZip([{ name: new Uint8Array([0x61, 0xff]) }]));
  expect(error.message).toContain('"aÿ" as UTF-8');
});

test("unpackFile() takes the time of the extra field of a zip file before that of DOS", async () => {
  await using dir = await scratch();
  const extra = Buffer.from("5554050001000000005f5e1000", "hex").subarray(0, 9);
  extra.writeInt32LE(1_600_000_000, 5);
  writeFileSync(`${dir.path}/a`, rawZip([{ name: "new", extra }, { name: "old" }]));
  await unpackFile(`${dir.path}/a`, `${dir.path}/to`);
  expect(lstatSync(`${dir.path}/to/new`).mtime.getTime()).toBe(1_600_000_000_000);
  expect(lstatSync(`${dir.path}/to/old`).mtime.getTime()).toBe(new Date(2022, 0, 1).getTime());
});

interface Hostile {
  readonly entries: readonly RawZipEntry[];
  readonly end?: RawZipEnd;
  readonly says: string;
  /** Undefined where no entry is at fault. */
  readonly entry?: string;
}

const HOSTILE: Readonly<Record<string, Hostile>> = {
  "a parent part": { entries: [{ name: "../x" }], says: '".." part', entry: "../x" },
  "an absolute name": { entries: [{ name: "/x" }], says: "absolute", entry: "/x" },
  "a NUL in a name": { entries: [{ name: "a\0b" }], says: "NUL", entry: "a\0b" },
  "two entries of a name": {
    entries: [{ name: "x", data: "1" }, { name: "./x", data: "2" }],
    says: "two of that name",
    entry: "./x",
  },
  "entries at one place": {
    entries: [{ name: "a", data: "1" }, { name: "b", data: "1", atByte: 0 }],
    says: "overlaps with another",
    entry: "a",
  },
  "an entry inside another": {
    entries: [{ name: "a", data: LONG }, { name: "b", data: "1", atByte: 60 }],
    says: "overlaps with another",
    entry: "a",
  },
  "an entry where there is none": {
    entries: [{ name: "a", data: LONG }, { name: "b", packedBytes: 0, atByte: 500_000 }],
    says: "overlaps with another",
    entry: "a",
  },
  "another name in its own header": {
    entries: [{ name: "a", local: { name: "b" } }],
    says: "another name",
    entry: "a",
  },
  "another size in its own header": {
    entries: [{ name: "a", data: "12", local: { sizeBytes: 1 } }],
    says: "another size or checksum",
    entry: "a",
  },
  "another compression in its own header": {
    entries: [{ name: "a", data: "12", local: { method: 8 } }],
    says: "another compression",
    entry: "a",
  },
  "a wrong checksum": {
    entries: [{ name: "a", data: "12", crc: 1 }],
    says: "its checksum is wrong",
    entry: "a",
  },
  "a wrong checksum of a large entry": {
    entries: [{ name: "a", data: LONG, crc: 1, isDeflated: true }],
    says: "its checksum is wrong",
    entry: "a",
  },
  "more contents than stated": {
    entries: [{ name: "a", data: "1234", sizeBytes: 2, isDeflated: true }],
    says: "longer than 2 bytes",
    entry: "a",
  },
  "more contents than stated of a large entry": {
    entries: [{ name: "a", data: LONG, sizeBytes: 200_000, isDeflated: true }],
    says: "longer than 200000 bytes",
    entry: "a",
  },
  "less contents than stated": {
    entries: [{ name: "a", data: "1234", sizeBytes: 9, isDeflated: true }],
    says: "it has 4 bytes and should have 9",
    entry: "a",
  },
  "broken deflate": {
    entries: [{ name: "a", data: "\xff\xff\xff", method: 8 }],
    says: 'Cannot unpack entry "a"',
    entry: "a",
  },
  "an encrypted entry": {
    entries: [{ name: "a", flags: 1, data: "1" }],
    says: "encrypted",
    entry: "a",
  },
  "an unknown compression": {
    entries: [{ name: "a", method: 14, data: "1" }],
    says: "method 14",
    entry: "a",
  },
  "a device": { entries: [{ name: "a", mode: 0o020644 }], says: "a device", entry: "a" },
  "a pipe": { entries: [{ name: "a", mode: 0o010644 }], says: "a pipe", entry: "a" },
  "a directory with contents": {
    entries: [{ name: "a/", data: "1" }],
    says: "has contents",
    entry: "a/",
  },
  "a link out of the tree": {
    entries: [{ name: "l", mode: 0o120777, data: "../../x" }],
    says: "leaves the tree",
    entry: "l",
  },
  "a file through a link": {
    entries: [{ name: "l", mode: 0o120777, data: "d" }, { name: "d/x" }, { name: "l/y" }],
    says: "is a symbolic link",
    entry: "l/y",
  },
  "a link that is no text": {
    entries: [{ name: "l", mode: 0o120777, data: new Uint8Array([0xff]) }],
    says: "not UTF-8",
    entry: "l",
  },
  "a link of a megabyte": {
    entries: [{ name: "l", mode: 0o120777, data: LONG }],
    says: "longer than 4095",
    entry: "l",
  },
  "more entries than its directory": {
    entries: [{ name: "a" }],
    end: { entryCount: 2 },
    says: "holds 1 entries and not 2",
  },
  "fewer entries than its directory": {
    entries: [{ name: "a" }, { name: "b" }],
    end: { entryCount: 1 },
    says: "more than its entries",
  },
  "a directory elsewhere": {
    entries: [{ name: "a" }],
    end: { atByte: 1 },
    says: "not where it should be",
  },
  "something before its end": {
    entries: [{ name: "a" }],
    end: { before: new Uint8Array(9) },
    says: "not where it should be",
  },
  "a record of zip64 that is missing": {
    entries: [{ name: "a" }],
    end: { entryCount: 0xffff },
    says: "the record of zip64 is missing",
  },
};

for (const [name, { entries, end = {}, says, entry }] of Object.entries(HOSTILE)) {
  test(`unpackFile() refuses a zip file with ${name}, and leaves nothing`, async () => {
    const error = await refused(rawZip(entries, end));
    expect(error.message).toContain(says);
    expect(error.entry).toBe(entry);
  });
}

test("unpackFile() refuses a zip file that was cut off, anywhere", async () => {
  const bytes = rawZip([{ name: "a", data: "x".repeat(300) }, { name: "b", data: "y" }]);
  for (let length = 4; length < bytes.length; length += 7) {
    expect((await refused(bytes.slice(0, length))).message).toContain("ends too soon");
  }
});

test("unpackFile() holds its limits for zip files", async () => {
  const bytes = rawZip([{ name: "a", data: LONG, isDeflated: true }, { name: "b/c" }]);
  const limited = async (options: UnpackOptions) => (await refused(bytes, options)).message;
  expect(await limited({ entryCountMax: 1 })).toContain("more than 1 entries");
  expect(await limited({ bytesMax: 400_000 })).toContain("more than 400000 bytes");
  expect(await limited({ pathDepthMax: 1 })).toContain("deeper than 1 parts");
});

// Deno's zstd stops after the first frame, but these have one.
function conda(files: readonly RawEntry[], records: readonly RawEntry[]): RawZipEntry[] {
  return [
    { name: "metadata.json", data: '{"conda_pkg_format_version": 2}' },
    { name: "pkg-numpy-1.0-py3.tar.zst", data: zstdCompressSync(rawTar(...files)) },
    { name: "info-numpy-1.0-py3.tar.zst", data: zstdCompressSync(rawTar(...records)) },
  ];
}

test("unpackFile() unpacks both parts of a conda package into one tree", async () => {
  const files = [{ name: "lib/big", data: "x".repeat(300_000) }, { name: "bin/run", data: "r" }];
  const records = [{ name: "info/files", data: "bin/run" }];
  expect(await unpacked(rawZip(conda(files, records)))).toEqual([
    "bin/",
    'bin/run 644 "r"',
    "info/",
    'info/files 644 "bin/run"',
    "lib/",
    `lib/big 644 ${JSON.stringify("x".repeat(40))}`,
  ]);
  // With anything else in it, it is a zip file like any other.
  const more = [...conda(files, records), { name: "more" }];
  expect((await unpacked(rawZip(more)))[0]).toContain("info-numpy-1.0-py3.tar.zst 644");
});

test("unpackFile() refuses a conda package with a fault in either part", async () => {
  const escape = [{ name: "../x" }];
  const good = [{ name: "x", data: "1" }];
  expect((await refused(rawZip(conda(escape, good)))).entry).toBe("../x");
  expect((await refused(rawZip(conda(good, escape)))).entry).toBe("../x");
  const options = { bytesMax: 3_000 };
  const large = [{ name: "y", data: "1".repeat(2_000) }];
  expect((await refused(rawZip(conda(large, large)), options)).message).toContain("more than");
  const entries = conda(good, good).map((entry, index) =>
    index === 2 ? { ...entry, crc: 9 } : entry
  );
  expect((await refused(rawZip(entries))).message).toContain("its checksum is wrong");
});
