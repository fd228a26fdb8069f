/** What a call gave, where it is: it may pass from call to call without being read here. */

import { readFile } from "node:fs/promises";

import { decodeValue } from "../../shared/value.ts";
import type { FileHandle } from "../file_handle.ts";
import type { TaskHandle } from "../task_handle.ts";
import { mapLeaves } from "./leaves.ts";
import { held } from "./unused_files.ts";

/** Where a stored value is, and how. */
export type StoredContent =
  | { readonly kind: "plain"; readonly value: unknown }
  | { readonly kind: "encoded"; readonly bytes: Uint8Array }
  | { readonly kind: "task"; readonly handle: TaskHandle<unknown> }
  /** A large value, in a file that workers keep. */
  | { readonly kind: "kept"; readonly handle: FileHandle }
  /** The same bytes, in a file of this machine that stays until its executor is closed. */
  | { readonly kind: "file"; readonly path: string }
  /** Arrays and plain objects with stored values among their leaves. */
  | { readonly kind: "structure"; readonly value: unknown };

/** The value of a call that has succeeded. */
export class StoredValue {
  #content: StoredContent;
  #fileDigest: string | undefined;
  /** Sees to it that it is there, or is made anew; undefined where there is no doubt. */
  #ensure: (() => Promise<void>) | undefined;

  private constructor(content: StoredContent, ensure?: () => Promise<void>) {
    this.#content = content;
    this.#ensure = ensure;
  }

  /** Where it is; of what was remembered as far as that is known. */
  get content(): StoredContent {
    return this.#content;
  }

  /** True of what was remembered, and may be gone. */
  get isDoubtful(): boolean {
    return this.#ensure !== undefined;
  }

  /** A value that is here. */
  static plain(value: unknown): StoredValue {
    return new StoredValue({ kind: "plain", value });
  }

  /** A value as `encodeValue` writes it. */
  static encoded(bytes: Uint8Array): StoredValue {
    return new StoredValue({ kind: "encoded", bytes });
  }

  /** A value in a file of this machine, as `encodeValue` writes it. */
  static inFile(path: string): StoredValue {
    return new StoredValue({ kind: "file", path });
  }

  /** The value of a call of a library that has succeeded. */
  static ofTask(handle: TaskHandle<unknown>): StoredValue {
    return new StoredValue({ kind: "task", handle });
  }

  /**
   * A value as `encodeValue` writes it, in a file.
   *
   * @param ensure Sees to it that it is there, or makes this value `become` what was made anew.
   */
  static ofKept(handle: FileHandle, ensure: () => Promise<void>): StoredValue {
    return new StoredValue({ kind: "kept", handle }, ensure);
  }

  /** Arrays and plain objects with stored values in them. */
  static structure(value: unknown): StoredValue {
    return new StoredValue({ kind: "structure", value });
  }

  /** Encoded, where it is here in that form. */
  get bytes(): Uint8Array | undefined {
    const { content } = this;
    if (content.kind === "encoded") return content.bytes;
    if (content.kind !== "task" || content.handle.valueFile !== undefined) return undefined;
    return content.handle.ended?.result?.value;
  }

  /** SHA-256 in hexadecimal of its encoded bytes, where they are in a file and that is known. */
  get fileDigest(): string | undefined {
    const content = this.#content;
    if (content.kind === "kept") return content.handle.facts?.digest;
    return this.#fileDigest;
  }

  /** A worker has told the digest of the file that it is in. */
  noteDigest(sha256: string): void {
    this.#fileDigest = sha256;
  }

  /** Resolves once it is there, made anew if it was lost. */
  async ready(): Promise<void> {
    await this.#ensure?.();
    this.#ensure = undefined;
  }

  /** What held it is lost: it is that of `other` from now on. */
  become(other: StoredValue): void {
    this.#content = other.#content;
    this.#fileDigest = other.#fileDigest;
  }

  /** The value itself; one that is large is brought here each time. */
  async read(): Promise<unknown> {
    if (this.isDoubtful) await this.ready();
    const { content } = this;
    switch (content.kind) {
      case "plain":
        return content.value;
      case "encoded":
        return decodeValue(content.bytes);
      case "file":
        return decodeValue(new Uint8Array(await readFile(content.path)));
      case "task":
        return await held(this, content.handle.value());
      case "kept":
        return decodeValue(await content.handle.contents());
      case "structure":
        return await readStored(content.value);
    }
  }
}

/** What `value` is with the values of all that is stored in it in their places. */
export async function readStored(value: unknown): Promise<unknown> {
  const stored = new Map<StoredValue, unknown>();
  mapLeaves(value, (leaf) => {
    if (leaf instanceof StoredValue) stored.set(leaf, undefined);
    return leaf;
  });
  if (stored.size === 0) return value;
  await Promise.all(Array.from(stored.keys(), async (one) => stored.set(one, await one.read())));
  return mapLeaves(value, (leaf) => leaf instanceof StoredValue ? stored.get(leaf) : leaf);
}
