/**
 * A directory tree being written from members that are not trusted.
 *
 * Safe by order: until everything else is written there is no symbolic link in the tree, so that no
 * path can lead out of it; links come last, each checked against all others. The directory is new
 * and this process alone writes in it. Files are written many at a time, because what a small file
 * costs is waiting.
 */

import {
  chmod,
  constants,
  copyFile,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  realpath,
  rm,
  rmdir,
  symlink,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

import { forEachBounded } from "../bounded.ts";
import { codeOf } from "./archive_error.ts";
import { findLinkFault } from "./link_target.ts";
import { placed } from "./member_writer.ts";
import type { MemberWriter, SparseLayout } from "./member_writer.ts";
import {
  checkHardLink,
  checkLinkPlace,
  closedDirectories,
  directoryMode,
  fileMode,
  missingTarget,
  newTreePlan,
  NO_LINK_CODES,
  occupied,
  parentOf,
  planLeaf,
  planOwnDirectory,
  refusal,
  timeSeconds,
  writeFault,
} from "./tree_plan.ts";
import type { FileMeta, TreePlan } from "./tree_plan.ts";

/** Files and directories being made at one time. */
const WRITES_MAX = 32;
/** Contents waiting to be written at one time; one file above it goes alone. */
const WRITING_BYTES_MAX = 8 * 1024 * 1024;
/** A tree under construction: `finish()` completes it, `discard()` removes it. */
export class TreeWriter implements MemberWriter {
  readonly #root: string;
  readonly #plan: TreePlan;
  /** {path: the making of that directory} */
  readonly #made = new Map<string, Promise<void>>();
  readonly #writes = new Map<string, Promise<void>>();
  #writingBytes = 0;
  #writeEnded: (() => void) | undefined;
  #failure: { readonly error: unknown } | undefined;

  private constructor(root: string, directoryCountMax: number) {
    this.#root = root;
    this.#plan = newTreePlan(directoryCountMax);
  }

  /** Makes the directory `root`, which must not exist while its parent must. */
  static async create(root: string, directoryCountMax: number): Promise<TreeWriter> {
    await mkdir(root, { mode: 0o755 });
    return new TreeWriter(root, directoryCountMax);
  }

  /** Makes a directory, or gives the one already there its metadata. */
  async directory(meta: FileMeta): Promise<void> {
    await this.#make(planOwnDirectory(this.#plan, meta.path), meta.path);
    this.#plan.directories.set(meta.path, meta);
  }

  /** Writes a file whose contents are at hand; it may end after this returns. */
  async file(meta: FileMeta, contents: Uint8Array): Promise<void> {
    const parent = await this.#prepare(meta.path);
    await this.#start(meta.path, contents.length, async () => {
      await parent.made;
      const path = this.#onDisk(meta.path);
      const mode = fileMode(meta);
      await replacing(path, () => writeFile(path, contents, { flag: "wx", mode }));
      await setTime(path, meta.mtimeMs);
    });
  }

  /** Writes a file of any size from its parts; it is written when this returns. */
  async bigFile(
    meta: FileMeta,
    parts: AsyncIterable<Uint8Array>,
    sparse?: SparseLayout,
  ): Promise<void> {
    const parent = await this.#prepare(meta.path);
    await naming(meta.path, async () => {
      await parent.made;
      const path = this.#onDisk(meta.path);
      const file = await replacing(path, () => open(path, "wx", fileMode(meta)));
      try {
        if (sparse === undefined) {
          for await (const part of parts) await writeAll(file, part, null);
        } else {
          await file.truncate(sparse.sizeBytes);
          for await (const { atByte, bytes } of placed(parts, sparse.segments)) {
            await writeAll(file, bytes, atByte);
          }
        }
      } finally {
        await file.close();
      }
      await setTime(path, meta.mtimeMs);
    });
  }

  /** Makes a hard link to a file written before, or a copy of it where there can be no link. */
  async hardLink(meta: FileMeta, target: string): Promise<void> {
    checkHardLink(this.#plan, meta.path, target);
    const parent = await this.#prepare(meta.path);
    await this.#writes.get(target);
    this.#throwFailure();
    await naming(meta.path, async () => {
      await parent.made;
      const [from, to] = [this.#onDisk(target), this.#onDisk(meta.path)];
      try {
        // What `tar` writes of a file that it is told to pack twice.
        if (from === to && (await lstat(to)).isFile()) return;
        await replacing(to, () => linkOrCopy(from, to, meta.mtimeMs));
      } catch (cause) {
        throw codeOf(cause) === "ENOENT" ? missingTarget(meta.path, target) : cause;
      }
    });
  }

  /** Notes a symbolic link, to be made by `finish()`. */
  async symlink(meta: FileMeta, target: string): Promise<void> {
    await this.#prepare(meta.path);
    this.#plan.links.set(meta.path, { target, mtimeMs: meta.mtimeMs });
  }

  /** Ends all writing, makes the links and sets the times of the directories. */
  async finish(): Promise<void> {
    await this.#settled();
    const { links } = this.#plan;
    for (const path of links.keys()) {
      checkLinkPlace(this.#plan, path);
      const fault = findLinkFault(path, links);
      if (fault !== undefined) throw refusal(path, fault);
    }
    await forEachBounded(
      links,
      WRITES_MAX,
      ([path, { target, mtimeMs }]) =>
        naming(path, async () => {
          const onDisk = this.#onDisk(path);
          await replacing(onDisk, () => symlink(target, onDisk));
          const seconds = timeSeconds(mtimeMs);
          await lutimes(onDisk, seconds, seconds);
        }),
    );
    await this.#checkLinksOnDisk();
    await this.#finishDirectories();
  }

  /** Ends all writing and removes the tree. */
  async discard(): Promise<void> {
    await Promise.all(this.#writes.values());
    for (const path of closedDirectories(this.#plan)) {
      // It may never have been made.
      await chmod(this.#onDisk(path), 0o700).catch(() => {});
    }
    await rm(this.#root, { recursive: true, force: true });
  }

  /** Where names differ in case or form only and are one name on the disk, the check above errs. */
  async #checkLinksOnDisk(): Promise<void> {
    const root = await realpath(this.#root);
    await forEachBounded(this.#plan.links.keys(), WRITES_MAX, async (path) => {
      let end: string;
      try {
        end = await realpath(this.#onDisk(path));
      } catch {
        // It leads to nothing, which is allowed and was judged by its text.
        return;
      }
      if (end === root || end.startsWith(`${root}/`)) return;
      throw refusal(path, "its target leaves the tree");
    });
  }

  async #finishDirectories(): Promise<void> {
    // Making something in a directory changes its time, and all has been made by now.
    await forEachBounded(this.#plan.directories, WRITES_MAX, async ([path, meta]) => {
      if (meta === undefined) return;
      await naming(path, async () => {
        const onDisk = path === "" ? this.#root : this.#onDisk(path);
        // The root can be moved to its place only while its owner may write to it.
        const mode = directoryMode(meta);
        if (mode !== 0o755 && path !== "") await chmod(onDisk, mode);
        await setTime(onDisk, meta.mtimeMs);
      });
    });
  }

  /** Makes room for something that is not a directory at `path`; returns the making of its parent. */
  async #prepare(path: string): Promise<{ readonly made: Promise<void> }> {
    if (this.#plan.directories.has(path)) await this.#removeDirectory(path);
    await this.#make(planLeaf(this.#plan, path));
    await this.#writes.get(path);
    this.#throwFailure();
    // Wrapped, or the caller would wait for it here and now.
    return { made: this.#made.get(parentOf(path)) ?? Promise.resolve() };
  }

  /** Another entry takes the place of a directory only if nothing is in it. */
  async #removeDirectory(path: string): Promise<void> {
    await this.#settled();
    try {
      await rmdir(this.#onDisk(path));
    } catch (cause) {
      throw occupied(path, cause);
    }
    this.#plan.directories.delete(path);
    this.#made.delete(path);
  }

  /**
   * Starts making directories, of which each is in the one before it or in one made earlier. The
   * one at `own` is an entry: it takes the place of a file.
   */
  async #make(paths: readonly string[], own?: string): Promise<void> {
    for (const path of paths) {
      const parentMade = this.#made.get(parentOf(path));
      await this.#writes.get(path);
      await this.#start(path, 0, async () => {
        await parentMade;
        const onDisk = this.#onDisk(path);
        const make = (): Promise<unknown> => mkdir(onDisk, { mode: 0o755 });
        await (path === own ? replacing(onDisk, make) : make());
      });
      this.#made.set(path, this.#writes.get(path) ?? Promise.resolve());
    }
  }

  /** Starts `work` for `path` when there is room; its end is in `#writes` until it has come. */
  async #start(path: string, sizeBytes: number, work: () => Promise<void>): Promise<void> {
    while (!this.#hasRoom(sizeBytes)) {
      await new Promise<void>((resolve) => this.#writeEnded = resolve);
    }
    this.#throwFailure();
    this.#writingBytes += sizeBytes;
    const ended = naming(path, work)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#writingBytes -= sizeBytes;
        this.#writes.delete(path);
        this.#writeEnded?.();
      });
    this.#writes.set(path, ended);
  }

  #hasRoom(sizeBytes: number): boolean {
    if (this.#writes.size === 0) return true;
    return this.#writes.size < WRITES_MAX && this.#writingBytes + sizeBytes <= WRITING_BYTES_MAX;
  }

  async #settled(): Promise<void> {
    await Promise.all(this.#writes.values());
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #onDisk(path: string): string {
    // The path is in normal form already; joining is in the way of every file.
    return `${this.#root}/${path}`;
  }
}

/** Does `make`, which must not find anything at `path`; what it finds is removed if it is no directory. */
async function replacing<Made>(path: string, make: () => Promise<Made>): Promise<Made> {
  try {
    return await make();
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  // Removed, not written over: the old file may have other names, which keep their contents.
  await unlink(path);
  return await make();
}

async function linkOrCopy(from: string, to: string, mtimeMs: number): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!NO_LINK_CODES.has(codeOf(error))) throw error;
    await copyFile(from, to, constants.COPYFILE_EXCL);
    await setTime(to, mtimeMs);
  }
}

async function writeAll(file: FileHandle, part: Uint8Array, atByte: number | null): Promise<void> {
  for (let at = 0; at < part.length;) {
    const position = atByte === null ? null : atByte + at;
    const { bytesWritten } = await file.write(part, at, part.length - at, position);
    at += bytesWritten;
  }
}

async function setTime(path: string, mtimeMs: number): Promise<void> {
  const seconds = timeSeconds(mtimeMs);
  await utimes(path, seconds, seconds);
}

/** Does `work`; a failure of the disk becomes one that names the entry. */
async function naming<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw writeFault(path, cause);
  }
}
