/**
 * The maps of sparse files in tar: old GNU headers, and the pax formats 0.0, 0.1 and 1.0.
 *
 * A map says which stretches of the file are in the archive; what is between them are holes. Source:
 * GNU tar manual, "Storing Sparse Files"; GNU tar 1.34, src/sparse.c.
 */

import { ArchiveError, quoteName } from "./archive_error.ts";
import type { Segment, SparseLayout } from "./member_writer.ts";
import { BLOCK_BYTES, decodeNumber } from "./tar_format.ts";

/** Stretches of one file. */
export const SEGMENTS_MAX: number = 100_000;
/** Bytes of each of the two numbers of a stretch in a header. */
const NUMBER_BYTES = 12;
const OLD_MAP_AT = 386;
const OLD_MAP_COUNT = 4;
const OLD_IS_EXTENDED_AT = 482;
const OLD_SIZE_AT = 483;
const EXTENSION_COUNT = 21;
const EXTENSION_IS_EXTENDED_AT = 504;

/** What pax records say about a sparse file. */
export interface PaxSparse {
  /** "1.0", or undefined for the formats before it. */
  readonly version?: string;
  /** The name of the file, where the header's own is a made-up one. */
  readonly name?: string;
  /** Length of the file with its holes. */
  readonly sizeBytes?: number;
  /** Offsets and lengths in turn; in format 1.0 they are in the data. */
  readonly numbers: readonly number[];
}

/** One block of an old GNU map. */
export interface OldMapPart {
  readonly segments: readonly Segment[];
  /** Another block follows. */
  readonly isExtended: boolean;
}

/** Reads the map in an old GNU header, and the length of the file with its holes. */
export function decodeOldMap(header: Uint8Array): OldMapPart & { readonly sizeBytes: number } {
  return {
    segments: decodeOldSegments(header, OLD_MAP_AT, OLD_MAP_COUNT),
    isExtended: (header[OLD_IS_EXTENDED_AT] ?? 0) !== 0,
    sizeBytes: decodeNumber(header, OLD_SIZE_AT, NUMBER_BYTES, "size"),
  };
}

/** Reads a block that goes on with the map of an old GNU header. */
export function decodeOldExtension(block: Uint8Array): OldMapPart {
  return {
    segments: decodeOldSegments(block, 0, EXTENSION_COUNT),
    isExtended: (block[EXTENSION_IS_EXTENDED_AT] ?? 0) !== 0,
  };
}

function decodeOldSegments(block: Uint8Array, at: number, count: number): Segment[] {
  const segments: Segment[] = [];
  for (let index = 0; index < count; index++) {
    const numberAt = at + index * 2 * NUMBER_BYTES;
    if (block[numberAt] === 0) break;
    segments.push({
      atByte: decodeNumber(block, numberAt, NUMBER_BYTES, "offset"),
      sizeBytes: decodeNumber(block, numberAt + NUMBER_BYTES, NUMBER_BYTES, "length"),
    });
  }
  return segments;
}

/** Notes one pax record of a sparse file, whose key is `GNU.sparse.` and `key`. */
export function withSparseRecord(
  before: PaxSparse | undefined,
  key: string,
  value: string,
): PaxSparse {
  const sparse = before ?? { numbers: [] };
  switch (key) {
    case "name":
      return { ...sparse, name: value };
    case "size":
    case "realsize":
      return { ...sparse, sizeBytes: wholeNumber(value) };
    case "major":
      return { ...sparse, version: `${value}.0` };
    case "minor":
      return { ...sparse, version: `${(sparse.version ?? "0").split(".")[0]}.${value}` };
    case "offset":
    case "numbytes": {
      // One record for each number, in turn; a copy of all before it for each would be quadratic.
      const numbers = sparse.numbers as number[];
      if (numbers.push(wholeNumber(value)) > 2 * SEGMENTS_MAX) throw tooManySegments();
      return sparse;
    }
    case "map":
      return { ...sparse, numbers: value.split(",").map(wholeNumber) };
    default:
      return sparse;
  }
}

/** Pairs offsets and lengths. */
export function pairNumbers(numbers: readonly number[]): Segment[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * SEGMENTS_MAX) throw tooManySegments();
  const segments: Segment[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    segments.push({ atByte: numbers[index] ?? 0, sizeBytes: numbers[index + 1] ?? 0 });
  }
  return segments;
}

/** Reads the map at the start of the data of format 1.0; `nextBlock` gives its blocks. */
export async function readDataMap(
  nextBlock: () => Promise<Uint8Array>,
): Promise<{ readonly segments: Segment[]; readonly readBytes: number }> {
  const numbers: number[] = [];
  let wanted: number | undefined;
  let digits = "";
  let readBytes = 0;
  while (wanted === undefined || numbers.length < wanted) {
    const block = await nextBlock();
    readBytes += BLOCK_BYTES;
    for (const byte of block) {
      if (wanted !== undefined && numbers.length === wanted) break;
      if (byte !== 0x0a) {
        digits += String.fromCharCode(byte);
        if (digits.length > 20) throw tooManySegments();
        continue;
      }
      const value = wholeNumber(digits);
      digits = "";
      if (wanted !== undefined) numbers.push(value);
      else if (value > SEGMENTS_MAX) throw tooManySegments();
      else wanted = 2 * value;
    }
  }
  return { segments: pairNumbers(numbers), readBytes };
}

/** Checks a map against the data that are there; what holds is in order and inside the file. */
export function checkLayout(name: string, layout: SparseLayout, dataBytes: number): SparseLayout {
  const fault = findLayoutFault(layout, dataBytes);
  if (fault === undefined) {
    return { ...layout, segments: layout.segments.filter(({ sizeBytes }) => sizeBytes > 0) };
  }
  const message = `Cannot unpack entry ${quoteName(name)} as a sparse file: ${fault}`;
  throw new ArchiveError(message, { entry: name });
}

function findLayoutFault(layout: SparseLayout, dataBytes: number): string | undefined {
  if (layout.segments.length > SEGMENTS_MAX) return `it has more than ${SEGMENTS_MAX} pieces`;
  let end = 0;
  let sumBytes = 0;
  for (const { atByte, sizeBytes } of layout.segments) {
    if (atByte < end || sizeBytes < 0) return "its pieces overlap or are out of order";
    end = atByte + sizeBytes;
    sumBytes += sizeBytes;
  }
  if (end > layout.sizeBytes) return "its pieces go beyond its end";
  if (sumBytes !== dataBytes) return `its pieces are ${sumBytes} bytes, its data ${dataBytes}`;
  return undefined;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new ArchiveError(
    `Cannot read ${JSON.stringify(text.slice(0, 40))} of a sparse map as a number: it is none`,
  );
}

/** Returns the failure of a map that cannot be read. */
export function tooManySegments(): ArchiveError {
  return new ArchiveError(
    `Cannot read a sparse map: it is broken, or has more than ${SEGMENTS_MAX} pieces`,
  );
}
