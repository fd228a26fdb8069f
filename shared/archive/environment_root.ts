/** Where in an unpacked archive the environment is, and of what kind. */

import { lstatSync, readdirSync } from "node:fs";

/** What an environment is told by the files in it. */
export interface EnvironmentRoot {
  /** Relative to what was unpacked; empty when it is that itself. */
  readonly path: string;
  readonly isVirtual: boolean;
  readonly isConda: boolean;
}

/**
 * Looks for the environment in the directory `unpacked`: there, or else in the only directory in it,
 * as `tar cf venv.tar venv` and conda-pack's `--arcroot` have it. No link is followed.
 */
export function findEnvironmentRoot(unpacked: string): EnvironmentRoot {
  const here = look(unpacked, "");
  if (here !== undefined) return here;
  const directories = readdirSync(unpacked, { withFileTypes: true })
    .filter((entry) => entry.isDirectory());
  const [only] = directories;
  const below = only && directories.length === 1 ? look(unpacked, only.name) : undefined;
  return below ?? { path: "", isVirtual: false, isConda: false };
}

function look(unpacked: string, path: string): EnvironmentRoot | undefined {
  const root = path === "" ? unpacked : `${unpacked}/${path}`;
  const isVirtual = kindOf(`${root}/pyvenv.cfg`) === "file";
  const isConda = kindOf(`${root}/conda-meta`) === "directory";
  const isOne = isVirtual || isConda || kindOf(`${root}/bin`) === "directory";
  return isOne ? { path, isVirtual, isConda } : undefined;
}

function kindOf(path: string): "file" | "directory" | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isFile()) return "file";
  return found?.isDirectory() ? "directory" : undefined;
}
