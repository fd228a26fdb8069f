/**
 * An environment as a tar stream that can be unpacked anywhere.
 *
 * The path at which it lies is replaced by placeholders, of which `bin/conda-unpack`, the last
 * entry, keeps a record each. The same environment gives the same bytes, and so the same name in
 * every cache.
 */

import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";

import { quoteName } from "../../shared/archive/archive_error.ts";
import { openEntry, readEntryBytes } from "../../shared/archive/pack.ts";
import { type PrefixRecord, RECORDS_PATH } from "../../shared/archive/prefix_records.ts";
import {
  encodeHeader,
  END_BYTES,
  paddingBytes,
  type TarEntry,
} from "../../shared/archive/tar_format.ts";
import { mapInOrder } from "../../shared/bounded.ts";
import type { Environment } from "./environment.ts";
import type { PackedEntry } from "./packed_entry.ts";
import { findPrefixes, PLACEHOLDER, withPlaceholder, withPlaceholderInBinary } from "./prefix.ts";
import { unpackScript } from "./unpack_script.ts";

/** Files up to this size are read ahead, many at a time; a larger one part by part, in its turn. */
const SMALL_FILE_BYTES = 1024 * 1024;
/** Files read ahead. */
const READS_MAX = 16;
/** Parts of a larger file. */
const PART_BYTES = 1024 * 1024;
/** A file with the path in it is held as a whole; the largest libraries have some 500 MB. */
const REWRITTEN_BYTES_MAX = 1024 ** 3;

/** How far a packing is. */
export interface PackProgress {
  entryCount: number;
  /** Of the contents read. */
  contentBytes: number;
  /** Files to be relocated where they are unpacked. */
  recordCount: number;
}

/** How to pack. */
export interface PackOptions {
  /** Counted up while the stream is read. */
  readonly progress: PackProgress;
  /** Told of files that will keep the path at which they lie now. */
  readonly warn: (message: string) => void;
}

interface Packing extends PackOptions {
  readonly environment: Environment;
  readonly prefixBytes: readonly Buffer[];
  readonly records: PrefixRecord[];
  /** {path: record} of the files that have other names. */
  readonly recordsByPath: Map<string, PrefixRecord>;
}

/**
 * Yields the tar stream of `environment`; a chunk may change once the next one is asked for.
 *
 * Throws `ArchiveError` naming the file when one is not as it was when the environment was read.
 */
export async function* packEnvironment(
  environment: Environment,
  options: PackOptions,
): AsyncGenerator<Uint8Array, void> {
  const prefixBytes = environment.prefixes.map((prefix) => Buffer.from(prefix));
  const packing = { ...options, environment, prefixBytes, records: [], recordsByPath: new Map() };
  const { entries } = environment;
  const ahead = mapInOrder(entries, READS_MAX, async (entry) => {
    return { entry, bytes: await readSmall(packing, entry) };
  });
  for await (const { entry, bytes } of ahead) {
    if (entry.sameAs !== undefined) yield linkHeader(packing, entry, entry.sameAs);
    else if (entry.kind !== "file") yield encodeHeader(entry);
    else if (bytes !== undefined) yield* wholeFile(packing, entry, bytes);
    else yield* largeFile(packing, entry);
    options.progress.entryCount += 1;
    options.progress.contentBytes += entry.sizeBytes;
  }
  if (environment.kind !== "plain") yield* script(packing);
  yield Buffer.alloc(END_BYTES);
}

async function readSmall({ environment }: Packing, entry: PackedEntry) {
  const isRead = entry.kind === "file" && entry.sameAs === undefined;
  if (!isRead || entry.sizeBytes > SMALL_FILE_BYTES) return undefined;
  const file = await openEntry(environment.root, entry);
  try {
    return await readWhole(entry, file);
  } finally {
    await file.close();
  }
}

async function readWhole(entry: PackedEntry, file: FileHandle): Promise<Buffer> {
  const into = Buffer.allocUnsafeSlow(entry.sizeBytes);
  await readEntryBytes(entry, { file, fileAtByte: 0, into });
  return into;
}

function* wholeFile(
  packing: Packing,
  entry: PackedEntry,
  bytes: Buffer,
): Generator<Uint8Array, void> {
  const relocatable = relocatableBytes(packing, entry.path, bytes);
  const sizeBytes = relocatable.length;
  yield encodeHeader({ ...entry, sizeBytes });
  yield relocatable;
  yield Buffer.alloc(paddingBytes(sizeBytes));
}

async function* largeFile(
  packing: Packing,
  entry: PackedEntry,
): AsyncGenerator<Uint8Array, void> {
  const file = await openEntry(packing.environment.root, entry);
  try {
    if (await isToBeRewritten(packing, { entry, file })) {
      return yield* wholeFile(packing, entry, await readWhole(entry, file));
    }
    yield encodeHeader(entry);
    for await (const { bytes } of partsOf(entry, file)) yield bytes;
    yield Buffer.alloc(paddingBytes(entry.sizeBytes));
  } finally {
    await file.close();
  }
}

