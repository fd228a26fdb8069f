/** Three archives, in three compressions, unpacked by the worker's own child and by `tar`. */
import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";

import { newRandom, nextRandomBelow } from "../../shared/random.ts";
import type { RandomState } from "../../shared/random.ts";
import { HELPER_VARIABLES } from "../../worker/helper_child.ts";
import type { Figure, Run } from "./figure.ts";

const BINARY = fileURLToPath(new URL("../../dist/tendril", import.meta.url).href);
const RUN_COUNT = 5;
/** Between two looks at the memory of a process. */
const LOOK_MS = 20;
/** In memory, because what a disk needs for the same files varies tenfold from one time to the next. */
const MEMORY_DIRECTORY = "/dev/shm";
const FREE_BYTES_MIN = 4 * 1024 ** 3;
/** Contents are stretches of this: half words, half noise, as in programs. */
const POOL_BYTES = 16 * 1024 * 1024;

/** {name of a tree: what makes it} */
const TREES: Readonly<Record<string, (root: string, pool: Uint8Array) => void>> = {
  "many small files": makeSmall,
  "few large files": makeLarge,
  "an environment": makeEnvironment,
};

/** {compression: the option of `tar` for it} */
const COMPRESSIONS: Readonly<Record<string, readonly string[]>> = {
  plain: [],
  gzip: ["-z"],
  zstd: ["--zstd"],
};

/** Seconds and megabytes of memory of both, for each archive. */
export async function measureUnpack(): Promise<Figure[]> {
  const directory = mkdtempSync(join(scratchRoot(), "tendril-bench-"));
  try {
    const pool = makePool();
    const figures: Figure[] = [];
    for (const [name, make] of Object.entries(TREES)) {
      const tree = join(directory, "tree");
      mkdirSync(tree);
      make(tree, pool);
      for (const [compression, options] of Object.entries(COMPRESSIONS)) {
        const archive = join(directory, "archive");
        // Without the program that compresses there is nothing to compare with.
        if (spawnSync("tar", [...options, "-cf", archive, "."], { cwd: tree }).status !== 0) {
          continue;
        }
        figures.push(...await figuresOf(`unpack ${name}, ${compression}`, archive, directory));
      }
      rmSync(tree, { recursive: true });
    }
    return figures;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function figuresOf(name: string, archive: string, directory: string): Promise<Figure[]> {
  const [theirs, ours] = [join(directory, "theirs"), join(directory, "ours")];
  const request = JSON.stringify({ archivePath: archive, targetPath: ours, limits: {} });
  const seconds: Run[] = [];
  const megabytes: Run[] = [];
  for (let index = 0; index < RUN_COUNT; index++) {
    mkdirSync(theirs);
    const baseline = await measured(["tar", "-xf", archive, "-C", theirs]);
    rmSync(theirs, { recursive: true });
    const value = await measured([BINARY, "internal-unpack", request]);
    rmSync(ours, { recursive: true });
    seconds.push({ value: value.seconds, baseline: baseline.seconds });
    megabytes.push({ value: value.megabytes, baseline: baseline.megabytes });
  }
  return [
    { name, unit: "s", beside: "tar", aim: "1.0 of tar, then 0.5", runs: seconds },
    { name: `${name}, memory`, unit: "MB", beside: "tar", aim: "below 300 MB", runs: megabytes },
  ];
}

/** Runs a program to its end; its standard input stays open, of which the child waits for the end. */
async function measured(cmd: string[]): Promise<{ seconds: number; megabytes: number }> {
  const startMs = performance.now();
  const env = { ...process.env, ...HELPER_VARIABLES };
  const child = Bun.spawn({ cmd, env, stdio: ["pipe", "ignore", "inherit"] });
  // What the system reports of a dead process counts the memory of the one that spawned it, too.
  let megabytes = 0;
  const look = setInterval(
    () => megabytes = Math.max(megabytes, peakMegabytes(child.pid)),
    LOOK_MS,
  );
  const code = await child.exited;
  const seconds = (performance.now() - startMs) / 1000;
  clearInterval(look);
  child.stdin.end();
  if (code !== 0) throw new Error(`Cannot measure "${cmd[0]}": it ended with code ${code}`);
  return { seconds, megabytes };
}

function peakMegabytes(pid: number): number {
  try {
    const kibibytes = /VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kibibytes ?? 0) * 1024 / 1e6;
  } catch {
    // It has ended, or this is no Linux.
    return 0;
  }
}

function scratchRoot(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_DIRECTORY);
    return bavail * bsize >= FREE_BYTES_MIN ? MEMORY_DIRECTORY : tmpdir();
  } catch {
    // Not on every system.
    return tmpdir();
  }
}

function makePool(): Uint8Array {
  const random = newRandom(1);
  const pool = new Uint8Array(POOL_BYTES);
  randomFillSync(pool);
  const words = Array.from({ length: 2_000 }, () => {
    return Array.from({ length: 2 + nextRandomBelow(random, 8) }, () => {
      return 97 + nextRandomBelow(random, 26);
    });
  });
  for (let at = 0; at < POOL_BYTES / 2;) {
    const word = words[nextRandomBelow(random, words.length)] ?? [];
    pool.set(word, at);
    at += word.length;
    pool[at++] = 32;
  }
  return pool;
}

/** A stretch of words, as of a script. */
function someText(random: RandomState, pool: Uint8Array, sizeBytes: number): Uint8Array {
  const at = nextRandomBelow(random, POOL_BYTES / 2 - sizeBytes);
  return pool.subarray(at, at + sizeBytes);
}

function makeSmall(root: string, pool: Uint8Array): void {
  const random = newRandom(2);
  for (let directory = 0; directory < 600; directory++) {
    const path = `${root}/package_${directory % 20}/part_${directory}`;
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < 100; file++) {
      const sizeBytes = 2 ** nextRandomBelow(random, 14) + nextRandomBelow(random, 1_000);
      writeFileSync(`${path}/module_${file}.py`, someText(random, pool, sizeBytes));
    }
  }
}

function makeLarge(root: string, pool: Uint8Array): void {
  for (let file = 0; file < 5; file++) {
    for (let part = 0; part < 4; part++) {
      writeFileSync(`${root}/library_${file}.so`, pool, { flag: "a" });
    }
  }
}

/** As conda makes it: small files, some libraries, and one name in five a hard link. */
function makeEnvironment(root: string, pool: Uint8Array): void {
  const random = newRandom(3);
  for (let directory = 0; directory < 100; directory++) {
    const path = `${root}/lib/python3/site-packages/package_${directory}`;
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < 80; file++) {
      const sizeBytes = 2 ** nextRandomBelow(random, 14) + nextRandomBelow(random, 1_000);
      writeFileSync(`${path}/module_${file}.py`, someText(random, pool, sizeBytes));
      if (file % 4 === 0) linkSync(`${path}/module_${file}.py`, `${path}/same_${file}.py`);
    }
    if (directory % 5 > 0) continue;
    const at = nextRandomBelow(random, POOL_BYTES / 2);
    writeFileSync(`${path}/native.so`, pool.subarray(at, at + POOL_BYTES / 2), { mode: 0o755 });
  }
}
