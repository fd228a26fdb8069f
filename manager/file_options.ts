/** How scripts declare files, checked and made into what the store keeps. */

import process from "node:process";
import { fileURLToPath } from "node:url";

import { resolve } from "@std/path";

import type { CacheLevel } from "../shared/task.ts";
import type { BoundFile } from "./core/event.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileSpec } from "./file_store.ts";
import { count, flag, oneOf, readOptions, show } from "./option.ts";

/** Options of every declared file. */
export interface FileOptions {
  /** How long workers keep it. Default `"workflow"`. */
  readonly cache?: CacheLevel;
  /** False keeps workers from giving it to each other. Default true. */
  readonly peerTransfer?: boolean;
  /** Permissions of an output that is delivered to a path, as `0o755`. */
  readonly mode?: number;
}

/** A file or directory of this machine. */
export function localSpec(path: unknown, options: FileOptions): FileSpec {
  if (!(path instanceof URL) && (typeof path !== "string" || path === "")) {
    throw new TypeError(`Cannot declare "${show(path)}" as a file: expected a path`);
  }
  const isUrl = path instanceof URL || path.startsWith("file://");
  const absolute = isUrl ? fileURLToPath(String(path)) : resolve(process.cwd(), path);
  return { source: { kind: "local", path: absolute }, ...readFileOptions(options, "file") };
}

/** What workers fetch from a url. */
export function urlSpec(url: unknown, options: FileOptions): FileSpec {
  const text = String(url);
  const isGood = URL.canParse(text) &&
    ["http:", "https:", "file:"].includes(new URL(text).protocol);
  if (!isGood) {
    throw new TypeError(
      `Cannot declare "${show(text)}" as a url: expected http://, https:// or file://`,
    );
  }
  return { source: { kind: "url", url: new URL(text).href }, ...readFileOptions(options, "url") };
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
export function tempSpec(options: FileOptions): FileSpec {
  return { source: { kind: "temp" }, ...readFileOptions(options, "temp") };
}

/** What the worker that needs it makes of an archive. */
export function recipeSpec(
  recipe: "unpack" | "environment",
  input: FileEntry,
  options: FileOptions,
): FileSpec {
  return { source: { kind: "mini_task", recipe, input }, ...readFileOptions(options, recipe) };
}

/** What every declared file can be given. */
export function readFileOptions(options: FileOptions, owner: string): Omit<FileSpec, "source"> {
  const read = readOptions<FileOptions>(options, owner, {
    cache: oneOf("task", "workflow", "worker", "forever"),
    peerTransfer: flag,
    mode: count(0, 0o777),
  });
  return {
    level: read.cache ?? "workflow",
    peerTransfer: read.peerTransfer ?? true,
    mode: read.mode,
  };
}
