/** Unpacks archives in both ways that there are, which must come to the same. */

import { expect } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";

import { ArchiveError } from "../../../shared/archive/archive_error.ts";
import { unpackFile, unpackTree } from "../../../shared/archive/unpack.ts";
import type { UnpackOptions } from "../../../shared/archive/unpack.ts";
import { inPieces, rawTar } from "./raw_tar.ts";
import type { RawEntry } from "./raw_tar.ts";
import { listTree, scratch } from "./scratch.ts";

/** Unpacks the entries in both ways and returns what is there then. */
export async function unpacked(...entries: RawEntry[]): Promise<string[]> {
  await using dir = await scratch();
  await unpackTree(inPieces(rawTar(...entries)), `${dir.path}/target`);
  await writeFile(`${dir.path}/archive`, rawTar(...entries));
  await unpackFile(`${dir.path}/archive`, `${dir.path}/direct`);
  const lines = await listTree(`${dir.path}/target`);
  expect(await listTree(`${dir.path}/direct`)).toEqual(lines);
  return lines;
}

/** Unpacks in both ways what must fail, checks that nothing is left and returns the error. */
export async function refused(
  archive: Uint8Array | RawEntry[],
  options: UnpackOptions = {},
): Promise<ArchiveError> {
  await using dir = await scratch();
  const bytes = Array.isArray(archive) ? rawTar(...archive) : archive;
  const unpacking = unpackTree(inPieces(bytes), `${dir.path}/target`, options);
  const failure: unknown = await unpacking.catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ArchiveError);
  expect(await readdir(dir.path)).toEqual([]);
  await writeFile(`${dir.path}/archive`, bytes);
  const again: unknown = await unpackFile(`${dir.path}/archive`, `${dir.path}/target`, options)
    .catch((error: unknown) => error);
  expect(again).toBeInstanceOf(ArchiveError);
  expect(await readdir(dir.path)).toEqual(["archive"]);
  expect((again as ArchiveError).entry).toBe((failure as ArchiveError).entry);
  return failure as ArchiveError;
}
