/**
 * `bin/conda-unpack`: the last entry of a packed environment, with a record of each file in which a
 * placeholder stands for the environment's path.
 *
 * A worker reads the records as data and never runs the script; by hand it does the same where no
 * Tendril is. The form of the records is conda-pack's, whose script has this name too.
 */

/** Where the script lies in an environment. */
export const UNPACK_SCRIPT_PATH = "bin/conda-unpack";

/** A file to be relocated. */
export interface PrefixRecord {
  /** Relative to the environment. */
  readonly path: string;
  readonly placeholder: string;
  readonly mode: "text" | "binary";
}

/** Returns the script with `records`. */
export function unpackScript(records: readonly PrefixRecord[]): string {
  const rows = records.map(({ path, placeholder, mode }) => {
    return `(${literal(path)}, ${literal(placeholder)}, ${literal(mode)})`;
  });
  return SCRIPT.replace("RECORDS", () => rows.join(",\n"));
}

/** A string of Python, as its own `repr` writes it. */
function literal(text: string): string {
  // deno-lint-ignore no-control-regex
  const escaped = text.replaceAll(/[\\'\x00-\x1f\x7f]/g, (character) => {
    if (character === "\\" || character === "'") return `\\${character}`;
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `'${escaped}'`;
}

const SCRIPT = String.raw`#!/usr/bin/env python3
# -*- coding: utf-8 -*-
"""Makes this environment work where it is now, by writing its path into the files that need it.

Written by "tendril pack". Any Python from 3.6 on runs it; running it again does no harm.
"""
import os
import re
import shutil
import sys
import tempfile

_prefix_records = [
RECORDS
]


def relocated(data, placeholder, prefix, mode):
    if mode == "text":
        return data.replace(placeholder, prefix)

    def padded(match):
        string = match.group().replace(placeholder, prefix)
        return string + b"\0" * (len(match.group()) - len(string))

    return re.sub(re.escape(placeholder) + b"[^\0]*\0", padded, data)


def relocate(path, placeholder, prefix, mode):
    with open(path, "rb") as file:
        data = file.read()
    new = relocated(data, placeholder, prefix, mode)
    if new == data:
        return
    # Another file takes its place, so that none is ever half written and a running one stays as it is.
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".conda-unpack-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(new)
        shutil.copystat(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main():
    prefix = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    new = os.fsencode(prefix)
    for path, placeholder, mode in _prefix_records:
        if mode == "binary" and len(new) > len(os.fsencode(placeholder)):
            message = 'conda-unpack: Cannot relocate "{}" to "{}": its path may have {} bytes at most'
            sys.exit(message.format(path, prefix, len(os.fsencode(placeholder))))
    for path, placeholder, mode in _prefix_records:
        path = os.path.join(prefix, path)
        if not os.path.isfile(path):
            sys.stderr.write('conda-unpack: "{}" is not there\n'.format(path))
            continue
        relocate(path, os.fsencode(placeholder), new, mode)


if __name__ == "__main__":
    main()
`;
