/**
 * A directory tree being written in a process of its own, one call of the system after the other.
 *
 * What a small file costs is a handful of such calls; a promise for each would cost as much again.
 * The rules are those of `tree_plan.ts`, and the same as of `TreeWriter`, which never blocks.
 */

import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lutimesSync,
  mkdirSync,
  realpathSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";

import { FileThreads } from "./file_threads.ts";
import { findLinkFault, followLink } from "./link_target.ts";
import { placed } from "./member_writer.ts";
import type { MemberWriter, NewTarget, SparseLayout } from "./member_writer.ts";
import { linkNew, openNew, replacing, setTime, writeAll, writeNew } from "./new_file.ts";
import {
  checkHardLink,
  checkLinkPlace,
  closedDirectories,
  directoryMode,
  newTreePlan,
  occupied,
  planLeaf,
  planOwnDirectory,
  refusal,
  timeSeconds,
  writeFault,
} from "./tree_plan.ts";
import type { FileMeta, TreePlan } from "./tree_plan.ts";

const NO_PATHS: ReadonlySet<string> = new Set();

/** Writes a tree without ever waiting: not for a process that has something else to do. */
export class DirectTreeWriter implements MemberWriter {
  readonly #root: string;
  readonly #plan: TreePlan;
  readonly #threads: FileThreads;

  /** Makes the directory `root`, which must not exist while its parent must. */
  constructor(root: string, directoryCountMax: number) {
    mkdirSync(root, { mode: 0o755 });
    this.#root = root;
    this.#plan = newTreePlan(directoryCountMax);
    this.#threads = new FileThreads(root);
  }

  directory(meta: FileMeta): void {
    this.#make(planOwnDirectory(this.#plan, meta.path), meta.path);
    this.#plan.directories.set(meta.path, meta);
  }

  file(meta: FileMeta, contents: Uint8Array): void {
    this.#prepare(meta.path);
    if (this.#threads.offer(meta, contents)) return;
    writeNew(this.#root, meta, contents);
  }

  async bigFile(
    meta: FileMeta,
    parts: AsyncIterable<Uint8Array>,
    sparse?: SparseLayout,
  ): Promise<void> {
    this.#prepare(meta.path);
    try {
      const file = openNew(this.#onDisk(meta.path), meta);
      try {
        if (sparse === undefined) {
          for await (const part of parts) writeAll(file, part, null);
        } else {
          ftruncateSync(file, sparse.sizeBytes);
          for await (const { atByte, bytes } of placed(parts, sparse.segments)) {
            writeAll(file, bytes, atByte);
          }
        }
        setTime(file, meta);
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throw writeFault(meta.path, cause);
    }
  }

  hardLink(meta: FileMeta, target: string): void {
    checkHardLink(this.#plan, meta.path, target);
    this.#prepare(meta.path);
    // A file that is on its way has its thread make the link, too: nobody waits for it.
    if (this.#threads.offerLink(meta, target)) return;
    linkNew(this.#root, meta, target);
  }

  symlink(meta: FileMeta, target: string): void {
    this.#prepare(meta.path);
    this.#plan.links.set(meta.path, { target, mtimeMs: meta.mtimeMs });
  }

  /** Returns when all files are written. Throws what kept one from that. */
  settle(): void {
    this.#threads.finish();
  }

  finish(newTarget?: NewTarget): void {
    this.settle();
    const { links, directories } = this.#plan;
    const leavers = newTarget === undefined ? NO_PATHS : this.#retarget(newTarget);
    for (const path of links.keys()) {
      checkLinkPlace(this.#plan, path);
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
    this.#threads.stop();
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

  /** Makes room for something that is no directory at `path`; nothing of that name is on its way. */
  #prepare(path: string): void {
    if (this.#plan.directories.has(path)) this.#removeDirectory(path);
    this.#make(planLeaf(this.#plan, path));
    this.#threads.settle(path);
  }

  /** Gives links their new targets; returns those that may leave the tree, by an absolute path. */
  #retarget(newTarget: NewTarget): ReadonlySet<string> {
    const { links } = this.#plan;
    for (const [path, link] of links) {
      links.set(path, { ...link, target: newTarget(link.target) });
    }
    return new Set([...links.keys()].filter((path) => followLink(path, links).kind === "absolute"));
  }

  /** Another entry takes the place of a directory only if nothing is in it. */
  #removeDirectory(path: string): void {
    this.#threads.settleAll();
    try {
      rmdirSync(this.#onDisk(path));
    } catch (cause) {
      throw occupied(path, cause);
    }
    this.#plan.directories.delete(path);
  }

  /** Makes directories, of which the one at `own` is an entry: it takes the place of a file. */
  #make(directories: readonly string[], own?: string): void {
    for (const path of directories) {
      this.#threads.settle(path);
      const onDisk = this.#onDisk(path);
      const make = (): void => mkdirSync(onDisk, { mode: 0o755 });
      try {
        if (path === own) replacing(onDisk, make);
        else make();
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
