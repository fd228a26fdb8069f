/**
 * Names of apps whose functions have none: `const add = app((a, b) => a + b)` is called `add`, as the
 * line on which it stands says. It is only for people: where nothing is found, the place has to do.
 *
 * @module
 */

import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { basename } from "@std/path";

/** Larger files are not looked into. */
const SOURCE_BYTES_MAX = 4 * 1024 * 1024;

/** Files whose lines are kept; a script declares its apps in a few. */
const SOURCES_MAX = 32;

/** Lines above the call on which a declaration may begin, as formatters break long ones. */
const LINES_ABOVE_MAX = 3;

/** Frames of a stack that are looked at. */
const FRAMES_MAX = 8;

/** `    at name (file:///script.ts:12:7)`, and without parentheses; in Bun, Deno and the binary. */
const FRAME = /^\s*at (?:.*\()?(.+?):(\d+):(\d+)\)?$/;

/** What stands before the called function: `const add = `, `add: `, `this.add = tools.`. */
const DECLARATION = /(?:^|[\s,{.;(])([A-Za-z_$][\w$]*)\s*(?::[^=;]*=|[=:])\s*(?:[\w$]+\.)*$/;

const sources = new Map<string, readonly string[] | undefined>();

/**
 * The name of what is being declared by the caller of `declaring`.
 *
 * @param declaring The function that people call: frames up to it are left out.
 * @returns `add`, else `script.ts:12`, else `anonymous`.
 */
export function declaredName(declaring: (...args: never[]) => unknown): string {
  try {
    const place = callerOf(declaring);
    if (place === undefined) return "anonymous";
    const lines = linesOf(place.file);
    return nameAt(lines ?? [], place) ?? `${basename(place.file)}:${place.line}`;
  } catch {
    // A name is never worth an error.
    return "anonymous";
  }
}

/** Where in a file, counted from 1. */
interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

function callerOf(declaring: (...args: never[]) => unknown): Place | undefined {
  const holder: { stack?: string } = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES_MAX;
  try {
    Error.captureStackTrace(holder, declaring);
  } finally {
    Error.stackTraceLimit = limit;
  }
  for (const line of (holder.stack ?? "").split("\n")) {
    const [, file = "", row, column] = FRAME.exec(line) ?? [];
    if (row === undefined || /^(?:node|native|ext|bun):|^\[/.test(file)) continue;
    const path = file.startsWith("file:") ? fileURLToPath(file) : file;
    return { file: path, line: Number(row), column: Number(column) };
  }
  return undefined;
}

function linesOf(file: string): readonly string[] | undefined {
  if (sources.has(file)) return sources.get(file);
  if (sources.size >= SOURCES_MAX) sources.clear();
  let lines: readonly string[] | undefined;
  try {
    if (statSync(file).size <= SOURCE_BYTES_MAX) lines = readFileSync(file, "utf8").split("\n");
  } catch {
    // It is in a bundle, or came over the network.
  }
  sources.set(file, lines);
  return lines;
}

/** The column is where the called function's name begins. */
function nameAt(lines: readonly string[], { line, column }: Place): string | undefined {
  const above = lines.slice(Math.max(0, line - 1 - LINES_ABOVE_MAX), line - 1);
  const before = [...above, lines[line - 1]?.slice(0, column - 1) ?? ""].join(" ");
  return DECLARATION.exec(before)?.[1];
}
