/** Where the code of a library lies: paths as scripts give them, and the places they may mean. */

import process from "node:process";
import { fileURLToPath } from "node:url";

import { resolve } from "@std/path";

/**
 * The absolute paths that `code`, a path or the url of a file, may mean, the foremost first: one
 * beside `from`, a module or directory; without it one beside the running script, and one in the
 * working directory.
 *
 * @throws {TypeError} if it is a url of something else than a file.
 */
export function codePaths(code: string | URL, from: string | URL | undefined): string[] {
  const text = String(code);
  if (/^[a-z][a-z\d+.-]+:/i.test(text)) {
    if (text.startsWith("file:")) return [fileURLToPath(text)];
    throw new TypeError(`Cannot take "${text}" as a library module: not a url of a file`);
  }
  if (from !== undefined) {
    const base = String(from);
    return base.startsWith("file:")
      ? [fileURLToPath(new URL(text, base).href)]
      : [resolve(base, text)];
  }
  const script = process.argv[1];
  const places = script === undefined ? [] : [resolve(script, "..", text)];
  return [...new Set([...places, resolve(text)])];
}

/** Tells source text, which has a line break, from the path of code. */
export function isSourceText(code: string | URL): code is string {
  return typeof code === "string" && /[\r\n]/.test(code);
}

/** The error of code that is at none of these places. */
export function codeMissing(code: string | URL, paths: readonly string[]): Error {
  return new Error(
    `Cannot find library module "${code}": no such file as ${paths.join(" or ")}`,
  );
}
