/**
 * What a directory to be packed is: a conda prefix, a virtual environment of Python or neither, and
 * whether it would work where it is unpacked.
 */

import { existsSync, realpathSync, statSync } from "node:fs";

import { resolve } from "@std/path";

import { ArchiveError, quoteName } from "../../shared/archive/archive_error.ts";
import { RECORDS_PATH } from "../../shared/archive/prefix_records.ts";
import { packedPrefixes } from "../../shared/archive/packed_prefixes.ts";
import { CONDA_META, type CondaFiles, readCondaMeta } from "./conda_meta.ts";
import { findEditable } from "./editable.ts";
import { type PackedEntry, readEntries } from "./packed_entry.ts";

/** What a directory is packed as. */
export type EnvironmentKind = "conda" | "venv" | "plain";

/** A directory to be packed, of which everything but the contents has been read. */
export interface Environment {
  /** Absolute, without links. */
  readonly root: string;
  readonly kind: EnvironmentKind;
  /** Absolute paths by which it is known, and so may stand in its files. */
  readonly prefixes: readonly string[];
  readonly entries: readonly PackedEntry[];
  /** What conda installed; undefined where it did not. */
  readonly conda: CondaFiles | undefined;
}

/** What is let pass that would otherwise be refused. */
export interface EnvironmentOptions {
  readonly isEditableIgnored: boolean;
  readonly isMissingIgnored: boolean;
}

/** What lies in a prefix and is not of it: other environments, caches, locks (conda-pack, core.py). */
const CONDA_LEFT_OUT: ReadonlySet<string> = new Set([
  ".conda_lock",
  ".index",
  ".nonadmin",
  ".unionfs",
  "conda-bld",
  "conda-recipes",
  "envs",
  "pkgs",
  "users",
]);

/** Files named in one refusal. */
const NAMES_SHOWN_MAX = 10;

/**
 * Looks at all that is in `directory`.
 *
 * Throws `ArchiveError` naming what cannot be packed, editable installs that lead out of it, and
 * files that conda installed and that are gone.
 */
export async function readEnvironment(
  directory: string,
  options: EnvironmentOptions,
): Promise<Environment> {
  const root = realpathSync(directory);
  if (root === "/") throw new ArchiveError('Cannot pack "/" as an archive: it is the whole system');
  const kind = kindOf(root);
  // Where it was made as well, which is by another link or another place if it was moved.
  const made = kind === "plain" ? [] : packedPrefixes(root);
  const prefixes = [...new Set([root, resolve(directory), ...made])];
  const isLeftOut = (path: string): boolean =>
    kind !== "plain" && path === RECORDS_PATH ||
    kind === "conda" && CONDA_LEFT_OUT.has(path);
  const entries = await readEntries(root, { prefixes, isLeftOut });
  const conda = kind === "conda" ? await readCondaMeta(root) : undefined;
  if (conda !== undefined && !options.isMissingIgnored) checkComplete(root, { entries, conda });
  if (kind !== "plain" && !options.isEditableIgnored) {
    const editable = await findEditable(root, { entries, prefixes });
    if (editable.length > 0) {
      const found = `packages in it are elsewhere, as ${listed(editable)} say`;
      throw new ArchiveError(
        `Cannot pack "${root}" as an environment that can be moved: ${found}; ` +
          "install them without -e, or pack with --ignore-editable",
        { entry: editable[0] ?? "" },
      );
    }
  }
  return { root, kind, prefixes, entries, conda };
}

function kindOf(root: string): EnvironmentKind {
  if (statSync(`${root}/${CONDA_META}`, { throwIfNoEntry: false })?.isDirectory()) return "conda";
  return existsSync(`${root}/pyvenv.cfg`) ? "venv" : "plain";
}

function checkComplete(
  root: string,
  { entries, conda }: { entries: readonly PackedEntry[]; conda: CondaFiles },
): void {
  const present = new Set(entries.map(({ path }) => path));
  // Compiled code is remade when it is not there, and of some files never was made.
  const missing = [...conda.owners].filter(([path]) => {
    return !present.has(path) && !path.endsWith(".pyc") && !CONDA_LEFT_OUT.has(path);
  });
  const [first] = missing;
  if (first === undefined) return;
  const names = missing.map(([path, owner]) => `${path} of ${owner}`);
  throw new ArchiveError(
    `Cannot pack "${root}" as a complete conda prefix: ${listed(names)} ` +
      "are not there; reinstall the packages, or pack with --ignore-missing",
    { entry: first[0] },
  );
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX;
  const shown = names.slice(0, NAMES_SHOWN_MAX).map(quoteName).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}
