/**
 * A file that a running task writes, as it is read meanwhile: never anything but the regular file
 * that was there first, and nothing that is not in the sandbox. No link is followed, neither at the
 * end of the path nor above it; what was opened is asked where it is before a byte is read.
 *
 * @module
 */

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
} from "node:fs";
import process from "node:process";

import { dirname, join } from "@std/path";

import type { WatchEnd } from "../shared/protocol.ts";

/** What a look finds. */
export type Growth =
  | { readonly kind: "there"; readonly sizeBytes: number }
  /** Nothing yet. */
  | { readonly kind: "missing" }
  /** Nothing more is to be had of it. */
  | { readonly kind: "over"; readonly reason: WatchEnd };

/** A file whose growth is looked at. */
export interface GrowingFile {
  look(): Growth;
  /** At most `length` bytes from `atByte`: fewer when there are fewer. */
  read(atByte: number, length: number): Uint8Array;
  close(): void;
}

/** A non-blocking open waits for no writer, should a FIFO take the place of the file. */
const OPEN_FLAGS: number = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const MISSING: Growth = { kind: "missing" };

/** A file that is open already, and stays its owner's to close. */
export function openGrowing(descriptor: number): GrowingFile {
  return {
    look: () => ({ kind: "there", sizeBytes: fstatSync(descriptor).size }),
    read: (atByte, length) => readAt(descriptor, atByte, length),
    close: () => {},
  };
}

/** The file at `mount` of a sandbox, from the moment that something is there. */
export function mountedGrowing(directory: string, mount: string): GrowingFile {
  const root = realpathSync(directory);
  const path = join(root, mount);
  let descriptor: number | undefined;
  let first: Stats | undefined;
  return {
    look: () => {
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (descriptor !== undefined) {
        const isSame = found?.ino === first?.ino && found?.dev === first?.dev;
        if (!isSame) return { kind: "over", reason: "replaced" };
        return { kind: "there", sizeBytes: fstatSync(descriptor).size };
      }
      if (found === undefined) return MISSING;
      // A look at a FIFO would let its writer go on, and break when it is closed again.
      if (!found.isFile()) return { kind: "over", reason: "special" };
      descriptor = openSync(path, OPEN_FLAGS);
      first = fstatSync(descriptor);
      if (!first.isFile() || !isAt(descriptor, { path, found })) {
        return { kind: "over", reason: "special" };
      }
      return { kind: "there", sizeBytes: first.size };
    },
    read: (atByte, length) =>
      descriptor === undefined ? new Uint8Array() : readAt(descriptor, atByte, length),
    close: () => {
      if (descriptor !== undefined) closeSync(descriptor);
      descriptor = undefined;
    },
  };
}

/** True when the open file has that path, and no link leads there. */
function isAt(descriptor: number, { path, found }: { path: string; found: Stats }): boolean {
  if (process.platform === "linux") return readlinkSync(`/proc/self/fd/${descriptor}`) === path;
  const { ino, dev } = fstatSync(descriptor);
  return ino === found.ino && dev === found.dev && realpathSync(dirname(path)) === dirname(path);
}

function readAt(descriptor: number, atByte: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, readSync(descriptor, bytes, 0, length, atByte));
}
