/**
 * The environment of the example: digits and training code as one archive, which is all that a
 * machine needs beside the worker.
 *
 *     bin/train        the command
 *     lib/*.ts         its code, run by the worker's own binary
 *     share/digits/    train.bin, test.bin
 */
import { execFile } from "node:child_process";
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { dirname, join } from "@std/path";

import { encodeDigitSet } from "./digit_set.ts";
import { readDigits } from "./digits.ts";

const CODE = ["digit_set.ts", "network.ts", "random.ts", "train.ts"];

/** What else decides the content of the archive. */
const PACKERS = ["digits.ts", "environment.ts"];

/** A worker tells its tasks where its executable is, which BUN_BE_BUN makes a script runtime. */
const TRAIN_COMMAND = `#!/bin/sh
export BUN_BE_BUN=1
exec "\${TENDRIL_EXECUTABLE:?is set by a worker}" "\${0%/*}/../lib/train.ts" "$@"
`;

/** One time for all entries, so that the same content makes the same archive. */
const ENTRY_SECONDS = Date.UTC(2000, 0, 1) / 1000;

/** Writes the archive (tar.gz) to `outFile`, unless it is newer than all that it is made of. */
export async function packEnvironment(outFile: string): Promise<void> {
  if (await isUpToDate(outFile)) return;
  await mkdir(dirname(outFile), { recursive: true });
  // Beside the archive, so that the finished one appears there by a rename.
  const scratch = await mkdtemp(`${outFile}-`);
  try {
    const root = join(scratch, "root");
    const entries = await buildTree(root);
    const archive = join(scratch, "env.tar");
    const run = promisify(execFile);
    // Options that GNU, BSD and BusyBox have; the entries are named, for a fixed order.
    await run("tar", ["-cf", archive, "-C", root, "--numeric-owner", "--no-recursion", ...entries]);
    await run("gzip", ["-n", archive]);
    await rename(`${archive}.gz`, outFile);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function isUpToDate(outFile: string): Promise<boolean> {
  const packed = await stat(outFile).catch(() => undefined);
  if (packed === undefined) return false;
  const sources = [...CODE, ...PACKERS].map((name) => sourcePath(name));
  sources.push(createRequire(import.meta.url).resolve("mnist/package.json"));
  const stats = await Promise.all(sources.map((path) => stat(path)));
  return stats.every(({ mtimeMs }) => mtimeMs < packed.mtimeMs);
}

/** Returns the entries of the tree, directories before what is in them. */
async function buildTree(root: string): Promise<string[]> {
  const directories = ["bin", "lib", "share", "share/digits"];
  for (const directory of directories) await mkdir(join(root, directory), { recursive: true });
  const { train, test } = await readDigits();
  await writeFile(join(root, "bin/train"), TRAIN_COMMAND);
  for (const name of CODE) await copyFile(sourcePath(name), join(root, "lib", name));
  await writeFile(join(root, "share/digits/train.bin"), encodeDigitSet(train));
  await writeFile(join(root, "share/digits/test.bin"), encodeDigitSet(test));
  const files = [
    ...CODE.map((name) => `lib/${name}`),
    "share/digits/train.bin",
    "share/digits/test.bin",
  ];
  for (const file of files) await chmod(join(root, file), 0o644);
  for (const path of ["bin/train", ...directories]) await chmod(join(root, path), 0o755);
  const entries = [...directories, "bin/train", ...files].sort();
  // Files first: writing one changes the time of its directory.
  for (const entry of entries.toReversed()) {
    await utimes(join(root, entry), ENTRY_SECONDS, ENTRY_SECONDS);
  }
  return entries;
}

function sourcePath(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url).href);
}
