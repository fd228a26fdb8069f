import { expect, test } from "bun:test";

import {
  decodeHeader,
  decodeName,
  decodePax,
  encodedHeaderBytes,
  encodeHeader,
  isHeader,
  isZeroBlock,
  paddingBytes,
} from "../../../shared/archive/tar_format.ts";
import type { TarEntry } from "../../../shared/archive/tar_format.ts";
import { paxEntry, rawEntry } from "./raw_tar.ts";

const FILE: TarEntry = {
  kind: "file",
  path: "bin/run",
  isExecutable: true,
  sizeBytes: 5,
  mtimeMs: 1_700_000_000_000,
  target: "",
};

test("encodeHeader() writes one block for what ustar holds, and decodeHeader() reads it", () => {
  const bytes = encodeHeader(FILE);
  expect(bytes.length).toBe(512);
  const header = decodeHeader(bytes);
  expect(decodeName(header.nameBytes)).toBe("bin/run");
  expect(header.mode).toBe(0o755);
  expect(header.sizeBytes).toBe(5);
  expect(header.mtimeMs).toBe(1_700_000_000_000);
  expect(header.type).toBe("0");
});

test("encodeHeader() writes the bytes it always wrote", () => {
  const bytes = encodeHeader(FILE);
  const text = new TextDecoder().decode(bytes).replaceAll("\0", "~");
  expect(text.slice(0, 9)).toBe("bin/run~~");
  expect(text.slice(100, 157)).toBe(
    "0000755~0000000~0000000~00000000005~14524770400~007304~ 0",
  );
  expect(text.slice(257, 265)).toBe("ustar~00");
});

test("encodeHeader() puts a pax header in front of what ustar cannot hold", () => {
  const long = `${"d".repeat(60)}/${"é".repeat(60)}`;
  const cases: [TarEntry, ReturnType<typeof decodePax>][] = [
    [{ ...FILE, path: long }, { path: long }],
    [{ ...FILE, kind: "directory", path: "ü", sizeBytes: 0 }, { path: "ü/" }],
    [{ ...FILE, kind: "symlink", sizeBytes: 0, target: "t".repeat(101) }, {
      linkPath: "t".repeat(101),
    }],
    [{ ...FILE, sizeBytes: 2 ** 33 }, { sizeBytes: 2 ** 33 }],
    [{ ...FILE, mtimeMs: 1_700_000_000_001 }, { mtimeMs: 1_700_000_000_001 }],
    [{ ...FILE, mtimeMs: -1_500 }, { mtimeMs: -1_500 }],
    [{ ...FILE, mtimeMs: 2 ** 36 * 1000 }, { mtimeMs: 2 ** 36 * 1000 }],
  ];
  for (const [entry, records] of cases) {
    const bytes = encodeHeader(entry);
    expect(bytes.length % 512).toBe(0);
    const pax = decodeHeader(bytes.subarray(0, 512));
    expect(pax.type).toBe("x");
    expect(decodePax(bytes.subarray(512, 512 + pax.sizeBytes))).toEqual(records);
    expect(isHeader(bytes.subarray(bytes.length - 512))).toBe(true);
  }
});

test("encodeHeader() needs no pax header for 8 GiB less one byte", () => {
  expect(encodeHeader({ ...FILE, sizeBytes: 2 ** 33 - 1 }).length).toBe(512);
});

test("encodedHeaderBytes() is the length of encodeHeader() for records of every length", () => {
  for (let length = 1; length < 1_200; length++) {
    const entry = { ...FILE, path: "p".repeat(length) };
    const bytes = encodeHeader(entry);
    expect(encodedHeaderBytes(entry)).toBe(bytes.length);
    if (length <= 100) continue;
    const pax = decodeHeader(bytes.subarray(0, 512));
    expect(decodePax(bytes.subarray(512, 512 + pax.sizeBytes)).path).toBe(entry.path);
  }
});

test("decodeHeader() refuses a block whose checksum is wrong", () => {
  const block = rawEntry({});
  block[0] = 0x7a;
  expect(isHeader(block)).toBe(false);
  expect(() => decodeHeader(block)).toThrow("wrong checksum");
});

test("decodeHeader() reads a block wherever it lies in a Buffer", () => {
  const block = encodeHeader(FILE);
  for (let at = 0; at < 8; at++) {
    const bytes = Buffer.alloc(at + block.length);
    bytes.set(block, at);
    expect(decodeHeader(bytes.subarray(at)).sizeBytes).toBe(FILE.sizeBytes);
  }
});

