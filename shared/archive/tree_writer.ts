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
  mkdir,
  open,
  realpath,
  rm,
  symlink,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

import { forEachBounded } from "../bounded.ts";
import { ArchiveError, quoteName } from "./archive_error.ts";
import { findLinkFault } from "./link_target.ts";

/** Files and directories being made at one time. */
const WRITES_MAX = 32;
/** Contents waiting to be written at one time; one file above it goes alone. */
const WRITING_BYTES_MAX = 8 * 1024 * 1024;
/** The last millisecond of the year 9999: later times are not worth keeping. */
const TIME_MS_MAX = 253_402_300_799_999;

/** What is kept of a member besides its contents. */
export interface FileMeta {
  /** Relative and in normal form. */
  readonly path: string;
  /** Of its bits, those of the owner and those to read and execute are kept. */
  readonly mode: number;
  readonly mtimeMs: number;
}

interface DirectoryState {
  readonly made: Promise<void>;
  /** Set when the archive has an entry for it. */
  meta?: FileMeta;
}

/** A tree under construction: `finish()` completes it, `discard()` removes it. */
export class TreeWriter {
  readonly #root: string;
  readonly #directories = new Map<string, DirectoryState>();
  readonly #links = new Map<string, string>();
  readonly #writes = new Map<string, Promise<void>>();
  #writingBytes = 0;
  #writeEnded: (() => void) | undefined;
  #failure: { readonly error: unknown } | undefined;

  private constructor(root: string) {
    this.#root = root;
    this.#directories.set("", { made: Promise.resolve() });
  }

  /** Makes the directory `root`, which must not exist while its parent must. */
  static async create(root: string): Promise<TreeWriter> {
    await mkdir(root, { mode: 0o755 });
    return new TreeWriter(root);
  }

  /** Makes a directory, or gives the one already there its metadata. */
  async directory(meta: FileMeta): Promise<void> {
    const state = await this.#ensureDirectory(meta.path, meta.path);
    state.meta = meta;
  }

