/** The cache names of files, by number, as long as anything may be said of them. */

import type { RecordOf } from "./record.ts";

/** Names that are known. */
export class FileNames {
  readonly #names: Map<number, string> = new Map();
  /** `{file: the file that it turned out to be}` */
  readonly #merged: Map<number, number> = new Map();

  /** The name of a file; one that has none yet goes by its number. */
  of(fileId: number): string {
    const into = this.#merged.get(fileId) ?? fileId;
    return this.#names.get(into) ?? `file-${into}`;
  }

  /** A file has a name. */
  bind({ fileId, cacheName }: RecordOf<"file_bound">): void {
    this.#names.set(fileId, cacheName);
  }

  /** A file is another one. */
  merge({ fileId, into }: RecordOf<"file_merged">): void {
    this.#merged.set(fileId, into);
    this.#names.delete(fileId);
  }

  /** Nothing will be said of it any more. */
  forget({ fileId }: RecordOf<"file_forgotten">): void {
    this.#names.delete(fileId);
    this.#merged.delete(fileId);
  }
}
