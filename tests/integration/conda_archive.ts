/**
 * Archives as conda-pack writes them: a pax header for each entry and none for directories, names of
 * one inode as hard-link entries *with data*, and `bin/conda-unpack` with the records last.
 */

import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { joinBytes, paxEntry, type RawEntry, rawEntry } from "../shared/archive/raw_tar.ts";

/** A path below the prefix, the prefix in the file, and whether it is "text" or "binary". */
export type CondaRecord = readonly [string, string, string];

/** A prefix of 255 bytes, as conda-build leaves in files. */
export const PLACEHOLDER: string = `/opt/conda/conda-bld/env_1${"_placehold".repeat(22)}`.padEnd(
  255,
  "_",
);

/** Packs the directory `prefix`, whose files hold prefixes as `records` say, as tar.gz. */
export function packLikeConda(prefix: string, path: string, records: readonly CondaRecord[]): void {
  const parts: Uint8Array[] = [];
  const firstNames = new Map<string, string>();
  for (const name of namesBelow(prefix, "")) {
    parts.push(...entryOf(prefix, name, firstNames).map(rawEntry));
  }
  const list = records.map((record) => `(${record.map((text) => `'${text}'`).join(", ")})`);
  const data = "#!/usr/bin/env python\n\nimport os\nimport sys\n\n" +
    `_prefix_records = [\n${list.join(",\n")}\n]\n\nsys.exit("it must not be run")\n`;
  parts.push(rawEntry({ name: "bin/conda-unpack", mode: "0000755", data }));
  parts.push(new Uint8Array(1024));
  writeFileSync(path, gzipSync(joinBytes(parts), { level: 1 }));
}

function namesBelow(root: string, below: string): string[] {
  return readdirSync(`${root}/${below}`, { withFileTypes: true }).flatMap((entry) => {
    const name = below === "" ? entry.name : `${below}/${entry.name}`;
    return entry.isDirectory() ? namesBelow(root, name) : [name];
  }).sort();
}

function entryOf(root: string, name: string, firstNames: Map<string, string>): RawEntry[] {
  const { mtimeMs, mode, ino, nlink } = lstatSync(`${root}/${name}`);
  const times = { mtime: (mtimeMs / 1000).toFixed(6) };
  const isLong = name.length > 100;
  const header = paxEntry(isLong ? { ...times, path: name } : times);
  const base = { name, mode: (mode & 0o7777).toString(8).padStart(7, "0") };
  if (lstatSync(`${root}/${name}`).isSymbolicLink()) {
    return [header, { ...base, type: "2", link: readlinkSync(`${root}/${name}`) }];
  }
  const data = readFileSync(`${root}/${name}`);
  const first = firstNames.get(String(ino));
  if (first !== undefined) return [header, { ...base, type: "1", link: first, data }];
  if (nlink > 1) firstNames.set(String(ino), name);
  return [header, { ...base, data }];
}
