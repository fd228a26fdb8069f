/** What takes the members of an archive and makes a tree of them. */

import type { FileMeta } from "./tree_plan.ts";

/** A stretch of a sparse file that is not a hole. */
export interface Segment {
  readonly atByte: number;
  readonly sizeBytes: number;
}

/** A sparse file: what its data are, in order and without overlap, and how long it is in all. */
export interface SparseLayout {
  readonly sizeBytes: number;
  readonly segments: readonly Segment[];
}

/** Gives a link's target what it is at the place of use; one that is not concerned stays. */
export type NewTarget = (target: string) => string;

/** A tree under construction: `finish()` completes it, `discard()` removes it. */
export interface MemberWriter {
  /** Makes a directory, or gives the one already there its metadata. */
  directory(meta: FileMeta): void | Promise<void>;
  /** Writes a file whose contents are at hand. */
  file(meta: FileMeta, contents: Uint8Array): void | Promise<void>;
  /** Writes a file from its parts, which for a sparse file are those of its segments. */
  bigFile(
    meta: FileMeta,
    parts: AsyncIterable<Uint8Array>,
    sparse?: SparseLayout,
  ): Promise<void>;
  /** Makes a hard link to a file written before, or a copy of it where there can be no link. */
  hardLink(meta: FileMeta, target: string): void | Promise<void>;
  /** Notes a symbolic link, to be made by `finish()`. */
  symlink(meta: FileMeta, target: string): void | Promise<void>;
  /** Ends all writing, makes the links, sets the modes and times of the directories. */
  finish(): void | Promise<void>;
  /** Ends all writing and removes the tree. */
  discard(): void | Promise<void>;
}

/** Parts of the contents of a sparse file with the places they belong to. */
export async function* placed(
  parts: AsyncIterable<Uint8Array>,
  segments: readonly Segment[],
): AsyncGenerator<{ readonly atByte: number; readonly bytes: Uint8Array }, void> {
  let index = 0;
  let doneBytes = 0;
  for await (const part of parts) {
    for (let at = 0; at < part.length;) {
      const segment = segments[index];
      if (segment === undefined) return;
      const bytes = part.subarray(at, at + segment.sizeBytes - doneBytes);
      yield { atByte: segment.atByte + doneBytes, bytes };
      at += bytes.length;
      doneBytes += bytes.length;
      if (doneBytes < segment.sizeBytes) continue;
      index++;
      doneBytes = 0;
    }
  }
}
