/** How scripts declare files, checked and made into what the store keeps. */

import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

import { resolve } from "@std/path";

import type { CacheLevel } from "../shared/task.ts";
import { parseFileUrl } from "../shared/url/address.ts";
import type { BoundFile } from "./core/event.ts";
import { DEFAULT_POLICIES, type Policies } from "./core/policy.ts";
import { outlivesWorkflow } from "./core/replica.ts";
import type { FileSpec } from "./file_store.ts";
import { REPLICAS_MAX } from "./config.ts";
import { count, flag, oneOf, type Reader, type Readers, readOptions, show } from "./option.ts";

/** Names that every tool takes: a path of a call is sent in a line of text. */
const pathName: Reader<string> = (value, what) => {
  const isName = typeof value === "string" && /^[A-Za-z0-9._+=-]{1,255}$/.test(value);
  if (isName && !/^\.+$/.test(value)) return value;
  throw new TypeError(
    `Cannot take ${what} "${
      show(value)
    }" as the name of a file: expected letters, digits and ._+=-`,
  );
};

const FILE_READERS: Readers<FileOptions> = {
  cache: oneOf("task", "workflow", "worker", "forever"),
  peerTransfer: flag,
  mode: count(0, 0o777),
  pathName,
};

/** Options of every declared file. */
export interface FileOptions {
  /** How long workers keep it. Default `"workflow"`. */
  readonly cache?: CacheLevel;
  /** False keeps workers from giving it to each other. Default true, of a mini task false. */
  readonly peerTransfer?: boolean;
  /**
   * Permissions of an output that is written to a path or a file url, as `0o755`. What is fetched
   * from a url can be run when its owner may execute it.
   */
  readonly mode?: number;
  /**
   * What its path ends with where it is among the arguments of a function, for tools that look at
   * that: letters, digits and `._+=-`. Default: a path in the worker's cache, which ends with none.
   */
  readonly pathName?: string;
}

/** Options of a file or directory of this machine. */
export interface LocalOptions extends FileOptions {
  /**
   * Removes it, a directory with all that is in it, once it is undeclared and no pending task needs
   * it, at the latest when the manager closes: for what the workflow itself has made, never for
   * what cannot be had again. Default false.
   */
  readonly unlinkWhenDone?: boolean;
}

/** Options of a url. */
export interface UrlOptions extends FileOptions {
  /** SHA-256 that what is fetched must have, in hexadecimal; it is then named by it. */
  readonly sha256?: string;
  /**
   * Has it fetched for this declaration, though another one of the same url is there; only at the
   * levels `"task"` and `"workflow"`. Default false.
   */
  readonly fresh?: boolean;
}

/** Options of a temp. */
export interface TempOptions extends FileOptions {
  /** Copies that are kept at workers. Default: the policy `replicas`. */
  readonly replicas?: number;
  /**
   * `"auto"` lets go of it whenever the tasks that were submitted with it have succeeded, for the
   * policy `pruneTemps: "consumed"`. Default `"manual"`: by `undeclare`, or `using`.
   */
  readonly release?: "manual" | "auto";
}

const digest: Reader<string> = (value, what) => {
  const text = String(value).toLowerCase();
  if (typeof value === "string" && /^[0-9a-f]{64}$/.test(text)) return text;
  throw new TypeError(`Cannot take ${what} "${show(value)}" as 64 hexadecimal digits`);
};

/**
 * A file or directory of this machine; one that is there already is read by the workers themselves
 * where the policies say that they see the files of this machine.
 */
export function localSpec(
  path: unknown,
  options: FileOptions,
  { sharedFileSystem }: Pick<Policies, "sharedFileSystem"> = DEFAULT_POLICIES,
): FileSpec {
  const absolute = absolutePath(path);
  if (sharedFileSystem && existsSync(absolute)) return urlSpec(pathToFileURL(absolute), options);
  return { source: { kind: "local", path: absolute }, ...readFileOptions(options, "file") };
}

/** As `localSpec`, of a manager that can remove the file when it is done with. */
export function ownLocalSpec(
  path: unknown,
  { unlinkWhenDone, ...options }: LocalOptions,
  policies: Policies,
): FileSpec {
  const readers = { ...FILE_READERS, unlinkWhenDone: flag };
  const own = readOptions<LocalOptions>({ unlinkWhenDone }, "file", readers);
  return {
    ...localSpec(path, options, policies),
    path: absolutePath(path),
    isUnlinkedWhenDone: own.unlinkWhenDone ?? false,
  };
}

function absolutePath(path: unknown): string {
  if (!(path instanceof URL) && (typeof path !== "string" || path === "")) {
    throw new TypeError(`Cannot declare "${show(path)}" as a file: expected a path`);
  }
  const isUrl = path instanceof URL || path.startsWith("file://");
  return isUrl ? fileURLToPath(String(path)) : resolve(process.cwd(), path);
}

/** What workers fetch from a url, or store there. */
export function urlSpec(url: unknown, options: UrlOptions): FileSpec {
  const { sha256, fresh, ...common } = options;
  const readers = { ...FILE_READERS, sha256: digest, fresh: flag };
  const own = readOptions<UrlOptions>({ sha256, fresh }, "url", readers);
  const { href } = parseFileUrl(String(url));
  const isFresh = own.fresh === true ? { isFresh: true } : {};
  const source = { kind: "url", url: href, sha256: own.sha256 ?? "", ...isFresh } as const;
  return { source, ...readFileOptions(common, "url") };
}

/** Bytes of the script, or with no data an output to be read later. */
export function bufferSpec(data: unknown, options: FileOptions): FileSpec {
  const level = readFileOptions(options, "buffer");
  if (data === undefined) return { source: { kind: "buffer", bytes: undefined }, ...level };
  if (typeof data === "string") {
    return { source: { kind: "buffer", bytes: new TextEncoder().encode(data) }, ...level };
  }
  // Copied: what the script does to its own bytes later must not change what the name says.
  if (data instanceof Uint8Array) {
    return { source: { kind: "buffer", bytes: new Uint8Array(data) }, ...level };
  }
  throw new TypeError(`Cannot declare "${show(data)}" as a buffer: expected text or a Uint8Array`);
}

/** Contents that a client sends. */
export function uploadSpec(arrival: Promise<BoundFile>, options: FileOptions): FileSpec {
  return { source: { kind: "upload", arrival }, ...readFileOptions(options, "upload") };
}

/** A file that stays in the cluster. */
export function tempSpec(options: TempOptions): FileSpec {
  const { replicas, release, ...common } = options;
  const own = readOptions<TempOptions>({ replicas, release }, "temp", {
    ...FILE_READERS,
    replicas: replicaCount,
    release: oneOf("manual", "auto"),
  });
  const read = readFileOptions(common, "temp");
  if (outlivesWorkflow(read.level)) {
    throw new RangeError(
      `Cannot take cache of temp "${read.level}" as "task" or "workflow": ` +
        "no later workflow knows the name of a temp",
    );
  }
  return {
    source: { kind: "temp" },
    ...read,
    replicas: own.replicas,
    isReleasedByUse: own.release === "auto",
  };
}

/** How many copies of a file a user may want. */
export const replicaCount: Reader<number> = count(1, REPLICAS_MAX);

/** What every declared file can be given. */
export function readFileOptions(options: FileOptions, owner: string): Omit<FileSpec, "source"> {
  const read = readOptions<FileOptions>(options, owner, FILE_READERS);
  return {
    level: read.cache ?? "workflow",
    peerTransfer: read.peerTransfer ?? true,
    mode: read.mode,
    pathName: read.pathName,
  };
}