test("decodeHeader() takes the signed checksum of old writers", () => {
  const block = rawEntry({ name: "é" });
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + (byte > 127 ? byte - 256 : byte), 0);
  block.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  expect(decodeName(decodeHeader(block).nameBytes)).toBe("é");
});

test("decodeHeader() reads numbers of base 256 and refuses negative sizes", () => {
  const large = new Uint8Array(12);
  large.set([0x80]);
  new DataView(large.buffer).setBigUint64(4, BigInt(2 ** 40));
  expect(decodeHeader(rawEntry({ size: large })).sizeBytes).toBe(2 ** 40);
  const minusTwo = new Uint8Array(12).fill(0xff);
  minusTwo[11] = 0xfe;
  expect(decodeHeader(rawEntry({ mtime: minusTwo })).mtimeMs).toBe(-2_000);
  expect(() => decodeHeader(rawEntry({ size: minusTwo }))).toThrow('as a tar number: "-2"');
  const huge = new Uint8Array(12).fill(0x7f);
  huge[0] = 0x80;
  expect(() => decodeHeader(rawEntry({ size: huge }))).toThrow("beyond 2^53");
});

test("decodeHeader() reads octal numbers between spaces and refuses other text", () => {
  expect(decodeHeader(rawEntry({ size: "        17 " })).sizeBytes).toBe(15);
  expect(decodeHeader(rawEntry({ size: "\0" })).sizeBytes).toBe(0);
  expect(() => decodeHeader(rawEntry({ size: "-0000000012" }))).toThrow("Cannot read the size");
  expect(() => decodeHeader(rawEntry({ size: "00000000019" }))).toThrow("Cannot read the size");
});

test("decodeHeader() joins the prefix of POSIX headers only", () => {
  const posix = decodeHeader(rawEntry({ name: "b", prefix: "a/long" }));
  expect(decodeName(posix.nameBytes)).toBe("a/long/b");
  const gnu = decodeHeader(rawEntry({ name: "b", prefix: "00000", magic: "ustar  \0" }));
  expect(decodeName(gnu.nameBytes)).toBe("b");
});

test("decodeName() refuses what is not UTF-8 and keeps a byte order mark", () => {
  expect(() => decodeName(new Uint8Array([0x61, 0xff]))).toThrow('name "aÿ" as UTF-8');
  expect(decodeName(new TextEncoder().encode("\ufeffa\0b"))).toBe("\ufeffa");
});

test("decodePax() strips NULs at the end, keeps what is inside for the path check", () => {
  const body = (records: Record<string, string>) => rawEntry(paxEntry(records)).subarray(512);
  expect(decodePax(body({ path: "a\0\0" }))).toEqual({ path: "a" });
  expect(decodePax(body({ path: "a\0b" }))).toEqual({ path: "a\0b" });
  expect(decodePax(body({ path: "" }))).toEqual({});
  expect(decodePax(body({ "GNU.sparse.major": "1" }))).toEqual({
    sparse: { numbers: [], version: "1.0" },
  });
  expect(decodePax(body({ comment: "x", mtime: "1.9999999999" }))).toEqual({ mtimeMs: 1999.999 });
});

test("decodePax() refuses negative sizes and records of a wrong length", () => {
  const body = (records: Record<string, string>) => rawEntry(paxEntry(records)).subarray(512);
  const text = (data: string) => new TextEncoder().encode(data);
  expect(() => decodePax(body({ size: "-1" }))).toThrow('tar number: "-1"');
  expect(() => decodePax(body({ size: "1e3" }))).toThrow("tar number");
  expect(() => decodePax(body({ size: "9007199254740993" }))).toThrow("tar number");
  expect(() => decodePax(body({ mtime: "soon" }))).toThrow("mtime");
  for (const bad of ["99 path=a\n", "x path=a\n", "0 path=a\n", "9 path=ab", "5 ab\n", "4   \n"]) {
    expect(() => decodePax(text(bad))).toThrow("Cannot read a pax header");
  }
});

test("isZeroBlock() and paddingBytes() know blocks", () => {
  expect(isZeroBlock(new Uint8Array(512))).toBe(true);
  expect(isZeroBlock(rawEntry({}))).toBe(false);
  expect([0, 1, 511, 512, 513].map(paddingBytes)).toEqual([0, 511, 1, 0, 511]);
});