  /** Writes a file whose contents are at hand; it may end after this returns. */
  async file(meta: FileMeta, contents: Uint8Array): Promise<void> {
    const parent = await this.#prepare(meta.path);
    await this.#start(meta.path, contents.length, async () => {
      await parent.made;
      const path = this.#onDisk(meta.path);
      await replacing(path, () => writeFile(path, contents, { flag: "wx", mode: fileMode(meta) }));
      await setTime(path, meta.mtimeMs);
    });
  }

  /** Writes a file of any size from its parts; it is written when this returns. */
  async bigFile(meta: FileMeta, parts: AsyncIterable<Uint8Array>): Promise<void> {
    const parent = await this.#prepare(meta.path);
    await naming(meta.path, async () => {
      await parent.made;
      const path = this.#onDisk(meta.path);
      const file = await replacing(path, () => open(path, "wx", fileMode(meta)));
      try {
        for await (const part of parts) await writeAll(file, part);
      } finally {
        await file.close();
      }
      await setTime(path, meta.mtimeMs);
    });
  }

  /** Makes a hard link to a file written before, or a copy of it where there can be no link. */
  async hardLink(meta: FileMeta, target: string): Promise<void> {
    const shown = `its target ${quoteName(target)}`;
    // What is on the disk now is files and directories only: what is neither link nor directory
    // here is a regular file of this tree, or is missing (CVE-2026-11940: links to links).
    if (this.#links.has(target)) throw refusal(meta.path, `${shown} is a symbolic link`);
    if (this.#directories.has(target)) throw refusal(meta.path, `${shown} is a directory`);
    if (target === meta.path) throw refusal(meta.path, "it links to itself");
    const parent = await this.#prepare(meta.path);
    await this.#writes.get(target);
    this.#throwFailure();
    await naming(meta.path, async () => {
      await parent.made;
      const [from, to] = [this.#onDisk(target), this.#onDisk(meta.path)];
      try {
        await replacing(to, () => linkOrCopy(from, to, meta.mtimeMs));
      } catch (cause) {
        if (codeOf(cause) !== "ENOENT") throw cause;
        throw refusal(meta.path, `${shown} does not come before it in the archive`);
      }
    });
  }

  /** Notes a symbolic link, to be made by `finish()`. */
  async symlink(path: string, target: string): Promise<void> {
    await this.#prepare(path);
    this.#links.set(path, target);
  }

  /** Ends all writing, makes the links and sets the times of the directories. */
  async finish(): Promise<void> {
    await this.#settled();
    for (const path of this.#links.keys()) {
      const fault = findLinkFault(path, this.#links);
      if (fault !== undefined) throw refusal(path, fault);
    }
    await forEachBounded(this.#links, WRITES_MAX, ([path, target]) =>
      naming(path, () => {
        const onDisk = this.#onDisk(path);
        return replacing(onDisk, () => symlink(target, onDisk));
      }));
    await this.#checkLinksOnDisk();
    await this.#finishDirectories();
  }

  /** Ends all writing and removes the tree. */
  async discard(): Promise<void> {
    await Promise.all(this.#writes.values());
    await rm(this.#root, { recursive: true, force: true });
  }

  /** Where names differ in case or form only and are one name on the disk, the check above errs. */
  async #checkLinksOnDisk(): Promise<void> {
    const root = await realpath(this.#root);
    await forEachBounded(this.#links.keys(), WRITES_MAX, async (path) => {
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
    await forEachBounded(this.#directories, WRITES_MAX, async ([path, { meta }]) => {
      if (meta === undefined) return;
      await naming(path, async () => {
        const onDisk = path === "" ? this.#root : this.#onDisk(path);
        const mode = (meta.mode & 0o755) | 0o700;
        if (mode !== 0o755 && path !== "") await chmod(onDisk, mode);
        await setTime(onDisk, meta.mtimeMs);
      });
    });
  }

  /** Makes room for something that is not a directory at `path`; returns its parent. */
  async #prepare(path: string): Promise<DirectoryState> {
    if (this.#directories.has(path)) throw refusal(path, "a directory of that name exists");
    const parent = await this.#ensureDirectory(parentOf(path), path);
    this.#links.delete(path);
    await this.#writes.get(path);
    this.#throwFailure();
    return parent;
  }

  /** Returns the directory `path`, being made if need be, with the directories above it. */
  async #ensureDirectory(path: string, entry: string): Promise<DirectoryState> {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    if (this.#links.has(path)) {
      throw refusal(entry, `${quoteName(path)} is a symbolic link, not a directory`);
    }
    const parent = await this.#ensureDirectory(parentOf(path), entry);
    await this.#writes.get(path);
    await this.#start(path, 0, async () => {
      await parent.made;
      await mkdir(this.#onDisk(path), { mode: 0o755 });
    });
    const state: DirectoryState = { made: this.#writes.get(path) ?? Promise.resolve() };
    this.#directories.set(path, state);
    return state;
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
    const code = codeOf(error) ?? "";
    // Without links, across devices, with too many links: the contents count.
    if (!["EXDEV", "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(code)) {
      throw error;
    }
    await copyFile(from, to, constants.COPYFILE_EXCL);
    await setTime(to, mtimeMs);
  }
}

async function writeAll(file: FileHandle, part: Uint8Array): Promise<void> {
  for (let at = 0; at < part.length;) {
    const { bytesWritten } = await file.write(part, at, part.length - at, null);
    at += bytesWritten;
  }
}

/** Setuid, setgid, sticky and writing by others are dropped; the owner can read and write. */
function fileMode(meta: FileMeta): number {
  return (meta.mode & 0o755) | 0o600;
}

/**
 * Sets the time as exactly as the runtime can: Deno keeps milliseconds, Bun a quarter microsecond.
 *
 * Half a microsecond is added because seconds in a double fall a little short of most milliseconds,
 * and a time read back must be the same millisecond. Times before 1970 become 1970: Bun sets now.
 */
async function setTime(path: string, mtimeMs: number): Promise<void> {
  const seconds = (Math.min(Math.max(mtimeMs, 0), TIME_MS_MAX) + 0.0005) / 1000;
  await utimes(path, seconds, seconds);
}

/** Does `work`; a failure of the disk becomes one that names the entry. */
async function naming<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof ArchiveError) throw cause;
    const found = cause instanceof Error ? cause.message : String(cause);
    const message = `Cannot write entry ${quoteName(path)}: ${found}`;
    throw new ArchiveError(message, { entry: path, cause });
  }
}

function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}

function refusal(path: string, found: string): ArchiveError {
  const message = `Cannot unpack entry ${quoteName(path)} into the tree: ${found}`;
  return new ArchiveError(message, { entry: path });
}
