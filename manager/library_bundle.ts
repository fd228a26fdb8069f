/**
 * The module of a library as one file that runs at any worker: with what it imports bundled
 * into it, and named by its contents, so that workers which have it are not sent it again.
 *
 * @module
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import process from "node:process";
import { promisify } from "node:util";

import { extname } from "@std/path";

import { bundleModule, canBundle } from "../shared/runtime/bundle.ts";
import { selfCommand, withoutRuntimeVariables } from "../shared/runtime/self_command.ts";
import { codeMissing, codePaths } from "./code_path.ts";

/** A module that is ready to be sent. */
export interface LibraryBundle {
  /** An ECMAScript module for Bun; TypeScript only where it was taken as it is. */
  readonly bytes: Uint8Array;
  /** Of the bytes, hexadecimal. */
  readonly sha256: string;
}

/** Largest bundle, in bytes. */
export const BUNDLE_BYTES_MAX: number = 64 * 1024 * 1024;

/** Longest time that the bundling process gets. */
const BUNDLE_MS_MAX = 60_000;

/** Makes Bun take JavaScript as it is, whatever the name of the file: it is not TypeScript. */
const IS_JAVASCRIPT = "// @bun\n";

/** Imports that need no bundling: built-in modules, and "tendril", which the host has. */
const KEPT_IMPORT =
  /^[ \t]*import\s+(?:type\s+)?[\w$*{}\s,]+?\s+from\s*(["'])(?:node:[\w/]+|tendril)\1;?/gm;

/** What may be another import, if only in a comment: bundling without need does no harm. */
const ANY_IMPORT =
  /\bimport\b|\brequire\s*\(|\bexport\s+(?:type\s+)?(?:\*|\{[^}]*\})[^;]*?\bfrom\b/;

const execute = promisify(execFile);

/**
 * Returns the absolute path of a library's module.
 *
 * @param from Module or directory that a relative `module` starts from: `import.meta.url` of the
 * caller. Without it, the directory of the running script, if the module is there, else the
 * working directory.
 * @throws {TypeError} if it is a url of something else than a file.
 * @throws {Error} if there is no such file, with the places looked at.
 */
export async function findModule(module: string | URL, from?: string | URL): Promise<string> {
  const paths = codePaths(module, from);
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile()) return path;
  }
  throw codeMissing(module, paths);
}

/**
 * Returns the module at an absolute path, ready to be sent.
 *
 * @param text What the module is, if there need be no such file: imports start at the path.
 * @throws {Error} if it cannot be read or bundled, or becomes too large.
 */
export async function bundleLibrary(path: string, text?: string): Promise<LibraryBundle> {
  try {
    const bytes = canBundle ? await bundleModule(path, text) : await bundleElsewhere(path, text);
    if (bytes.length > BUNDLE_BYTES_MAX) throw new Error(`more than ${BUNDLE_BYTES_MAX} bytes`);
    return { bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot bundle library module "${path}": ${found}`, { cause: error });
  }
}

/** On Deno: what imports nothing goes as it is, the rest is bundled by the binary. */
async function bundleElsewhere(path: string, text: string | undefined): Promise<Uint8Array> {
  const extension = extname(path);
  if ([".js", ".mjs", ".ts", ".mts"].includes(extension)) {
    const source = text ?? await readFile(path, "utf8");
    if (!ANY_IMPORT.test(source.replaceAll(KEPT_IMPORT, ""))) {
      return new TextEncoder().encode(extension.endsWith("js") ? IS_JAVASCRIPT + source : source);
    }
  }
  const [program = "", ...args] = selfCommand([
    "internal-bundle",
    path,
    ...(text === undefined ? [] : ["-"]),
  ]);
  try {
    const running = execute(program, args, {
      encoding: "buffer",
      env: withoutRuntimeVariables(process.env),
      maxBuffer: BUNDLE_BYTES_MAX,
      timeout: BUNDLE_MS_MAX,
    });
    // What ends before it has read all says why by its own end.
    running.child.stdin?.on("error", () => {}).end(text ?? "");
    const { stdout } = await running;
    return new Uint8Array(stdout);
  } catch (error) {
    const { stderr, code } = error as { readonly stderr?: Uint8Array; readonly code?: unknown };
    if (code === "ENOENT" || code === "EACCES") {
      throw new Error(
        `what imports others is bundled by the program "tendril", and "${program}" cannot be run; ` +
          "set TENDRIL_BIN to it, or put it into PATH",
        { cause: error },
      );
    }
    const said = stderr === undefined ? "" : new TextDecoder().decode(stderr).trim();
    throw said === "" ? error : new Error(said, { cause: error });
  }
}
