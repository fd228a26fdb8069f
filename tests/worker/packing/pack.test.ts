import { expect, test } from "bun:test";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";

import { unpackTree } from "../../../shared/archive/unpack.ts";
import { readEnvironment } from "../../../worker/packing/environment.ts";
import { packEnvironment } from "../../../worker/packing/pack.ts";
import { PLACEHOLDER } from "../../../worker/packing/prefix.ts";
import { joinBytes } from "../../shared/archive/raw_tar.ts";
import { listTree, scratch } from "../../shared/archive/scratch.ts";

const STRICT = { isEditableIgnored: false, isMissingIgnored: false };

async function packed(path: string, afterLook = () => {}) {
  const environment = await readEnvironment(path, STRICT);
  afterLook();
  const progress = { entryCount: 0, contentBytes: 0, recordCount: 0 };
  const warnings: string[] = [];
  const parts: Uint8Array[] = [];
  const warn = (message: string): void => void warnings.push(message);
  for await (const part of packEnvironment(environment, { progress, warn })) {
    parts.push(new Uint8Array(part));
  }
  return { bytes: joinBytes(parts), progress, warnings };
}

/** Of over a mebibyte, so that it is read part by part: the path lies over the border of two. */
function largeText(prefix: string): string {
  return `${"x\n".repeat(512 * 1024 - 2)}${prefix}/bin\n${"y\n".repeat(1000)}`;
}

test("packEnvironment() gives the same bytes each time, and a plain directory as it is", async () => {
  await using dir = await scratch();
  mkdirSync(`${dir.path}/from/empty`, { recursive: true });
  writeFileSync(`${dir.path}/from/text`, `in ${dir.path}/from`);
  writeFileSync(`${dir.path}/from/large`, largeText(`${dir.path}/from`));
  const { bytes, progress } = await packed(`${dir.path}/from`);
  expect((await packed(`${dir.path}/from`)).bytes).toEqual(bytes);
  expect(progress).toMatchObject({ entryCount: 3, recordCount: 0 });
  expect(bytes.length % 512).toBe(0);
  async function* once(): AsyncGenerator<Uint8Array, void> {
    yield await Promise.resolve(bytes);
  }
  await unpackTree(once(), `${dir.path}/to`);
  expect(await listTree(`${dir.path}/to`)).toEqual(await listTree(`${dir.path}/from`));
});

test("packEnvironment() finds the path in large files, also over the border of two parts", async () => {
  await using dir = await scratch();
  writeFileSync(`${dir.path}/pyvenv.cfg`, "");
  writeFileSync(`${dir.path}/large`, largeText(dir.path));
  writeFileSync(`${dir.path}/other`, "z".repeat(2_500_000));
  const { bytes, progress, warnings } = await packed(dir.path);
  expect(progress.recordCount).toBe(1);
  const text = new TextDecoder().decode(bytes);
  expect(text).toContain(`\nx\n${PLACEHOLDER}/bin\ny\n`);
  expect(text).toContain(`('large', '${PLACEHOLDER}', 'text')`);
  expect(text).not.toContain(dir.path);
  expect(warnings).toEqual([]);
});

test("packEnvironment() names a file that has changed since it was looked at", async () => {
  for (const size of [10, 3_000_000]) {
    await using dir = await scratch();
    writeFileSync(`${dir.path}/file`, "x".repeat(size));
    await expect(packed(dir.path, () => appendFileSync(`${dir.path}/file`, "more"))).rejects
      .toThrow(
        /Cannot pack file "file" as it was planned: its size went from/,
      );
  }
});

test("packEnvironment() leaves compiled Python alone, and warns of a program without room", async () => {
  await using dir = await scratch();
  writeFileSync(`${dir.path}/pyvenv.cfg`, "");
  const program = `\0${dir.path}/lib\0next`;
  writeFileSync(`${dir.path}/a.pyc`, program);
  writeFileSync(`${dir.path}/a.so`, program);
  const { bytes, progress, warnings } = await packed(dir.path);
  expect(progress.recordCount).toBe(0);
  expect(warnings).toEqual([
    '"a.so" keeps the path at which it lies now: it is a program with no room for another in 1 places',
  ]);
  expect(new TextDecoder().decode(bytes).split(program).length).toBe(3);
});
