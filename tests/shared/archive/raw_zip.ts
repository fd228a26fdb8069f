/** Zip files made field by field: what no honest writer writes. */

import { crc32, deflateRawSync } from "node:zlib";

import { joinBytes } from "./raw_tar.ts";

/** An entry; what is left out is that of an honest one, stored, made on Unix. */
export interface RawZipEntry {
  readonly name?: string | Uint8Array;
  readonly data?: string | Uint8Array;
  readonly isDeflated?: boolean;
  readonly method?: number;
  readonly flags?: number;
  readonly mode?: number;
  readonly system?: number;
  readonly crc?: number;
  readonly sizeBytes?: number;
  readonly packedBytes?: number;
  readonly extra?: Uint8Array;
  /** Fields of the local header that differ from those of the directory. */
  readonly local?: Omit<RawZipEntry, "local" | "data">;
  /** Where the directory says that it begins. */
  readonly atByte?: number;
}

/** Fields of the end record, and bytes around it. */
export interface RawZipEnd {
  readonly entryCount?: number;
  readonly sizeBytes?: number;
  readonly atByte?: number;
  readonly before?: Uint8Array;
}

const encoder = new TextEncoder();

/** Returns the zip file of `entries`. */
export function rawZip(entries: readonly RawZipEntry[], end: RawZipEnd = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const entry of entries) {
    const local = localPart(entry);
    directory.push(centralHeader(entry, at));
    parts.push(local);
    at += local.length;
  }
  const central = joinBytes(directory);
  const before = end.before ?? new Uint8Array(0);
  const record = new Uint8Array(22);
  const view = new DataView(record.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(8, end.entryCount ?? entries.length, true);
  view.setUint16(10, end.entryCount ?? entries.length, true);
  view.setUint32(12, end.sizeBytes ?? central.length, true);
  view.setUint32(16, end.atByte ?? at, true);
  return joinBytes([...parts, central, before, record]);
}

function packedOf(entry: RawZipEntry): Uint8Array {
  const data = bytesOf(entry.data ?? "");
  return entry.isDeflated === true ? deflateRawSync(data) : data;
}

function setCommon(view: DataView, at: number, entry: RawZipEntry, own: RawZipEntry): void {
  const data = bytesOf(entry.data ?? "");
  view.setUint16(at, own.flags ?? entry.flags ?? 0, true);
  const method = own.method ?? entry.method;
  view.setUint16(at + 2, method ?? (entry.isDeflated === true ? 8 : 0), true);
  view.setUint32(at + 4, 0x5421_0000, true);
  view.setUint32(at + 8, own.crc ?? entry.crc ?? crc32(data), true);
  view.setUint32(at + 12, own.packedBytes ?? entry.packedBytes ?? packedOf(entry).length, true);
  view.setUint32(at + 16, own.sizeBytes ?? entry.sizeBytes ?? data.length, true);
  view.setUint16(at + 20, bytesOf(own.name ?? entry.name ?? "file").length, true);
  view.setUint16(at + 22, (own.extra ?? entry.extra)?.length ?? 0, true);
}

function localPart(entry: RawZipEntry): Uint8Array {
  const own = entry.local ?? {};
  const header = new Uint8Array(30);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0x04034b50, true);
  setCommon(view, 6, entry, own);
  const extra = own.extra ?? entry.extra ?? new Uint8Array(0);
  return joinBytes([header, bytesOf(own.name ?? entry.name ?? "file"), extra, packedOf(entry)]);
}

function centralHeader(entry: RawZipEntry, at: number): Uint8Array {
  const header = new Uint8Array(46);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0x02014b50, true);
  view.setUint8(5, entry.system ?? 3);
  setCommon(view, 8, entry, {});
  view.setUint32(38, (entry.mode ?? 0o100644) * 0x10000, true);
  view.setUint32(42, entry.atByte ?? at, true);
  return joinBytes([header, bytesOf(entry.name ?? "file"), entry.extra ?? new Uint8Array(0)]);
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? encoder.encode(text) : text;
}
