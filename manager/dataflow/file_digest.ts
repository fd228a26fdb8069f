/**
 * What files hold, by SHA-256: a file is read once, and again only when something about it has
 * changed. Large ones are hashed by a child process, so that a control loop goes on meanwhile.
 *
 * @module
 */

import type { BigIntStats } from "node:fs";
import { stat } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";

import { resolve } from "@std/path";

import { type FileDigest, hashFile, hashTree } from "../../shared/archive/digest.ts";
import type { Reference } from "../../shared/canonical_cbor.ts";
import { PipedChild } from "../../shared/runtime/piped_child.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";
import { BindQueue } from "../bind_queue.ts";
import { checkReadable, FileMissingError, messageOf } from "../file_binding.ts";
import type { DigestReply, DigestRequest } from "./digest_command.ts";
import type { MemoStore } from "./memo_store.ts";

/** Files from this size on are hashed elsewhere: 16 MiB take some 10 ms of a thread. */
const LARGE_BYTES_MIN: number = 16 * 1024 * 1024;

/**
 * A file that was written so shortly before it was looked at may be written again under the same
 * time: git calls such a one racy (Documentation/technical/racy-git.txt). Two seconds are the
 * coarsest times that file systems in use have; Deno tells whole seconds of some of them.
 */
const RACY_MS = 2_000;

/** Files and directories that are looked at, and read, at a time. */
const LOOKS_MAX = 8;

/** The owner may run it. */
const OWNER_EXECUTES = 0o100n;

/** The contents of a file or directory. */
export interface DigestedFile {
  readonly kind: "file" | "executable" | "directory";
  /** Of a directory the digest behind `dir1-sha256-`. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Where digests are remembered, and by whom large files are hashed. */
export interface FileDigestsOptions {
  /** Default: nothing is remembered. */
  readonly store?: Pick<MemoStore, "recallDigests" | "rememberDigests">;
  /** Epoch milliseconds; default `Date.now`. */
  readonly now?: () => number;
  /** Default 16 MiB. */
  readonly largeBytesMin?: number;
  /** Runs `runDigestCommand`; default `selfCommand(["internal-digest"])`. */
  readonly command?: () => readonly string[];
}

/** A file that is there. */
interface Stamped {
  readonly path: string;
  readonly found: BigIntStats;
  readonly stamp: string;
}

/** Owner of what is being hashed. */
export class FileDigests implements AsyncDisposable {
  readonly #options: FileDigestsOptions;
  readonly #queue: BindQueue = new BindQueue(LOOKS_MAX);
  /** `{path: what has not begun}`: whoever asks for the same meanwhile waits for it too. */
  readonly #waiting: Map<string, Promise<DigestedFile>> = new Map();
  /** `{path and stamp: what is being read}`. */
  readonly #reading: Map<string, Promise<FileDigest>> = new Map();
  readonly #remembering: Set<Promise<void>> = new Set();
  #child: DigestProcess | undefined;
  #isClosed = false;

  constructor(options: FileDigestsOptions = {}) {
    this.#options = options;
  }

