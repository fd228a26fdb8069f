/**
 * What an environment says of the place where it was made, besides its records.
 *
 * Of virtual environments see `venv/__init__.py` and `venv/scripts` of CPython, virtualenv's and
 * uv's activators; conda keeps the commands by which it was called (conda/history.py).
 */

import { closeSync, openSync, readSync } from "node:fs";

import { findPrefixFault } from "./prefix_records.ts";

/** Bytes of a file that are looked through for a place; a real one has some thousands. */
const TEXT_BYTES_MAX = 64 * 1024;
/** Characters of a line with a path in it. */
const LINE_LENGTH_MAX = 8_192;

/** `VIRTUAL_ENV=…` as the various tools quote it. */
const VIRTUAL_ENV =
  /^[ \t]*(?:export[ \t]+)?VIRTUAL_ENV=(?:'([^'\n]*)'|"([^"$`\\\n]*)"|([^\s"'$`\\;]+))[ \t]*$/gm;

/** The last argument of `python -m venv`, which may have blanks in it. */
const COMMAND = / -m venv (?:.*? )??(\/.*)$/;

/** `-p /path`, as conda was called. */
const PREFIX_OPTION = /[ ](?:-p|--prefix)[ =](\/\S+)/;

/** Returns the paths under which the environment in the directory `root` was made or activated. */
export function packedPrefixes(root: string): string[] {
  const prefixes = new Set<string>();
  for (const line of readStart(`${root}/pyvenv.cfg`).split("\n")) {
    if (!line.startsWith("command") || line.length > LINE_LENGTH_MAX) continue;
    const made = COMMAND.exec(line.trimEnd())?.[1];
    if (made !== undefined) prefixes.add(made);
  }
  for (const match of readStart(`${root}/bin/activate`).matchAll(VIRTUAL_ENV)) {
    prefixes.add(match[1] ?? match[2] ?? match[3] ?? "");
  }
  for (const line of readStart(`${root}/conda-meta/history`).split("\n")) {
    if (!line.startsWith("# cmd:") || line.length > LINE_LENGTH_MAX) continue;
    const made = PREFIX_OPTION.exec(line)?.[1];
    if (made !== undefined) prefixes.add(made);
  }
  return [...prefixes].map((prefix) => prefix.replace(/\/+$/, ""))
    .filter((prefix) => findPrefixFault(prefix) === undefined);
}

/** Empty where there is no such file. */
function readStart(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(TEXT_BYTES_MAX);
      return bytes.subarray(0, readSync(file, bytes, 0, TEXT_BYTES_MAX, 0)).toString("utf8");
    } finally {
      closeSync(file);
    }
  } catch {
    return "";
  }
}