/** Whether there is anything in a large file that makes holding it worth while. */
async function isToBeRewritten(
  { environment, prefixBytes, warn }: Packing,
  { entry, file }: { readonly entry: PackedEntry; readonly file: FileHandle },
): Promise<boolean> {
  if (environment.kind === "plain" || entry.path.endsWith(".pyc")) return false;
  let isFound = environment.conda?.written.has(entry.path) ?? false;
  const longest = Math.max(...prefixBytes.map(({ length }) => length));
  // A path may begin in one part and end in the next.
  let before = Buffer.alloc(0);
  for await (const { bytes } of partsOf(entry, file)) {
    if (isFound) break;
    const seam = Buffer.concat([before, bytes.subarray(0, longest)]);
    isFound = prefixBytes.some((prefix) => bytes.includes(prefix) || seam.includes(prefix));
    before = Buffer.from(bytes.subarray(-longest));
  }
  if (!isFound || entry.sizeBytes <= REWRITTEN_BYTES_MAX) return isFound;
  const name = quoteName(entry.path);
  warn(`${name} keeps the path at which it lies now: it has over ${REWRITTEN_BYTES_MAX} bytes`);
  return false;
}

/** The contents of a file in parts, each in the place of the one before. */
async function* partsOf(
  entry: PackedEntry,
  file: FileHandle,
): AsyncGenerator<{ readonly bytes: Buffer }, void> {
  const part = Buffer.allocUnsafeSlow(PART_BYTES);
  for (let fileAtByte = 0; fileAtByte < entry.sizeBytes; fileAtByte += PART_BYTES) {
    const into = part.subarray(0, Math.min(PART_BYTES, entry.sizeBytes - fileAtByte));
    await readEntryBytes(entry, { file, fileAtByte, into });
    yield { bytes: into };
  }
}

/** The contents of a file with placeholders for the path; makes a record when there are any. */
function relocatableBytes(packing: Packing, path: string, bytes: Buffer): Buffer {
  const { environment, prefixBytes, warn } = packing;
  if (environment.kind === "plain") return bytes;
  const written = environment.conda?.written.get(path);
  // Compiled Python keeps the path for messages only, sets it right itself, and has no NULs to move.
  if (written === undefined && path.endsWith(".pyc")) return bytes;
  const { placeholder = PLACEHOLDER } = written ?? {};
  const matches = findPrefixes(bytes, prefixBytes);
  if (matches.length === 0) {
    // A package unpacked and never installed has its placeholder still.
    if (written !== undefined && bytes.includes(placeholder)) {
      addRecord(packing, { path, ...written });
    }
    return bytes;
  }
  const mode = written?.mode ?? (bytes.includes(0) ? "binary" : "text");
  if (mode === "text") {
    addRecord(packing, { path, placeholder, mode });
    return withPlaceholder(bytes, matches, placeholder);
  }
  const replaced = withPlaceholderInBinary(bytes, matches, placeholder);
  if (replaced.leftCount > 0) {
    const found = `a program with no room for another in ${replaced.leftCount} places`;
    warn(`${quoteName(path)} keeps the path at which it lies now: it is ${found}`);
  }
  if (replaced.replacedCount > 0) addRecord(packing, { path, placeholder, mode });
  return replaced.bytes;
}

function addRecord({ records, recordsByPath, progress }: Packing, record: PrefixRecord): void {
  records.push(record);
  recordsByPath.set(record.path, record);
  progress.recordCount += 1;
}

/** Every name of a file is relocated: whether names stay one file is up to whoever does it. */
function linkHeader(packing: Packing, entry: PackedEntry, sameAs: string): Uint8Array {
  const record = packing.recordsByPath.get(sameAs);
  if (record !== undefined) addRecord(packing, { ...record, path: entry.path });
  const link: TarEntry = { ...entry, kind: "hard_link", sizeBytes: 0, target: sameAs };
  return encodeHeader(link);
}

function* script({ records, environment }: Packing): Generator<Uint8Array, void> {
  const bytes = Buffer.from(unpackScript(records));
  const lastMs = environment.entries.reduce((ms, entry) => Math.max(ms, entry.mtimeMs), 0);
  yield encodeHeader({
    kind: "file",
    path: RECORDS_PATH,
    isExecutable: true,
    sizeBytes: bytes.length,
    // Not now: an environment packed again is the same archive.
    mtimeMs: Math.floor(lastMs / 1000) * 1000,
    target: "",
  });
  yield bytes;
  yield Buffer.alloc(paddingBytes(bytes.length));
}
