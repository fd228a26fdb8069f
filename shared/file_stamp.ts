/** What tells whether a file is still the one that it was, without reading it. */

import { stat } from "node:fs/promises";

/** A file at one time. */
export interface FileStamp {
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  readonly inode: bigint;
  readonly isDirectory: boolean;
  /** Of a file: its owner may run it. */
  readonly isExecutable: boolean;
}

/** The owner may run it. */
const OWNER_EXECUTES = 0o100n;

/** The stamp of what is at `path` now. */
export async function stampOf(path: string): Promise<FileStamp> {
  const found = await stat(path, { bigint: true });
  return {
    sizeBytes: Number(found.size),
    mtimeNs: found.mtimeNs,
    inode: found.ino,
    isDirectory: found.isDirectory(),
    isExecutable: found.isFile() && (found.mode & OWNER_EXECUTES) !== 0n,
  };
}

/** True when both stamps are of the same, unchanged file. */
export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs && a.inode === b.inode &&
    a.isDirectory === b.isDirectory;
}

/** What names the contents of a file beside its path, on every host that has it there. */
export function stampValidator({ sizeBytes, mtimeNs }: FileStamp): string {
  // Not the inode: file systems of many hosts may number anew on each.
  return `${sizeBytes} bytes of ${mtimeNs} ns`;
}
