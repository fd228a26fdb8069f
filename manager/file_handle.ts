/** What a script holds of a declared file. */

import type { FileId } from "../shared/ids.ts";
import type { BoundFile } from "./core/event.ts";
import type { FileKind } from "./file_entry.ts";

/** What a handle asks its manager for. */
export interface FileReader {
  /** Undefined until the name is known. */
  boundOf(id: FileId): BoundFile | undefined;
  contents(id: FileId): Promise<Uint8Array>;
  seen(id: FileId): Promise<Uint8Array>;
  replicaCountOf(id: FileId): number;
  release(id: FileId): void;
}

/** A declared file: pass it to tasks as input or output, or ask for its contents. */
export class FileHandle implements Disposable {
  /** Number of the file, unique within its manager. */
  readonly id: FileId;
  /** What it was declared as. */
  readonly kind: FileKind;
  readonly #reader: FileReader;

  /** Handles are made by the manager's `file`, `url`, `buffer`, `temp` and their like. */
  constructor(id: FileId, kind: FileKind, reader: FileReader) {
    this.id = id;
    this.kind = kind;
    this.#reader = reader;
  }

  /** Its name in every cache; undefined until a task uses it and its name is found. */
  get cacheName(): string | undefined {
    return this.#reader.boundOf(this.id)?.name;
  }

  /** Bytes of its contents; undefined while they are not known. */
  get size(): number | undefined {
    const sizeBytes = this.#reader.boundOf(this.id)?.sizeBytes ?? -1;
    return sizeBytes < 0 ? undefined : sizeBytes;
  }

  /**
   * What is known of its contents.
   *
   * @internal
   */
  get facts(): BoundFile | undefined {
    return this.#reader.boundOf(this.id);
  }

  /** How many workers have it whole. */
  get replicaCount(): number {
    return this.#reader.replicaCountOf(this.id);
  }

  /**
   * The contents, brought to the manager where they are not there yet.
   *
   * @throws {Error} When they cannot be had, or the file is a directory.
   */
  contents(): Promise<Uint8Array> {
    return this.#reader.contents(this.id);
  }

  /** The contents as UTF-8 text; see `contents`. */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.contents());
  }

  /**
   * What is here so far of an output that is watched: it grows while its task runs, and is the
   * contents once the task has succeeded. Of a failed task it stays as it was seen last.
   *
   * @throws {Error} When no task has it as a watched output.
   */
  seen(): Promise<Uint8Array> {
    return this.#reader.seen(this.id);
  }

  /**
   * True of a file of that manager.
   *
   * @internal
   */
  isOf(reader: FileReader): boolean {
    return this.#reader === reader;
  }

  /** Gives the file up at the end of a block with `using`, as the manager's `undeclare` does. */
  [Symbol.dispose](): void {
    this.#reader.release(this.id);
  }
}
