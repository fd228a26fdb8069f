/**
 * The members of a tar stream, one after the other, with long names and pax records applied.
 *
 * What is handed out is checked for shape and limits, not yet for what it would do on a disk.
 */

import { unreachable } from "../assert.ts";
import { ArchiveError } from "./archive_error.ts";
import type { ByteReader } from "./byte_reader.ts";
import { checkLinkedPath, checkPath, checkTarget, unfit } from "./member.ts";
import type { Member, MemberLimits, MemberReader } from "./member.ts";
import type { SparseLayout } from "./member_writer.ts";
import {
  BLOCK_BYTES,
  decodeHeader,
  decodeName,
  decodePax,
  isHeader,
  isZeroBlock,
  paddingBytes,
  TYPE_AT,
} from "./tar_format.ts";
import type { PaxRecords, TarHeader } from "./tar_format.ts";
import {
  checkLayout,
  decodeOldExtension,
  decodeOldMap,
  pairNumbers,
  readDataMap,
  SEGMENTS_MAX,
  tooManySegments,
} from "./tar_sparse.ts";
import type { OldMapPart, PaxSparse } from "./tar_sparse.ts";

/** Type flags of POSIX. */
const FILE = 0x30;
const DIRECTORY = 0x35;
/** Bytes of a pax header or a long name; real ones have some hundred. */
const META_BYTES_MAX = 1024 * 1024;
/** What the headers before a member said about it. */
interface Overrides {
  readonly longName?: Uint8Array;
  readonly longLink?: Uint8Array;
  readonly pax?: PaxRecords;
}

/** What a link is made of. */
interface LinkEntry {
  readonly header: TarHeader;
  readonly type: "symlink" | "hard_link";
  readonly overrides: Overrides;
}

/** Says something about the next entry, or about all. */
type MetaType = "pax" | "pax_global" | "long_name" | "long_link";
/** Stands for something in the tree; some of it is refused. */
type EntryType =
  | "file"
  | "directory"
  | "symlink"
  | "hard_link"
  | "device"
  | "sparse"
  | "volume_part";

/** Type flags of POSIX and GNU: "X" is the pax header of old Solaris, "D" a directory with a list. */
const ENTRY_TYPES: ReadonlyMap<string, EntryType> = new Map([
  ["0", "file"],
  ["7", "file"],
  ["1", "hard_link"],
  ["2", "symlink"],
  ["3", "device"],
  ["4", "device"],
  ["6", "device"],
  ["5", "directory"],
  ["D", "directory"],
  ["S", "sparse"],
  ["M", "volume_part"],
]);
const META_TYPES: ReadonlyMap<string, MetaType> = new Map([
  ["x", "pax"],
  ["X", "pax"],
  ["g", "pax_global"],
  ["L", "long_name"],
  ["K", "long_link"],
]);

/** Reads the members of one tar stream; the data of a file are read before the next member is. */
export class TarReader implements MemberReader {
  readonly #bytes: ByteReader;
  readonly #limits: MemberLimits;
  #globals: PaxRecords = {};
  /** The block of the header being read, for what only some types have in it. */
  #block: Uint8Array = new Uint8Array(0);
  /** A header that was read to see what follows a link. */
  #nextBlock: Uint8Array | undefined;
  #dataLeftBytes = 0;
  #paddingBytes = 0;
  #entryCount = 0;

  constructor(bytes: ByteReader, limits: MemberLimits) {
    this.#bytes = bytes;
    this.#limits = limits;
  }

  /** Returns the next member, or undefined after the last. */
  next(): Member | undefined | Promise<Member | undefined> {
    // Most members are a header and nothing before it, which is here: a promise would be felt.
    const leftBytes = this.#dataLeftBytes + this.#paddingBytes;
    const block = this.#bytes.peekNow(leftBytes, BLOCK_BYTES);
    if (this.#nextBlock !== undefined || block === undefined || !isPlain(block)) {
      return this.#nextOfAny();
    }
    this.#bytes.skipNow(leftBytes + BLOCK_BYTES);
    const header = decodeHeader(block);
    this.#beginEntry(header.sizeBytes);
    return this.#member(header, header.type === "0" ? "file" : "directory", {});
  }

