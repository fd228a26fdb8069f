/** The code of a Python library: found, and checked for a name that Python can import it by. */

import { existsSync, type Stats, statSync } from "node:fs";

import { basename, join } from "@std/path";

import { codeMissing, codePaths, isSourceText } from "./code_path.ts";
import { show } from "./option.ts";

/** Code that is imported as `name`. */
export type PythonModule =
  | { readonly kind: "text"; readonly name: string; readonly text: string }
  /** `path` is absolute. */
  | { readonly kind: "file"; readonly name: string; readonly path: string }
  /** `path` is that of a directory, absolute. */
  | { readonly kind: "package"; readonly name: string; readonly path: string };

/** Largest source text or file, in bytes. */
export const PYTHON_BYTES_MAX: number = 64 * 1024 * 1024;

/** What the name of a module is made of; source: the reference of Python, section 2.3. */
const IDENTIFIER = /^[\p{XID_Start}_][\p{XID_Continue}]*$/u;

/** Source: `keyword.kwlist` of Python 3.8 to 3.14. */
const KEYWORDS: ReadonlySet<string> = new Set(
  ("False None True and as assert async await break class continue def del elif else except " +
    "finally for from global if import in is lambda nonlocal not or pass raise return try while " +
    "with yield").split(" "),
);

/** Names of modules that a process which serves a library has already. */
const TAKEN: ReadonlySet<string> = new Set(["tendril", "__main__", "__init__"]);

/**
 * The code that `python` names: source text when it has a line break, else the path of a `.py` file
 * or of a package, to be found as `codePaths` says.
 *
 * @param library Its name; text is imported by it.
 * @throws {TypeError | RangeError} When it is none of these, or could not be imported.
 * @throws {Error} When there is nothing at such a path, with the places looked at.
 */
export function findPython(
  python: string | URL,
  { from, library }: { readonly from: string | URL | undefined; readonly library: string },
): PythonModule {
  if (isSourceText(python)) {
    if (Buffer.byteLength(python) > PYTHON_BYTES_MAX) throw refuseSize(`text of "${library}"`);
    return { kind: "text", name: identifierOf(library), text: python };
  }
  const paths = codePaths(python, from);
  for (const path of paths) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined) return moduleAt(path, found);
  }
  if (typeof python === "string" && /^[A-Za-z_]\w*(\.\w+)*$/.test(python)) {
    const { message } = codeMissing(python, paths);
    throw new Error(`${message}; what is installed goes in as text: "from ${python} import …\\n"`);
  }
  throw codeMissing(python, paths);
}

function moduleAt(path: string, found: Stats): PythonModule {
  if (found.isDirectory()) {
    if (existsSync(join(path, "__init__.py"))) {
      return { kind: "package", name: checkName(basename(path), path), path };
    }
    throw new TypeError(`Cannot import "${path}" as a Python package: it has no __init__.py`);
  }
  if (!found.isFile() || !path.endsWith(".py")) {
    throw new TypeError(
      `Cannot import "${path}" as a Python module: expected a file whose name ends in .py, or a ` +
        "directory with an __init__.py",
    );
  }
  if (found.size > PYTHON_BYTES_MAX) throw refuseSize(path);
  return { kind: "file", name: checkName(basename(path, ".py"), path), path };
}

function checkName(name: string, path: string): string {
  const found = KEYWORDS.has(name)
    ? "is a keyword of Python"
    : TAKEN.has(name)
    ? "is the name of another module there"
    : IDENTIFIER.test(name)
    ? undefined
    : "is not a name in Python: expected letters, digits and _";
  if (found === undefined) return name;
  throw new TypeError(`Cannot import "${path}" as a Python module: "${show(name)}" ${found}`);
}

/** A name for code that has none: what Python would not take is replaced. */
function identifierOf(text: string): string {
  const name = text.replaceAll(/[^\p{XID_Continue}]/gu, "_");
  if (!IDENTIFIER.test(name)) return `_${name}`;
  return KEYWORDS.has(name) || TAKEN.has(name) ? `${name}_` : name;
}

function refuseSize(what: string): RangeError {
  return new RangeError(
    `Cannot import "${what}" as a Python module: more than ${PYTHON_BYTES_MAX} bytes`,
  );
}
