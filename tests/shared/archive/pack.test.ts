import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readlinkSync } from "node:fs";
import {
  appendFile,
  chmod,
  mkdir,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";

import { hashPack, openPackStream, planPack } from "../../../shared/archive/pack.ts";
import type { ByteRange, PackPlan } from "../../../shared/archive/pack.ts";
import { unpackTree } from "../../../shared/archive/unpack.ts";
import { joinBytes } from "./raw_tar.ts";
import { exists, listTree, mtimeMsOf, scratch } from "./scratch.ts";

const T = 1_600_000_000_250;

async function bytesOf(plan: PackPlan, range: ByteRange = {}): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of openPackStream(plan, range)) parts.push(part);
  return joinBytes(parts);
}

async function makeSample(root: string): Promise<void> {
  await mkdir(`${root}/sub/empty`, { recursive: true });
  await mkdir(`${root}/${"long".repeat(30)}`);
  await writeFile(`${root}/run`, "#!/bin/sh\n", { mode: 0o700 });
  await writeFile(`${root}/sub/ünï 😀`, "text", { mode: 0o604 });
  await writeFile(`${root}/sub/nothing`, "");
  await writeFile(`${root}/${"long".repeat(30)}/x`, "deep");
  const big = new Uint8Array(900_000);
  for (let index = 0; index < big.length; index++) big[index] = index % 251;
  await writeFile(`${root}/sub/big`, big);
  for (let index = 0; index < 40; index++) await writeFile(`${root}/f${index}`, `${index}`);
  await symlink("sub/../run", `${root}/link`);
  await symlink("no such thing", `${root}/sub/dangling`);
  const paths = ["run", "sub/nothing", "sub/empty", "sub"];
  for (const path of paths) await utimes(`${root}/${path}`, T / 1000, (T + 0.0005) / 1000);
}

test("openPackStream() makes a stream of the planned length that GNU tar unpacks", async () => {
  await using dir = await scratch();
  const root = `${dir.path}/from`;
  await makeSample(root);
  const plan = await planPack(root);
  const bytes = await bytesOf(plan);
  expect(bytes.length).toBe(plan.sizeBytes);
  expect(plan.contentBytes).toBe(10 + 4 + 4 + 900_000 + 10 + 60);
  await writeFile(`${dir.path}/a.tar`, bytes);
  await mkdir(`${dir.path}/to`);
  execFileSync("tar", ["-xf", `${dir.path}/a.tar`, "-C", `${dir.path}/to`]);
  await chmod(`${root}/run`, 0o755);
  await chmod(`${root}/sub/ünï 😀`, 0o644);
  expect(await listTree(`${dir.path}/to`)).toEqual(await listTree(root));
  expect(await mtimeMsOf(`${dir.path}/to/sub/empty`)).toBe(T);
  expect(await hashPack(plan)).toBe(createHash("sha256").update(bytes).digest("hex"));
});

test("openPackStream() makes the same bytes of a tree that was unpacked from its bytes", async () => {
  await using dir = await scratch();
  const root = `${dir.path}/from`;
  await makeSample(root);
  // Times of every fraction must come back as the same millisecond.
  for (let index = 0; index < 40; index++) {
    const seconds = (T + index * 27.391) / 1000;
    await utimes(`${root}/f${index}`, seconds, seconds);
  }
  const plan = await planPack(root);
  await unpackTree(openPackStream(plan), `${dir.path}/to`);
  // A cache takes the right to write from what it commits; the stream is the same.
  await chmod(`${dir.path}/to/run`, 0o555);
  await chmod(`${dir.path}/to/f1`, 0o444);
  expect(await hashPack(await planPack(`${dir.path}/to`))).toBe(await hashPack(plan));
});

