import { expect, test } from "bun:test";
import { mkdirSync, readlinkSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";

import { hashPack, planPack } from "../../shared/archive/pack.ts";
import { linkTree } from "../../worker/link_contents.ts";
import { scratch } from "../shared/archive/scratch.ts";

const stream = async (path: string) => await hashPack(await planPack(path));

test("linkTree() makes a directory of the same bytes, whose stream is the same", async () => {
  await using dir = await scratch();
  const [tree, twin] = [`${dir.path}/tree`, `${dir.path}/twin`];
  mkdirSync(`${tree}/sub/empty`, { recursive: true });
  writeFileSync(`${tree}/sub/file`, "text");
  writeFileSync(`${tree}/run`, "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("sub/file", `${tree}/link`);
  utimesSync(`${tree}/sub/empty`, 1, 1.25);
  utimesSync(`${tree}/sub`, 1, 1_600_000_000.125);
  const { signal } = new AbortController();
  expect(await linkTree(tree, twin, signal)).toBe(true);
  expect(await stream(twin)).toBe(await stream(tree));
  expect(statSync(`${twin}/sub/file`).ino).toBe(statSync(`${tree}/sub/file`).ino);
  expect(readlinkSync(`${twin}/link`)).toBe("sub/file");
});

test("linkTree() stops when it is told to", async () => {
  await using dir = await scratch();
  mkdirSync(`${dir.path}/tree/sub`, { recursive: true });
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(linkTree(`${dir.path}/tree`, `${dir.path}/twin`, signal)).rejects.toThrow("enough");
});