  async #nextOfAny(): Promise<Member | undefined> {
    let overrides: Overrides = {};
    for (;;) {
      const leftBytes = this.#dataLeftBytes + this.#paddingBytes;
      if (leftBytes > 0 && !this.#bytes.skipNow(leftBytes)) await this.#skipData(leftBytes);
      const block = this.#nextBlock ?? this.#bytes.takeNow(BLOCK_BYTES) ??
        await this.#take(BLOCK_BYTES);
      this.#nextBlock = undefined;
      // Some writers leave out the second zero block, so the first is the end; no end is a cut-off.
      if (isZeroBlock(block)) return undefined;
      this.#block = block;
      const header = decodeHeader(block);
      const metaType = META_TYPES.get(header.type);
      if (metaType !== undefined) {
        overrides = await this.#override(header, metaType, overrides);
        continue;
      }
      this.#beginEntry(overrides.pax?.sizeBytes ?? header.sizeBytes);
      const type = ENTRY_TYPES.get(header.type);
      if (type !== undefined) return await this.#member(header, type, overrides);
      // What an unknown type means is not known, but its size is: it is passed over.
      overrides = {};
    }
  }

  #beginEntry(sizeBytes: number): void {
    if (++this.#entryCount > this.#limits.entryCountMax) {
      const entryCountMax = this.#limits.entryCountMax;
      throw new ArchiveError(`Cannot unpack more than ${entryCountMax} entries: there are more`);
    }
    this.#expectData(sizeBytes);
  }

  /** Returns all data of the file just returned; its size bounds the memory this takes. */
  data(): Uint8Array | Promise<Uint8Array> {
    const length = this.#dataLeftBytes;
    this.#dataLeftBytes = 0;
    return this.#bytes.takeNow(length) ?? this.#take(length);
  }

  /** Returns some of the data left of the file just returned, undefined when none is. */
  async someData(): Promise<Uint8Array | undefined> {
    if (this.#dataLeftBytes === 0) return undefined;
    const part = await this.#bytes.takeSome(this.#dataLeftBytes);
    if (part === undefined) throw truncated();
    this.#dataLeftBytes -= part.length;
    return part;
  }

  /** Reads what follows the last member, so that a checksum at the end of the stream is verified. */
  async drain(): Promise<void> {
    while (await this.#bytes.takeSome(Number.MAX_SAFE_INTEGER) !== undefined);
  }

  /** Closes the source of the stream. */
  async close(): Promise<void> {
    await this.#bytes.close();
  }

  /** Reads what a header says about the entries after it. */
  async #override(header: TarHeader, type: MetaType, before: Overrides): Promise<Overrides> {
    this.#expectData(header.sizeBytes);
    if (header.sizeBytes > META_BYTES_MAX) {
      throw new ArchiveError(
        `Cannot read a header of the archive: it has more than ${META_BYTES_MAX} bytes`,
      );
    }
    const body = await this.data();
    switch (type) {
      case "pax":
        return { ...before, pax: { ...before.pax, ...decodePax(body) } };
      case "pax_global":
        this.#globals = { ...this.#globals, ...checkGlobals(decodePax(body)) };
        return before;
      case "long_name":
        return { ...before, longName: body.slice() };
      case "long_link":
        return { ...before, longLink: body.slice() };
      default:
        return unreachable(type);
    }
  }

  #member(
    header: TarHeader,
    type: EntryType,
    overrides: Overrides,
  ): Member | Promise<Member> {
    const name = nameOf(header, overrides);
    const path = checkPath(name, this.#limits);
    const pax = overrides.pax;
    const mtimeMs = pax?.mtimeMs ?? this.#globals.mtimeMs ?? header.mtimeMs;
    const base = { path, mode: header.mode, mtimeMs };
    if (type === "sparse" || (type === "file" && pax?.sparse !== undefined)) {
      return this.#sparse(name, pax).then((sparse) => ({ ...base, kind: "file", ...sparse }));
    }
    if (type === "device") throw unfit(name, "a file", "it is a device or a pipe");
    if (type === "volume_part") throw unfit(name, "a file", "it began in another archive");
    // Before POSIX a directory was a file whose name ends in a slash.
    if (type === "directory" || (type === "file" && name.endsWith("/"))) {
      return { ...base, kind: "directory" };
    }
    if (path === "") throw unfit(name, "a file", "it names the root of the tree");
    if (type === "file") return { ...base, kind: "file", sizeBytes: this.#dataLeftBytes };
    return this.#link(base, name, { header, type, overrides });
  }

  async #link(
    base: { readonly path: string; readonly mode: number; readonly mtimeMs: number },
    name: string,
    { header, type, overrides }: LinkEntry,
  ): Promise<Member> {
    const { pax } = overrides;
    const target = pax?.linkPath ?? decodeName(overrides.longLink ?? header.linkBytes);
    if (this.#dataLeftBytes > 0) await this.#settleLinkData(type, pax !== undefined);
    if (type === "hard_link") {
      return { ...base, kind: "hard_link", target: checkLinkedPath(name, target, this.#limits) };
    }
    return { ...base, kind: "symlink", target: checkTarget(name, target) };
  }

  /** Reads the map of a sparse file, after which only its pieces are left of its data. */
  async #sparse(
    name: string,
    pax: PaxRecords | undefined,
  ): Promise<{ readonly sizeBytes: number; readonly sparse: SparseLayout }> {
    const layout = pax?.sparse === undefined
      ? await this.#oldLayout()
      : await this.#paxLayout(pax.sparse);
    const sparse = checkLayout(name, layout, this.#dataLeftBytes);
    this.#bytes.charge(sparse.sizeBytes - this.#dataLeftBytes);
    return { sizeBytes: sparse.sizeBytes, sparse };
  }

  async #oldLayout(): Promise<SparseLayout> {
    let part: OldMapPart & { readonly sizeBytes?: number } = decodeOldMap(this.#block);
    const sizeBytes = part.sizeBytes ?? 0;
    const segments = [...part.segments];
    while (part.isExtended) {
      if (segments.length > SEGMENTS_MAX) throw tooManySegments();
      part = decodeOldExtension(await this.#take(BLOCK_BYTES));
      segments.push(...part.segments);
    }
    return { sizeBytes, segments };
  }

  async #paxLayout(sparse: PaxSparse): Promise<SparseLayout> {
    const sizeBytes = sparse.sizeBytes ?? 0;
    if (sparse.version !== "1.0") return { sizeBytes, segments: pairNumbers(sparse.numbers) };
    const { segments, readBytes } = await readDataMap(() => this.#take(BLOCK_BYTES));
    this.#dataLeftBytes -= readBytes;
    if (this.#dataLeftBytes < 0) throw truncated();
    return { sizeBytes, segments };
  }

  /**
   * Decides whether data follow a link whose size is not zero.
   *
   * Pax archives may have them, and conda-pack's do; older writers stated a size and wrote none. The
   * rule is libarchive's: a pax hard link has data; else there are none if a header follows at once.
   */
  async #settleLinkData(type: "symlink" | "hard_link", isPax: boolean): Promise<void> {
    if (type === "hard_link" && isPax) return;
    const block = await this.#take(BLOCK_BYTES);
    if (isHeader(block) || isZeroBlock(block)) {
      this.#nextBlock = block;
      this.#expectData(0);
      return;
    }
    const allBytes = this.#dataLeftBytes + this.#paddingBytes - BLOCK_BYTES;
    this.#paddingBytes = Math.min(this.#paddingBytes, allBytes);
    this.#dataLeftBytes = allBytes - this.#paddingBytes;
  }

  #expectData(sizeBytes: number): void {
    this.#dataLeftBytes = sizeBytes;
    this.#paddingBytes = paddingBytes(sizeBytes);
  }

  async #skipData(lengthBytes: number): Promise<void> {
    for (let leftBytes = lengthBytes; leftBytes > 0;) {
      const part = await this.#bytes.takeSome(leftBytes);
      if (part === undefined) throw truncated();
      leftBytes -= part.length;
    }
  }

  async #take(length: number): Promise<Uint8Array> {
    const bytes = await this.#bytes.take(length);
    if (bytes === undefined) throw truncated();
    return bytes;
  }
}

/** Tells whether a header alone says all about its entry, if it is a sound one: a file or directory. */
function isPlain(block: Uint8Array): boolean {
  const type = block[TYPE_AT];
  return type === FILE || type === DIRECTORY;
}

function nameOf(header: TarHeader, overrides: Overrides): string {
  return overrides.pax?.sparse?.name ?? overrides.pax?.path ??
    decodeName(overrides.longName ?? header.nameBytes);
}

/** A name, a target or a size that holds for every entry can only be meant to confuse. */
function checkGlobals(records: PaxRecords): PaxRecords {
  const { path, linkPath, sizeBytes, sparse } = records;
  if ((path ?? linkPath ?? sizeBytes ?? sparse) === undefined) return records;
  throw new ArchiveError("Cannot read the global pax header: it sets path, linkpath or size");
}

function truncated(): ArchiveError {
  return new ArchiveError("Cannot read the archive: it ends too soon");
}
