/**
 * A directory tree being written in a process of its own, one call of the system after the other.
 *
 * What a small file costs is a handful of such calls; a promise for each would cost as much again.
 * The rules are those of `tree_plan.ts`, and the same as of `TreeWriter`, which never blocks.
 */

import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";

import { findLinkFault, followLink } from "./link_target.ts";
import { placed } from "./member_writer.ts";
import type { MemberWriter, NewTarget, SparseLayout } from "./member_writer.ts";
import {
  checkHardLink,
  closedDirectories,
  codeOf,
  directoryMode,
  fileMode,
  missingTarget,
  newTreePlan,
  NO_LINK_CODES,
  planDirectory,
  planLeaf,
  refusal,
  timeSeconds,
  writeFault,
} from "./tree_plan.ts";
import type { FileMeta, TreePlan } from "./tree_plan.ts";

const NO_PATHS: ReadonlySet<string> = new Set();

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Writes a tree without ever waiting: not for a process that has something else to do. */
export class DirectTreeWriter implements MemberWriter {
  readonly #root: string;
  readonly #plan: TreePlan = newTreePlan();

  /** Makes the directory `root`, which must not exist while its parent must. */
  constructor(root: string) {
    mkdirSync(root, { mode: 0o755 });
    this.#root = root;
  }

  directory(meta: FileMeta): void {
    this.#make(planDirectory(this.#plan, meta.path, meta.path));
    this.#plan.directories.set(meta.path, meta);
  }

  file(meta: FileMeta, contents: Uint8Array): void {
    this.#make(planLeaf(this.#plan, meta.path));
    try {
      const file = openNew(this.#onDisk(meta.path), fileMode(meta));
      try {
        writeAll(file, contents, null);
        const seconds = timeSeconds(meta.mtimeMs);
        futimesSync(file, seconds, seconds);
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throw writeFault(meta.path, cause);
    }
  }

  async bigFile(
    meta: FileMeta,
    parts: AsyncIterable<Uint8Array>,
    sparse?: SparseLayout,
  ): Promise<void> {
    this.#make(planLeaf(this.#plan, meta.path));
    try {
      const file = openNew(this.#onDisk(meta.path), fileMode(meta));
      try {
        if (sparse === undefined) {
          for await (const part of parts) writeAll(file, part, null);
        } else {
          ftruncateSync(file, sparse.sizeBytes);
          for await (const { atByte, bytes } of placed(parts, sparse.segments)) {
            writeAll(file, bytes, atByte);
          }
        }
        const seconds = timeSeconds(meta.mtimeMs);
        futimesSync(file, seconds, seconds);
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throw writeFault(meta.path, cause);
    }
  }

  hardLink(meta: FileMeta, target: string): void {
    checkHardLink(this.#plan, meta.path, target);
    this.#make(planLeaf(this.#plan, meta.path));
    const [from, to] = [this.#onDisk(target), this.#onDisk(meta.path)];
    try {
      replacing(to, () => linkOrCopy(from, to, meta.mtimeMs));
    } catch (cause) {
      throw codeOf(cause) === "ENOENT"
        ? missingTarget(meta.path, target)
        : writeFault(meta.path, cause);
    }
  }

  symlink(meta: FileMeta, target: string): void {
    this.#make(planLeaf(this.#plan, meta.path));
    this.#plan.links.set(meta.path, { target, mtimeMs: meta.mtimeMs });
  }

  finish(newTarget?: NewTarget): void {
    const { links, directories } = this.#plan;
    const leavers = newTarget === undefined ? NO_PATHS : this.#retarget(newTarget);
    for (const path of links.keys()) {
      const fault = leavers.has(path) ? undefined : findLinkFault(path, links);
      if (fault !== undefined) throw refusal(path, fault);
    }
    for (const [path, { target, mtimeMs }] of links) {
      try {
        const onDisk = this.#onDisk(path);
        replacing(onDisk, () => symlinkSync(target, onDisk));
        const seconds = timeSeconds(mtimeMs);
        lutimesSync(onDisk, seconds, seconds);
      } catch (cause) {
        throw writeFault(path, cause);
      }
    }
    this.#checkLinksOnDisk(leavers);
    // Making something in a directory changes its time, and all has been made by now.
    for (const [path, meta] of directories) {
      if (meta === undefined) continue;
      try {
        const onDisk = path === "" ? this.#root : this.#onDisk(path);
        // The root can be moved to its place only while its owner may write to it.
        const mode = directoryMode(meta);
        if (mode !== 0o755 && path !== "") chmodSync(onDisk, mode);
        const seconds = timeSeconds(meta.mtimeMs);
        utimesSync(onDisk, seconds, seconds);
      } catch (cause) {
        throw writeFault(path, cause);
      }
    }
  }

  discard(): void {
    for (const path of closedDirectories(this.#plan)) {
      try {
        chmodSync(this.#onDisk(path), 0o700);
      } catch {
        // It was never made.
      }
    }
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** Where names differ in case or form only and are one name on the disk, the check above errs. */
  #checkLinksOnDisk(leavers: ReadonlySet<string>): void {
    const root = realpathSync(this.#root);
    for (const path of this.#plan.links.keys()) {
      if (leavers.has(path)) continue;
      let end: string;
      try {
        end = realpathSync.native(this.#onDisk(path));
      } catch {
        // It leads to nothing, which is allowed and was judged by its text.
        continue;
      }
      if (end !== root && !end.startsWith(`${root}/`)) {
        throw refusal(path, "its target leaves the tree");
      }
    }
  }

  /** Gives links their new targets; returns those that may leave the tree, by an absolute path. */
  #retarget(newTarget: NewTarget): ReadonlySet<string> {
    const { links } = this.#plan;
    for (const [path, link] of links) {
      links.set(path, { ...link, target: newTarget(link.target) });
    }
    return new Set([...links.keys()].filter((path) => followLink(path, links).kind === "absolute"));
  }

  #make(directories: readonly string[]): void {
    for (const path of directories) {
      try {
        mkdirSync(this.#onDisk(path), { mode: 0o755 });
      } catch (cause) {
        throw writeFault(path, cause);
      }
    }
  }

  #onDisk(path: string): string {
    // The path is in normal form already; joining is in the way of every file.
    return `${this.#root}/${path}`;
  }
}

function openNew(path: string, mode: number): number {
  return replacing(path, () => openSync(path, NEW_FILE, mode));
}

/** Does `make`, which must not find anything at `path`; what it finds is removed if it is no directory. */
function replacing<Made>(path: string, make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  // Removed, not written over: the old file may have other names, which keep their contents.
  unlinkSync(path);
  return make();
}

function linkOrCopy(from: string, to: string, mtimeMs: number): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!NO_LINK_CODES.has(codeOf(error))) throw error;
    copyFileSync(from, to, constants.COPYFILE_EXCL);
    const seconds = timeSeconds(mtimeMs);
    utimesSync(to, seconds, seconds);
  }
}

function writeAll(file: number, bytes: Uint8Array, atByte: number | null): void {
  for (let at = 0; at < bytes.length;) {
    at += writeSync(file, bytes, at, bytes.length - at, atByte === null ? null : atByte + at);
  }
}