test("openPackStream() goes on at any offset with the bytes that the whole stream has there", async () => {
  await using dir = await scratch();
  await makeSample(`${dir.path}/from`);
  const plan = await planPack(`${dir.path}/from`);
  const whole = await bytesOf(plan);
  const offsets = [0, 1, 511, 512, 5_000, 300_000, whole.length - 1_025, whole.length - 1];
  for (let offset = 17; offset < whole.length; offset += 99_991) offsets.push(offset);
  for (const startByte of [...offsets, whole.length]) {
    const rest = await bytesOf(plan, { startByte });
    expect(Buffer.compare(rest, whole.subarray(startByte))).toBe(0);
  }
  const piece = await bytesOf(plan, { startByte: 1_000, endByte: 700_001 });
  expect(Buffer.compare(piece, whole.subarray(1_000, 700_001))).toBe(0);
  for (const range of [{ startByte: -1 }, { startByte: NaN }, { endByte: whole.length + 1 }]) {
    expect(() => openPackStream(plan, range)).toThrow(RangeError);
  }
});

test("openPackStream() reads nothing of what comes before its offset", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/a`, "first");
  await writeFile(`${dir.path}/b`, "second");
  const plan = await planPack(dir.path);
  const whole = await bytesOf(plan);
  await rm(`${dir.path}/a`);
  const startByte = plan.entries[1]?.atByte ?? 0;
  expect(Buffer.compare(await bytesOf(plan, { startByte }), whole.subarray(startByte))).toBe(0);
});

const CHANGES: Readonly<Record<string, { change: (path: string) => Promise<void>; says: RegExp }>> =
  {
    "has grown": { change: (path) => appendFile(path, "more"), says: /its size went from 3 to 7/ },
    "has shrunk": { change: (path) => truncate(path, 1), says: /it has become shorter/ },
    "was written to": { change: (path) => writeFile(path, "new"), says: /it was written to/ },
    "is gone": { change: (path) => rm(path), says: /ENOENT/ },
    "has become a link": {
      change: async (path) => {
        await rm(path);
        await symlink("/etc/passwd", path);
      },
      says: /ELOOP/,
    },
    "has become a pipe": {
      change: async (path) => {
        await rm(path);
        execFileSync("mkfifo", [path]);
      },
      says: /ESPIPE|shorter|no file any more/,
    },
  };

for (const [name, { change, says }] of Object.entries(CHANGES)) {
  test(`openPackStream() fails and names the file when it ${name}`, async () => {
    await using dir = await scratch();
    await mkdir(`${dir.path}/d`);
    await writeFile(`${dir.path}/d/f`, "old");
    await utimes(`${dir.path}/d/f`, T / 1000, T / 1000);
    const plan = await planPack(dir.path);
    await change(`${dir.path}/d/f`);
    const failure = bytesOf(plan);
    await expect(failure).rejects.toThrow('Cannot pack file "d/f" as it was planned');
    await expect(failure).rejects.toThrow(says);
  });
}

test("openPackStream() notices a change of a large file between two of its parts", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/f`, new Uint8Array(2_000_000));
  await utimes(`${dir.path}/f`, T / 1000, T / 1000);
  const reader = openPackStream(await planPack(dir.path)).getReader();
  await reader.read();
  await appendFile(`${dir.path}/f`, "more");
  const readOn = async () => {
    while (!(await reader.read()).done);
  };
  await expect(readOn()).rejects.toThrow("its size went from 2000000 to 2000004");
});

/** Paths of all that this process has open; what is closed meanwhile is left out. */
function openPaths(): string[] {
  return readdirSync("/proc/self/fd").flatMap((descriptor) => {
    try {
      return [readlinkSync(`/proc/self/fd/${descriptor}`)];
    } catch {
      return [];
    }
  });
}

test("openPackStream() closes its file when it is cancelled", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/f`, new Uint8Array(2_000_000));
  const reader = openPackStream(await planPack(dir.path)).getReader();
  await reader.read();
  const isOpen = () => openPaths().some((path) => path.startsWith(dir.path));
  const hasProc = await exists("/proc/self/fd");
  if (hasProc) expect(isOpen()).toBe(true);
  await reader.cancel();
  if (hasProc) expect(isOpen()).toBe(false);
});

test("planPack() plans the empty tree as its end alone", async () => {
  await using dir = await scratch();
  const plan = await planPack(dir.path);
  expect(await bytesOf(plan)).toEqual(new Uint8Array(1_024));
});
