/**
 * The `cache` command: what workers of this user keep for ever on this host, and its removal.
 *
 * With `--json` it prints one document of version 1: `list` `{ version, files: CachedItem[] }`,
 * `remove` `{ version, removed: string[] }`.
 *
 * @module
 */

import { existsSync, readdirSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import {
  commandHelp,
  type CommandSpec,
  EXIT_FAILURE,
  EXIT_USAGE,
  readArguments,
  UsageError,
} from "../shared/command_line.ts";
import type { CacheName } from "../shared/ids.ts";
import { plainText } from "../shared/plain_text.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import { type SharedFile, SharedStore } from "./shared_store.ts";
import { ensurePrivate, STORE_NAME, userDirectory } from "./workspace.ts";

/** What is kept under one name. */
export interface CachedItem {
  readonly name: string;
  readonly sizeBytes: number;
  /** Epoch milliseconds. */
  readonly addedAtMs: number;
  /** When a worker had it read last, to about a minute; epoch milliseconds. */
  readonly usedAtMs: number;
  readonly kind: "file" | "directory";
  /** Where it is from. */
  readonly what: "contents" | "url" | "output" | "unpacked" | "environment" | "mini task";
}

/** By the first part of the names that managers give; contents have their digest in theirs. */
const ORIGINS: readonly (readonly [prefix: string, what: CachedItem["what"]])[] = [
  ["url-", "url"],
  ["temp-", "output"],
  ["unpacked-", "unpacked"],
  ["environment-", "environment"],
  ["mini-", "mini task"],
];

/** The command `cache`. */
export const CACHE_COMMAND: CommandSpec = {
  name: "cache",
  usage: "tendril cache [list | remove NAME... | remove --all] [--workspace DIR]",
  summary: "show and clear what workers keep for ever on this host",
  example: "tendril cache remove --all",
  options: {
    all: { help: "remove all of it" },
    workspace: { value: "DIR", help: "as the workers were given; default: below TMPDIR" },
    json: { help: "print one JSON document" },
  },
  operands: { values: ["list", "remove"] },
};

const VERSION = 1;
const MESSAGE_CHARS_MAX = 1_000;

type Env = { readonly [name: string]: string | undefined };

/** Runs `tendril cache` with the arguments after that word; resolves to its exit code. */
export async function runCacheCommand(argv: readonly string[], env: Env): Promise<number> {
  try {
    const given = readArguments(CACHE_COMMAND, argv, env);
    if (given.isHelp) {
      process.stdout.write(commandHelp(CACHE_COMMAND));
      return 0;
    }
    const [action = "list", ...names] = given.positionals;
    const isAll = given.flag("all");
    const isJson = given.flag("json");
    const path = placeOf(given.text("workspace"), env);
    if (action === "list") {
      const extra = names[0] ?? (isAll ? "--all" : undefined);
      if (extra !== undefined) throw new UsageError(`Cannot list "${extra}": list takes no names`);
      return list(path, isJson);
    }
    if (action !== "remove") {
      throw new UsageError(`Cannot run "cache ${action}" as a command: expected list or remove`);
    }
    if (isAll === names.length > 0) {
      throw new UsageError("Cannot remove without knowing what: expected names, or --all");
    }
    return await remove(path, { names, isAll, isJson });
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
  }
}

/** Checked as a worker does: what another user has put there is not touched. */
function placeOf(workspace: string | undefined, env: Env): string {
  if (workspace !== undefined && !existsSync(workspace)) {
    throw new Error(`Cannot read "${workspace}" as a folder of workspaces: it does not exist`);
  }
  const path = userDirectory(workspace, env);
  if (existsSync(path)) ensurePrivate(path);
  return path;
}

function list(path: string, isJson: boolean): number {
  const files = itemsIn(openStore(path));
  if (isJson) return printJson({ version: VERSION, files });
  const ago = (atMs: number): string => formatDuration(Math.max(0, Date.now() - atMs));
  const rows = files.map(({ name, sizeBytes, addedAtMs, usedAtMs, kind, what }) => {
    return [name, formatSize(sizeBytes), ago(addedAtMs), ago(usedAtMs), kind, what];
  });
  process.stdout.write(table([["NAME", "SIZE", "AGE", "USED", "KIND", "WHAT"], ...rows]));
  return 0;
}

async function remove(
  path: string,
  { names, isAll, isJson }: {
    readonly names: readonly string[];
    readonly isAll: boolean;
    readonly isJson: boolean;
  },
): Promise<number> {
  const store = openStore(path);
  const wanted = new Set(isAll ? itemsIn(store).map(({ name }) => name) : names);
  const removed: string[] = [];
  let isFailed = false;
  for (const name of wanted) {
    const removal = isPlain(name) ? await store?.remove(name as CacheName) : undefined;
    if (removal === "removed") {
      removed.push(name);
      continue;
    }
    isFailed = true;
    const found = removal === "used"
      ? "a running worker has it in use"
      : "nothing of that name is kept";
    complain(`Cannot remove "${name}": ${found}`);
  }
  if (isJson) printJson({ version: VERSION, removed });
  else for (const name of removed) process.stdout.write(`${name}\n`);
  return isFailed ? EXIT_FAILURE : 0;
}

/** A name becomes a path: none that is not one entry of a folder. */
function isPlain(name: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(name);
}

/** Where no worker ever was, looking makes nothing. */
function openStore(path: string): SharedStore | undefined {
  const storePath = join(path, STORE_NAME);
  return existsSync(storePath) && readdirSync(storePath).length > 0
    ? new SharedStore(storePath)
    : undefined;
}

/** In the order of their names. */
function itemsIn(store: SharedStore | undefined): CachedItem[] {
  return (store?.files() ?? []).map(itemOf).sort((a, b) => a.name < b.name ? -1 : 1);
}

function itemOf({ facts, addedAtMs, usedAtMs }: SharedFile): CachedItem {
  const { name, sizeBytes, isDirectory } = facts;
  const what = ORIGINS.find(([prefix]) => name.startsWith(prefix))?.[1] ?? "contents";
  return {
    name,
    sizeBytes,
    addedAtMs,
    usedAtMs,
    kind: isDirectory ? "directory" : "file",
    what,
  };
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = [0, 1, 2, 3, 4].map((index) => {
    return rows.reduce((width, row) => Math.max(width, row[index]?.length ?? 0), 0);
  });
  return rows.map((row) => {
    const cells = row.map((cell, index) => cell.padEnd(widths[index] ?? 0));
    return `${cells.join("  ").trimEnd()}\n`;
  }).join("");
}

function printJson(document: object): number {
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
  return 0;
}

function complain(message: string): void {
  process.stderr.write(`tendril cache: ${plainText(message, MESSAGE_CHARS_MAX)}\n`);
}
