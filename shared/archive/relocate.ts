/**
 * An environment made to work at the place where it will be used.
 *
 * What holds the path that it was packed at is rewritten: files that the records of conda-pack name,
 * the text files of a virtual environment that its tools write, and links. It is done when all
 * files of a tree are there and none of its links is, so that no path leads out of the tree.
 */

import {
  chmodSync,
  closeSync,
  type Dirent,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { setImmediate } from "node:timers/promises";

import { basename, dirname } from "@std/path";

import { utf8Length } from "../relative_path.ts";
import { ArchiveError, quoteName, tooLarge } from "./archive_error.ts";
import { findEnvironmentRoot } from "./environment_root.ts";
import type { NewTarget } from "./member_writer.ts";
import {
  type PrefixRecord,
  readPrefixRecords,
  RECORDS_BYTES_MAX,
  RECORDS_PATH,
  unreadable,
} from "./prefix_records.ts";
import { type GrowthRoom, type PrefixRewrite, rewritePrefixes } from "./prefix_rewriter.ts";
import { timeSeconds, writeFault } from "./tree_plan.ts";
import { packedPrefixes } from "./packed_prefixes.ts";

/** UTF-8 bytes of the place of an environment: what conda-build leaves room for in programs. */
export const PREFIX_BYTES_MAX = 255;

/** Bytes at the start of a file that tell whether it is text. */
const LOOK_BYTES = 8 * 1024;

/** Longer than this nothing else is done meanwhile, such as noticing that the parent is gone. */
const BUSY_MS_MAX = 50;

/** Throws `ArchiveError` when no environment can be used at `place`. */
export function checkPlace(place: string): void {
  const lengthBytes = utf8Length(place);
  if (lengthBytes <= PREFIX_BYTES_MAX) return;
  throw new ArchiveError(
    `Cannot unpack an environment to ${quoteName(place)}: its path has ${lengthBytes} bytes, and ` +
      `programs have room for ${PREFIX_BYTES_MAX}`,
  );
}

/** Where a tree will be used, and how to make it fit there. */
export interface RelocateOptions {
  readonly place: string;
  readonly room: GrowthRoom;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Rewrites the files of the tree `root`, which has no links yet, for use at `place`.
 *
 * Throws `ArchiveError` naming the entry at fault; before the first file is written when what the
 * records say cannot be done.
 */
export async function relocateTree(
  root: string,
  { place, room, signal }: RelocateOptions,
): Promise<NewTarget> {
  checkPlace(place);
  const { path } = findEnvironmentRoot(root);
  const tree = path === "" ? root : `${root}/${path}`;
  const prefix = path === "" ? place : `${place}/${path}`;
  checkPlace(prefix);
  const isRecorded = lstatSync(`${tree}/${RECORDS_PATH}`, { throwIfNoEntry: false })?.isFile();
  const { records, emptied } = isRecorded
    ? readPrefixRecords(readRecordsFile(tree))
    : { records: [], emptied: undefined };
  const recorded = planRecorded(tree, records, prefix);
  const prefixes = new Set(records.map(({ placeholder }) => placeholder));
  for (const each of packedPrefixes(tree)) prefixes.add(each);
  const others = planOthers(tree, { prefixes, prefix, recorded });
  let pausedAtMs = performance.now();
  for (const { path, rewrite } of [...recorded.values(), ...others]) {
    if (performance.now() - pausedAtMs > BUSY_MS_MAX) {
      await setImmediate();
      pausedAtMs = performance.now();
    }
    signal?.throwIfAborted();
    const isChanged = rewriteEntry(tree, { path, rewrite }, room);
    if (isChanged && path.endsWith(".py")) removeCompiled(tree, path);
  }
  if (emptied !== undefined) replaceText(`${tree}/${RECORDS_PATH}`, emptied);
  return (target) => newTarget(target, prefixes, prefix);
}

/** One file to rewrite. */
interface Planned {
  readonly path: string;
  readonly rewrite: PrefixRewrite;
}

function readRecordsFile(tree: string): string {
  const path = `${tree}/${RECORDS_PATH}`;
  const { size } = lstatSync(path);
  if (size > RECORDS_BYTES_MAX) {
    throw unreadable(`it has ${size} bytes, more than ${RECORDS_BYTES_MAX}`);
  }
  return readFileSync(path, "utf8");
}

/**
 * Plans one pass over each file that is named, whatever its names: a second one over the same
 * bytes would find the old prefix in the new one. Returns {inode: its pass}.
 */
function planRecorded(
  tree: string,
  records: readonly PrefixRecord[],
  prefix: string,
): Map<string, Planned> {
  const byFile = new Map<string, PrefixRecord[]>();
  const prefixBytes = Buffer.from(prefix);
  for (const record of records) {
    const { path, placeholder, mode } = record;
    const found = lstatSync(`${tree}/${path}`, { bigint: true, throwIfNoEntry: false });
    if (!found?.isFile()) throw refusal(path, "it is not one of the archive's files");
    const placeholderBytes = utf8Length(placeholder);
    if (mode === "binary" && placeholderBytes < prefixBytes.length) {
      const room = `it has room for ${placeholderBytes} bytes, and ${quoteName(prefix)}`;
      throw refusal(path, `${room} has ${prefixBytes.length}`);
    }
    const key = `${found.dev}:${found.ino}`;
    const sameFile = byFile.get(key);
    if (sameFile === undefined) byFile.set(key, [record]);
    else if (sameFile[0]?.mode === mode) sameFile.push(record);
    else throw refusal(path, "its records say both text and binary");
  }
  return new Map([...byFile].map(([key, sameFile]) => {
    const [{ path, mode } = { path: "", mode: "text" as const }] = sameFile;
    const placeholders = bytesOf(sameFile.map(({ placeholder }) => placeholder));
    return [key, {
      path,
      rewrite: { placeholders, prefix: prefixBytes, mode, isWholePath: false },
    }];
  }));
}

/**
 * Plans what no record names: in a virtual environment the scripts and settings, in any other the
 * scripts beside the interpreter that conda-unpack passes over (`bin/python3-config`).
 */
function planOthers(
  tree: string,
  { prefixes, prefix, recorded }: {
    readonly prefixes: ReadonlySet<string>;
    readonly prefix: string;
    readonly recorded: ReadonlyMap<string, Planned>;
  },
): Planned[] {
  if (prefixes.size === 0) return [];
  const isVirtual = isFile(`${tree}/pyvenv.cfg`);
  const placeholders = bytesOf([...prefixes]);
  const rewrite: PrefixRewrite = {
    placeholders,
    prefix: Buffer.from(prefix),
    mode: "text",
    isWholePath: true,
  };
  const planned = new Map<string, Planned>();
  const paths = isVirtual ? virtualPaths(tree) : namesIn(tree, "bin", /^python/);
  for (const path of paths) {
    const found = lstatSync(`${tree}/${path}`, { bigint: true });
    const key = `${found.dev}:${found.ino}`;
    if (recorded.has(key) || path === RECORDS_PATH || !isText(`${tree}/${path}`)) continue;
    planned.set(key, { path, rewrite });
  }
  return [...planned.values()];
}

/** Text files into which the tools of virtual environments write where these are. */
function virtualPaths(tree: string): string[] {
  const paths = isFile(`${tree}/pyvenv.cfg`) ? ["pyvenv.cfg"] : [];
  paths.push(...namesIn(tree, "bin", /./));
  for (const library of ["lib", "lib64"]) {
    for (const python of directoriesIn(tree, library)) {
      paths.push(...namesIn(tree, `${python}/site-packages`, /\.(?:pth|egg-link)$/));
    }
  }
  for (const kernel of directoriesIn(tree, "share/jupyter/kernels")) {
    paths.push(...namesIn(tree, kernel, /^kernel\.json$/));
  }
  return paths;
}

/** Paths of the files of that kind in a directory, which need not exist. */
function namesIn(tree: string, directory: string, name: RegExp): string[] {
  return entriesOf(`${tree}/${directory}`).filter((entry) =>
    entry.isFile() && name.test(entry.name)
  )
    .map((entry) => `${directory}/${entry.name}`);
}

function directoriesIn(tree: string, directory: string): string[] {
  return entriesOf(`${tree}/${directory}`).filter((entry) => entry.isDirectory())
    .map((entry) => `${directory}/${entry.name}`);
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    // There is none.
    return [];
  }
}

function rewriteEntry(tree: string, { path, rewrite }: Planned, room: GrowthRoom): boolean {
  try {
    return rewritePrefixes(`${tree}/${path}`, rewrite, room);
  } catch (cause) {
    if (cause instanceof ArchiveError && cause.isTooLarge) throw tooLarge(room.bytesMax, path);
    throw writeFault(path, cause);
  }
}

/** What was compiled of a source that was rewritten holds the old prefix, even if it looks fresh. */
function removeCompiled(tree: string, path: string): void {
  const stem = basename(path, ".py");
  const directory = dirname(`${tree}/${path}`);
  rmSync(`${directory}/${stem}.pyc`, { force: true });
  for (const { name } of entriesOf(`${directory}/__pycache__`)) {
    const isOf = name.startsWith(`${stem}.`) && name.endsWith(".pyc");
    if (isOf) rmSync(`${directory}/__pycache__/${name}`, { force: true });
  }
}

function replaceText(path: string, text: string): void {
  const { mode, mtimeMs } = lstatSync(path);
  chmodSync(path, mode | 0o200);
  writeFileSync(path, text);
  const seconds = timeSeconds(mtimeMs);
  utimesSync(path, seconds, seconds);
  chmodSync(path, mode);
}

function newTarget(target: string, prefixes: ReadonlySet<string>, prefix: string): string {
  let longest = "";
  for (const each of prefixes) {
    const isBelow = target === each || target.startsWith(`${each}/`);
    if (isBelow && each.length > longest.length) longest = each;
  }
  return longest === "" ? target : prefix + target.slice(longest.length);
}

function bytesOf(texts: readonly string[]): Uint8Array[] {
  return [...new Set(texts)].map((text) => Buffer.from(text));
}

function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isText(path: string): boolean {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(LOOK_BYTES);
    return !bytes.subarray(0, readSync(file, bytes, 0, LOOK_BYTES, 0)).includes(0);
  } finally {
    closeSync(file);
  }
}

function refusal(path: string, found: string): ArchiveError {
  const message = `Cannot relocate entry ${quoteName(path)} to its new place: ${found}`;
  return new ArchiveError(message, { entry: path });
}
