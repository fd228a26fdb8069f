/**
 * What this machine does without Tendril: the measures that stand beside Tendril's own in a bench.
 *
 * Run by Bun. `bun scripts/benchmarks/baselines.ts [DIRECTORY]` prints them; the directory (default: the
 * system's temporary one) should be on the file system that workers use.
 */
import { randomFillSync } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";

const BLOCK_BYTES = 1024 * 1024;

/** How to measure bare spawning. */
export interface SpawnOptions {
  /** Processes in all. */
  readonly count: number;
  /** Processes at a time. */
  readonly concurrency: number;
}

/** How to measure bare copying. */
export interface CopyOptions {
  /** Read once before the clock starts, so that it comes from memory. */
  readonly source: string;
  /** Where the copies go; they are removed again. */
  readonly directory: string;
  /** Copies, made one after the other. */
  readonly count: number;
}

/**
 * Returns how many `/bin/sh -c true` a second a loop spawns, in a fresh process: spawning slows
 * down with the memory of the one who spawns.
 */
export async function measureSpawnRate(options: SpawnOptions): Promise<number> {
  const child = Bun.spawn({
    cmd: [process.execPath, fileURLToPath(import.meta.url), "spawn-loop", JSON.stringify(options)],
    env: { ...process.env, BUN_BE_BUN: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [rateText, complaint] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const rate = Number(rateText);
  if (await child.exited !== 0 || !(rate > 0)) {
    throw new Error(`Cannot measure the spawn rate: ${complaint.trim()}`);
  }
  return rate;
}

/** Returns how many milliseconds `cp` takes for all copies of a file that is in the page cache. */
export async function measureCopyMs({ source, directory, count }: CopyOptions): Promise<number> {
  const scratch = await mkdtemp(join(directory, "copies-"));
  try {
    await runCommand(["cat", source]);
    const startMs = performance.now();
    for (let copy = 0; copy < count; copy++) {
      await runCommand(["cp", source, join(scratch, `copy-${copy}`)]);
    }
    return performance.now() - startMs;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Writes a file of random bytes, of which no two blocks are alike. */
export async function writeRandomFile(path: string, sizeBytes: number): Promise<void> {
  const block = randomFillSync(new Uint8Array(BLOCK_BYTES));
  const file = await open(path, "w");
  try {
    for (let start = 0; start < sizeBytes; start += BLOCK_BYTES) {
      new DataView(block.buffer).setFloat64(0, start);
      await file.writeFile(block.subarray(0, Math.min(BLOCK_BYTES, sizeBytes - start)));
    }
  } finally {
    await file.close();
  }
}

/** Returns the middle one of some measurements, or the mean of the middle two. */
export function median(runs: readonly number[]): number {
  const sorted = runs.toSorted((a, b) => a - b);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  if (middle.length === 0) throw new RangeError("Cannot take the median of no runs");
  return middle.reduce((sum, run) => sum + run, 0) / middle.length;
}

async function runCommand(cmd: string[]): Promise<void> {
  const child = Bun.spawn({ cmd, stdio: ["ignore", "ignore", "pipe"] });
  const complaint = await new Response(child.stderr).text();
  if (await child.exited !== 0) {
    throw new Error(`Cannot run "${cmd.join(" ")}": ${complaint.trim()}`);
  }
}

/** Prints the rate for `measureSpawnRate`. */
async function spawnLoop({ count, concurrency }: SpawnOptions): Promise<void> {
  if (!(concurrency >= 1)) throw new RangeError(`Cannot spawn ${concurrency} at a time`);
  let left = count;
  const cmd = ["/bin/sh", "-c", "true"];
  const spawnInTurn = async () => {
    while (left-- > 0) {
      const exitCode = await Bun.spawn({ cmd, stdio: ["ignore", "ignore", "ignore"] }).exited;
      if (exitCode !== 0) throw new Error(`Cannot run "true": exit code ${exitCode}`);
    }
  };
  const startMs = performance.now();
  await Promise.all(Array.from({ length: concurrency }, spawnInTurn));
  process.stdout.write(String(count / (performance.now() - startMs) * 1000));
}

async function main(parent: string): Promise<void> {
  const directory = await mkdtemp(join(parent, "tendril-baselines-"));
  try {
    const rates: number[] = [];
    for (let run = 0; run < 3; run++) {
      rates.push(await measureSpawnRate({ count: 5000, concurrency: 2 }));
    }
    process.stdout.write(`/bin/sh -c true, 2 at a time: ${median(rates).toFixed(0)}/s\n`);
    const source = join(directory, "source");
    await writeRandomFile(source, 300_000_000);
    const times: number[] = [];
    for (let run = 0; run < 3; run++) {
      times.push(await measureCopyMs({ source, directory, count: 4 }));
    }
    process.stdout.write(`cp of 300 MB, 4 times: ${(median(times) / 1000).toFixed(3)} s\n`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const [first, options] = process.argv.slice(2);
  if (first === "spawn-loop" && options !== undefined) await spawnLoop(JSON.parse(options));
  else await main(first ?? tmpdir());
}
