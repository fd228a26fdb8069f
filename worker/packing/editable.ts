/**
 * Python packages installed as links to where they are written (`pip install -e`): outside the
 * environment, and so not there where it is unpacked.
 *
 * Sources: Python, library/site; setuptools, command/develop and command/editable_wheel; PEP 660.
 */

import { readFile } from "node:fs/promises";

import { basename, dirname } from "@std/path";

import { insideOf, type PackedEntry } from "./packed_entry.ts";

/** Real ones have a few lines. */
const FILE_BYTES_MAX = 1024 * 1024;

/** Returns the paths among `entries` that lead to packages outside the directory at `root`. */
export async function findEditable(
  root: string,
  { entries, prefixes }: {
    readonly entries: readonly PackedEntry[];
    readonly prefixes: readonly string[];
  },
): Promise<string[]> {
  const found: string[] = [];
  for (const { kind, path, sizeBytes } of entries) {
    const isPth = path.endsWith(".pth");
    if (kind !== "file" || !(isPth || path.endsWith(".egg-link"))) continue;
    if (!/^(site|dist)-packages$/.test(basename(dirname(path)))) continue;
    const isOwn = isPth && basename(path).startsWith("__editable__");
    if (isOwn) found.push(path);
    if (isOwn || sizeBytes > FILE_BYTES_MAX) continue;
    const lines = (await readFile(`${root}/${path}`, "utf8")).split("\n");
    // What is neither a path nor code is a comment.
    const leadsOut = (line: string): boolean =>
      line.startsWith("/") && insideOf(line.trim(), prefixes) === undefined;
    if (lines.some(leadsOut)) found.push(path);
  }
  return found;
}
