/**
 * The members of a conda package: a zip file of two tar streams, of the files and of their records.
 *
 * Source: conda-package-handling, "conda_fmt.py": `metadata.json`, then `pkg-NAME.tar.zst` and
 * `info-NAME.tar.zst`, all stored; both are unpacked into one tree, the files first.
 */

import { tarChunks } from "./archive_source.ts";
import { ByteReader } from "./byte_reader.ts";
import type { Member, MemberReader } from "./member.ts";
import { TarReader } from "./tar_reader.ts";
import type { ZipEntry } from "./zip_format.ts";
import type { ZipLimits, ZipReader } from "./zip_reader.ts";

const PART_NAMES: readonly RegExp[] = [/^pkg-[^/]+\.tar\.zst$/, /^info-[^/]+\.tar\.zst$/];

/** Returns the two parts of a conda package in the order to unpack them; undefined if it is none. */
export function condaParts(entries: readonly ZipEntry[]): readonly ZipEntry[] | undefined {
  if (!entries.some(({ name }) => name === "metadata.json")) return undefined;
  const parts = PART_NAMES.map((pattern) => entries.find(({ name }) => pattern.test(name)));
  const found = parts.filter((part) => part !== undefined);
  return found.length === parts.length && entries.length === parts.length + 1 ? found : undefined;
}

/** Reads the members of both parts, one after the other. */
export class CondaReader implements MemberReader {
  readonly #zip: ZipReader;
  readonly #limits: ZipLimits;
  readonly #signal: AbortSignal | undefined;
  readonly #waiting: ZipEntry[];
  #part: TarReader | undefined;
  #bytes: ByteReader | undefined;

  /** Closes `zip` with itself. */
  constructor(
    zip: ZipReader,
    parts: readonly ZipEntry[],
    options: ZipLimits & { readonly signal?: AbortSignal },
  ) {
    this.#zip = zip;
    this.#limits = options;
    this.#signal = options.signal;
    this.#waiting = [...parts];
  }

  async next(): Promise<Member | undefined> {
    for (;;) {
      const member = await this.#part?.next();
      if (member !== undefined) return member;
      await this.drain();
      await this.#part?.close();
      const entry = this.#waiting.shift();
      this.#part = undefined;
      if (entry === undefined) return undefined;
      const doneBytes = this.#bytes?.arrivedBytes ?? 0;
      const chunks = tarChunks(this.#zip.contents(entry));
      this.#bytes = new ByteReader(chunks, this.#limits.bytesMax - doneBytes, this.#signal);
      this.#part = new TarReader(this.#bytes, this.#limits);
    }
  }

  async data(): Promise<Uint8Array> {
    return await this.#part?.data() ?? new Uint8Array(0);
  }

  async someData(): Promise<Uint8Array | undefined> {
    return await this.#part?.someData();
  }

  async drain(): Promise<void> {
    await this.#part?.drain();
  }

  async close(): Promise<void> {
    await this.#part?.close();
    await this.#zip.close();
  }
}
