import { expect, test } from "bun:test";
import { mkdir, readdir, realpath, rm, writeFile } from "node:fs/promises";

import { ArchiveError } from "../../../shared/archive/archive_error.ts";
import { unpackFile, unpackTree } from "../../../shared/archive/unpack.ts";
import { newRandom, nextRandomBelow } from "../../../shared/random.ts";
import type { RandomState } from "../../../shared/random.ts";
import { fixChecksum, inPieces, paxEntry, rawTar } from "./raw_tar.ts";
import { exists, listTree, scratch } from "./scratch.ts";

const MUTATION_COUNT = 2_000;
const LANE_COUNT = 4;

const VALID = rawTar(
  { name: "bin/", type: "5" },
  { name: "bin/run", mode: "0000755", data: "x".repeat(700) },
  paxEntry({ path: "lib/a long name.txt", mtime: "1600000000.25" }),
  { name: "short", data: "text" },
  { name: "././@LongLink", type: "L", data: "lib/gnu\0" },
  { name: "gnu", data: "g" },
  { name: "bin/link", type: "2", link: "../lib/gnu" },
  { name: "bin/same", type: "1", link: "bin/run" },
  { name: "lib/inner", type: "2", link: "gnu" },
  { name: "empty", type: "5" },
);

/** What hostile archives are made of, to get further than random bytes do. */
const WORDS: readonly string[] = [
  "../",
  "/",
  "..",
  "/tmp/tendril-fuzz-escape\0",
  "bin/link/x\0",
  "../../canary\0",
  "../..\0",
  "../../..\0",
  "/etc\0",
  "./",
  "lib\0",
  "\0",
  "canary",
  "path=../canary\n",
  "linkpath=/tmp/tendril-fuzz-escape\n",
  "size=-1\n",
];

function mutated(random: RandomState): Uint8Array {
  const bytes = VALID.slice();
  const below = (bound: number) => nextRandomBelow(random, bound);
  for (let count = 1 + below(4); count > 0; count--) {
    const block = below(bytes.length / 512) * 512;
    switch (below(6)) {
      case 0:
        bytes[below(bytes.length)] = below(256);
        break;
      case 1:
        bytes[block + 156] = "0123456789LKxgSVXD\0".charCodeAt(below(19));
        break;
      case 2:
        bytes.set(new TextEncoder().encode(WORDS[below(WORDS.length)]), block + below(24));
        break;
      case 3:
        bytes.set(new TextEncoder().encode(WORDS[below(WORDS.length)]), block + 157 + below(12));
        break;
      case 4:
        bytes.set(
          new TextEncoder().encode(below(2 ** 20).toString(8).padStart(11, "0")),
          block + 124,
        );
        break;
      default:
        bytes.copyWithin(block, below(bytes.length / 512) * 512, block + 512);
    }
  }
  // Most mutations must get past the checksums, or nothing but they would be tested.
  if (below(8) > 0) {
    for (let at = 0; at < bytes.length; at += 512) {
      if (bytes[at + 257] === 0x75 && bytes[at + 258] === 0x73) fixChecksum(bytes, at);
    }
  }
  return below(10) === 0 ? bytes.slice(0, below(bytes.length)) : bytes;
}

/** The links below `root` that lead to something outside of it. */
async function linksOut(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const line of await listTree(root)) {
    const [path = "", target] = line.split(" -> ");
    if (target === undefined) continue;
    const end = await realpath(`${root}/${path}`).catch(() => root);
    if (!`${end}/`.startsWith(`${await realpath(root)}/`)) found.push(line);
  }
  return found;
}

test(
  "unpackTree() and unpackFile() never write outside of their target and leave nothing after a failure",
  async () => {
    await using dir = await scratch();
    let failureCount = 0;
    const runOne = async (jail: string, seed: number): Promise<void> => {
      const parent = `${jail}/a/b/c`;
      let failure: unknown;
      try {
        const bytes = mutated(newRandom(seed));
        if (seed % 2 === 0) {
          const source = inPieces(bytes, 100 + (seed % 3) * 1_000);
          await unpackTree(source, `${parent}/target`, { bytesMax: 1_000_000 });
        } else {
          await writeFile(`${jail}.tar`, bytes);
          await unpackFile(`${jail}.tar`, `${parent}/target`, { bytesMax: 1_000_000 });
        }
      } catch (error) {
        failure = error;
      }
      if (failure !== undefined) {
        failureCount++;
        expect(failure).toBeInstanceOf(ArchiveError);
        expect(await readdir(parent)).toEqual([]);
      } else {
        expect(await linksOut(`${parent}/target`)).toEqual([]);
        await rm(`${parent}/target`, { recursive: true });
      }
      expect(await listTree(jail)).toEqual(["a/", "a/b/", "a/b/c/", 'canary 644 "alive"']);
    };
    const lane = async (first: number): Promise<void> => {
      // Deep enough that a path can leave the target by a few steps and still be seen.
      const jail = `${dir.path}/${first}`;
      await mkdir(`${jail}/a/b/c`, { recursive: true });
      await writeFile(`${jail}/canary`, "alive");
      for (let seed = first; seed < MUTATION_COUNT; seed += LANE_COUNT) await runOne(jail, seed);
    };
    await Promise.all(Array.from({ length: LANE_COUNT }, (_, first) => lane(first)));
    // Both ends must be reached often, or the mutations test little.
    expect(failureCount).toBeGreaterThan(MUTATION_COUNT / 5);
    expect(failureCount).toBeLessThan(MUTATION_COUNT * 4 / 5);
    expect(await exists("/tmp/tendril-fuzz-escape")).toBe(false);
  },
  60_000,
);
