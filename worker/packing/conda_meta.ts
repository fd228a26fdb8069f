/**
 * What conda keeps of the packages that it installed into a prefix: `conda-meta/NAME.json`.
 *
 * Source: conda, models/records.py, `PrefixRecord` and `PathDataV1`.
 */

import { readdir, readFile, stat } from "node:fs/promises";

import { ArchiveError, quoteName } from "../../shared/archive/archive_error.ts";

/** Where the records lie in a prefix. */
export const CONDA_META = "conda-meta";

/** Bytes of one record; those of the largest packages have some 20 MB. */
const RECORD_BYTES_MAX = 256 * 1024 * 1024;

/** A path that conda wrote into a file when it installed it. */
export interface WrittenPrefix {
  /** What stood there in the package. */
  readonly placeholder: string;
  readonly mode: "text" | "binary";
}

/** What conda installed into one prefix. */
export interface CondaFiles {
  /** {path: package that has it} */
  readonly owners: ReadonlyMap<string, string>;
  /** {path: what was written into it} */
  readonly written: ReadonlyMap<string, WrittenPrefix>;
}

/** Reads all records of the prefix at `root`; throws `ArchiveError` naming one that is none. */
export async function readCondaMeta(root: string): Promise<CondaFiles> {
  const owners = new Map<string, string>();
  const written = new Map<string, WrittenPrefix>();
  const names = await readdir(`${root}/${CONDA_META}`);
  for (const name of names.filter((name) => name.endsWith(".json")).sort()) {
    const path = `${CONDA_META}/${name}`;
    const record = await readRecord(root, path);
    const owner = name.slice(0, -".json".length);
    for (const file of listOf(record["files"])) {
      if (typeof file === "string") owners.set(file, owner);
    }
    const { paths } = objectOf(record["paths_data"]);
    for (const item of listOf(paths)) {
      const { _path: file, prefix_placeholder: placeholder, file_mode: mode } = objectOf(item);
      if (typeof file !== "string" || typeof placeholder !== "string" || placeholder === "") {
        continue;
      }
      if (mode === "text" || mode === "binary") written.set(file, { placeholder, mode });
    }
  }
  return { owners, written };
}

async function readRecord(
  root: string,
  path: string,
): Promise<{ readonly [key: string]: unknown }> {
  try {
    const { size } = await stat(`${root}/${path}`);
    if (size > RECORD_BYTES_MAX) throw new Error(`it has more than ${RECORD_BYTES_MAX} bytes`);
    const record: unknown = JSON.parse(await readFile(`${root}/${path}`, "utf8"));
    if (isObject(record)) return record;
    throw new Error("it is no object");
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    const message = `Cannot read ${quoteName(path)} as conda's record of a package: ${found}`;
    throw new ArchiveError(message, { entry: path, cause });
  }
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Records of old conda lack what newer ones have. */
function objectOf(value: unknown): { readonly [key: string]: unknown } {
  return isObject(value) ? value : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
