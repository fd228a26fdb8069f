/** A member of an archive, and what is checked of it whatever the format. */

import { findPathFault } from "../relative_path.ts";
import { ArchiveError, quoteName } from "./archive_error.ts";
import type { SparseLayout } from "./member_writer.ts";

/** UTF-8 bytes of a symbolic link's target: PATH_MAX of Linux, less its NUL. */
export const TARGET_BYTES_MAX = 4_095;

/** Bounds on the members of one archive. */
export interface MemberLimits {
  readonly entryCountMax: number;
  readonly pathBytesMax: number;
  readonly pathDepthMax: number;
}

interface MemberBase {
  /** Relative and in normal form; empty for the root, which only a directory can be. */
  readonly path: string;
  /** The twelve permission bits as the archive has them. */
  readonly mode: number;
  readonly mtimeMs: number;
}

/** One member of an archive. A hard link's target is in the form of a path, a symlink's is verbatim. */
export type Member =
  | (MemberBase & {
    readonly kind: "file";
    readonly sizeBytes: number;
    /** Which bytes of it the data are, when they are not all. */
    readonly sparse?: SparseLayout;
  })
  | (MemberBase & { readonly kind: "directory" })
  | (MemberBase & { readonly kind: "symlink"; readonly target: string })
  | (MemberBase & { readonly kind: "hard_link"; readonly target: string });

/** Gives the members of an archive; the data of a file are read before the next member is. */
export interface MemberReader {
  /** Returns the next member, or undefined after the last. */
  next(): Member | undefined | Promise<Member | undefined>;
  /** Returns all data of the file just returned; its size bounds the memory this takes. */
  data(): Uint8Array | Promise<Uint8Array>;
  /** Returns some of the data left of the file just returned, undefined when none is. */
  someData(): Promise<Uint8Array | undefined>;
  /** Reads what follows the last member, so that a checksum at the end of the stream is verified. */
  drain(): Promise<void>;
  /** Closes what it reads from. */
  close(): Promise<void>;
}

/** Returns the name of an entry as a path in normal form, throwing where it may not be one. */
export function checkPath(name: string, limits: MemberLimits): string {
  if (name.startsWith("/")) throw unfit(name, "a path in the tree", "it is absolute");
  const path = normalForm(name);
  const fault = path === "" ? undefined : findPathFault(path, limits);
  if (name === "") throw unfit(name, "a path in the tree", "it is empty");
  if (fault !== undefined) throw unfit(name, "a path in the tree", fault);
  return path;
}

/** Returns the target of a hard link as a path in normal form. */
export function checkLinkedPath(name: string, target: string, limits: MemberLimits): string {
  const shown = quoteName(target);
  if (target.startsWith("/")) {
    throw unfit(name, "a hard link in the tree", `its target ${shown} is absolute`);
  }
  const path = normalForm(target);
  const fault = findPathFault(path, limits);
  if (fault === undefined) return path;
  throw unfit(name, "a hard link in the tree", `of its target ${shown}, ${fault}`);
}

/** Returns the target of a symbolic link, throwing where no link can have it. */
export function checkTarget(name: string, target: string): string {
  if (target === "") throw unfit(name, "a symbolic link", "it has no target");
  if (target.includes("\0")) throw unfit(name, "a symbolic link", "its target has a NUL");
  if (target.length > TARGET_BYTES_MAX) {
    const found = `its target is longer than ${TARGET_BYTES_MAX} bytes`;
    throw unfit(name, "a symbolic link", found);
  }
  return target;
}

/** Returns the failure of an entry that is not what it should be. */
export function unfit(name: string, wanted: string, found: string): ArchiveError {
  const message = `Cannot unpack entry ${quoteName(name)} as ${wanted}: ${found}`;
  return new ArchiveError(message, { entry: name });
}

/** Takes out what means nothing: "./" in front, doubled slashes, one at the end. ".." stays. */
function normalForm(given: string): string {
  // What `tar .` and `tar DIR/` write, and therefore most names.
  const name = given.startsWith("./") ? given.slice(2) : given;
  if (
    !name.includes("//") && !name.includes("./") && !name.endsWith("/") && !name.startsWith("/") &&
    name !== "."
  ) {
    return name;
  }
  return given.split("/").filter((part) => part !== "" && part !== ".").join("/");
}
