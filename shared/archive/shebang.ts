/** First lines of scripts that name their interpreter by a path in an environment. */

/**
 * Bytes of a line that every kernel reads: BINPRM_BUF_SIZE was 128 before Linux 5.1, with a NUL.
 */
const LINE_BYTES_MAX = 127;

/** What nobody reads as anything else between double quotes, in a shell and in Python. */
const QUOTABLE = /^[^"\\$`'\0\n\r]*$/;

/**
 * Returns the lines to put in place of one that begins with `head`, goes on with `prefix` and ends
 * with `rest`; undefined when that line will do as it is.
 *
 * Python is started by way of a shell, which sees a command where Python sees a string
 * (distlib/scripts.py, `_build_shebang`); any other program is looked for in PATH.
 */
export function fixShebang(
  head: string,
  { prefix, rest }: { readonly prefix: string; readonly rest: string },
): string | undefined {
  const isFirst = /^#![ \t]*$/.test(head);
  const line = head + prefix + rest;
  const isReadable = line.length <= LINE_BYTES_MAX && !/[ \t]/.test(prefix);
  if (isReadable || !isFirst) return undefined;
  const [, below = "", args = ""] = /^([^ \t]*)[ \t]*(.*?)[ \t\r]*$/.exec(rest) ?? [];
  const name = below.slice(below.lastIndexOf("/") + 1);
  if (name === "") return undefined;
  const program = prefix + below;
  if (/^python[0-9.]*[a-z]*$/.test(name) && QUOTABLE.test(program) && QUOTABLE.test(args)) {
    const quoted = args === "" ? "" : ` "${args}"`;
    return `#!/bin/sh\n'''exec' "${program}"${quoted} "$0" "$@"\n' '''`;
  }
  return args === "" ? `#!/usr/bin/env ${name}` : `#!/usr/bin/env -S ${name} ${args}`;
}