  /**
   * The digest of the file or directory at `path`, as it is now.
   *
   * @throws {FileMissingError} When there is none, or it changes while it is read.
   */
  digest(path: string): Promise<DigestedFile> {
    const place = resolve(path);
    const waiting = this.#waiting.get(place);
    if (waiting !== undefined) return waiting;
    const { promise, resolve: settle, reject } = Promise.withResolvers<DigestedFile>();
    this.#waiting.set(place, promise);
    this.#queue.add(async () => {
      // All that ask in one turn are one.
      await nextTurn();
      // Who asks from now on may have written to it since: it is looked at anew.
      this.#waiting.delete(place);
      await this.#digest(place).then(settle, reject);
    });
    return promise;
  }

  /** Resolves when what was found is remembered, as far as it can be. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#child?.close();
    while (this.#remembering.size > 0) await Promise.all(this.#remembering);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #digest(path: string): Promise<DigestedFile> {
    await checkReadable(path);
    try {
      const stamped = await stampedAt(path);
      const { found } = stamped;
      if (!found.isDirectory()) {
        const { sha256, sizeBytes } = await this.#hash(stamped);
        return { kind: isExecutable(found) ? "executable" : "file", sha256, sizeBytes };
      }
      const hashOne = async (file: string) => await this.#hash(await stampedAt(file));
      return { kind: "directory", ...await hashTree(path, { hashOne }) };
    } catch (error) {
      if (error instanceof FileMissingError) throw error;
      throw new FileMissingError(`Cannot read file "${path}": ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** The digest of one file, remembered or read. */
  async #hash(stamped: Stamped): Promise<FileDigest> {
    const { store, now = Date.now } = this.#options;
    const { path, found, stamp } = stamped;
    const sizeBytes = Number(found.size);
    const lookedAtMs = now();
    const [known] = await store?.recallDigests([{ path, stamp }]) ?? [];
    if (known !== undefined) return { sha256: known, sizeBytes };
    const digest = await this.#share(stamped);
    const changedAtMs = Number(found.mtimeMs > found.ctimeMs ? found.mtimeMs : found.ctimeMs);
    if (lookedAtMs - changedAtMs >= RACY_MS) this.#remember({ path, stamp, digest: digest.sha256 });
    return digest;
  }

  /** Reads a file that nobody reads now, as it is. */
  #share(stamped: Stamped): Promise<FileDigest> {
    const id = `${stamped.path}\0${stamped.stamp}`;
    const reading = this.#reading.get(id) ??
      this.#readWhole(stamped).finally(() => this.#reading.delete(id));
    this.#reading.set(id, reading);
    return reading;
  }

  async #readWhole({ path, found, stamp }: Stamped): Promise<FileDigest> {
    const digest = await this.#read(path, Number(found.size));
    if ((await stampedAt(path)).stamp === stamp && digest.sizeBytes === Number(found.size)) {
      return digest;
    }
    throw new FileMissingError(`Cannot hash file "${path}": it changed while it was read`);
  }

  async #read(path: string, sizeBytes: number): Promise<FileDigest> {
    if (this.#isClosed) throw new FileMissingError(`Cannot hash file "${path}": the flow ended`);
    const { largeBytesMin = LARGE_BYTES_MIN } = this.#options;
    if (sizeBytes < largeBytesMin) return await hashFile(path);
    const { command = () => selfCommand(["internal-digest"]) } = this.#options;
    try {
      this.#child ??= new DigestProcess(command());
    } catch {
      // On Deno there may be no binary to start: slower for others, and right.
      return await hashFile(path);
    }
    const digest = await this.#child.digest(path);
    if (digest !== undefined) return digest;
    return await this.#read(path, 0);
  }

  #remember(digest: Parameters<MemoStore["rememberDigests"]>[0][number]): void {
    const { store } = this.#options;
    if (store === undefined) return;
    const remembering = store.rememberDigests([digest]).catch(() => {
      // It is read again another time, which is all that is lost.
    }).finally(() => this.#remembering.delete(remembering));
    this.#remembering.add(remembering);
  }
}

/** What stands for such a file in a key. */
export function referenceOfFile(
  { kind, sha256 }: Pick<DigestedFile, "kind" | "sha256">,
): Reference {
  return { kind: "content", content: kind, sha256 };
}

/** A process that hashes; when it ends it is not started again. */
class DigestProcess {
  readonly #child: PipedChild<DigestRequest, DigestReply>;
  readonly #asked: Map<number, (digest: FileDigest | Error | undefined) => void> = new Map();
  #lastId = 0;
  #isOver = false;

  constructor(command: readonly string[]) {
    this.#child = new PipedChild<DigestRequest, DigestReply>({
      command,
      onReply: (reply) => {
        const found = "digest" in reply ? reply.digest : new Error(reply.refused);
        this.#asked.get(reply.id)?.(found);
        this.#asked.delete(reply.id);
      },
      onEnd: () => {
        this.#isOver = true;
        for (const settle of this.#asked.values()) settle(undefined);
        this.#asked.clear();
      },
    });
  }

  /** The digest of a file; undefined when the process has ended. */
  async digest(path: string): Promise<FileDigest | undefined> {
    if (this.#isOver) return undefined;
    const { promise, resolve: settle } = Promise.withResolvers<FileDigest | Error | undefined>();
    this.#lastId += 1;
    this.#asked.set(this.#lastId, settle);
    this.#child.send({ id: this.#lastId, path });
    const found = await promise;
    if (found instanceof Error) throw found;
    return found;
  }

  close(): void {
    this.#child.kill();
  }
}

async function stampedAt(path: string): Promise<Stamped> {
  const found = await stat(path, { bigint: true });
  const { size, mtimeNs, ctimeNs, ino, dev, mode } = found;
  // Beside the size and times which file it is, and whether it may be run.
  const stamp = [size, mtimeNs, ctimeNs, ino, dev, mode & OWNER_EXECUTES].join(" ");
  return { path, found, stamp };
}

function isExecutable(found: BigIntStats): boolean {
  return (found.mode & OWNER_EXECUTES) !== 0n;
}
