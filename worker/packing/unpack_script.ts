/**
 * `bin/conda-unpack`: the last entry of a packed environment, with a record of each file in which a
 * placeholder stands for the environment's path.
 *
 * A worker reads the records as data and never runs the script (shared/archive/relocate.ts); by
 * hand it does the same where no Tendril is. The form of the records is conda-pack's, whose script
 * has this name too.
 */

import type { PrefixRecord } from "../../shared/archive/prefix_records.ts";

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
        line = re.match(rb"#![ \t]*" + re.escape(placeholder) + rb"([^ \t\r\n]*)([^\n]*)", data)
        if line:
            data = first_line(line, placeholder, prefix) + data[line.end():]
        return data.replace(placeholder, prefix)

    def padded(match):
        string = match.group().replace(placeholder, prefix)
        return string + b"\0" * (len(match.group()) - len(string))

    return re.sub(re.escape(placeholder) + b"[^\0]*\0", padded, data)


def first_line(line, placeholder, prefix):
    """Kernels read 127 bytes of it, and no blanks in a path: then a shell or env reads it."""
    plain = line.group().replace(placeholder, prefix)
    below, args = line.group(1), line.group(2).replace(placeholder, prefix).strip()
    name = below.rpartition(b"/")[2]
    if not name or len(plain) <= 127 and not re.search(rb"[ \t]", prefix):
        return plain
    quotable = not re.search(b"[\"\\\\$\\x60'\\0\\r]", prefix + below + args)
    if quotable and re.match(rb"python[0-9.]*[a-z]*$", name):
        quoted = b' "' + args + b'"' if args else b""
        start = b"#!/bin/sh\n'''exec' \"" + prefix + below + b'"' + quoted
        return start + b' "$0" "$@"\n\' \'\'\''
    return b"#!/usr/bin/env -S " + name + b" " + args if args else b"#!/usr/bin/env " + name


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
