import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { memberPath, readMembers } from "../../manager/array.ts";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tendril-array-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function lines(text: string): Promise<string> {
  const path = join(folder, "lines");
  await writeFile(path, text);
  return path;
}

test("readMembers() gives one member without a number when no array is asked for", async () => {
  const members = await readMembers({ array: undefined, eachLine: undefined });
  expect(members).toEqual([{ arrayId: undefined, env: {} }]);
});

test("readMembers() gives each member of an array its number", async () => {
  const members = await readMembers({ array: "2-4:2", eachLine: undefined });
  expect(members).toEqual([
    { arrayId: 2, env: { TENDRIL_ARRAY_ID: "2" } },
    { arrayId: 4, env: { TENDRIL_ARRAY_ID: "4" } },
  ]);
});

test("readMembers() makes a member of each line, with its number from 1", async () => {
  const members = await readMembers({ array: undefined, eachLine: await lines("oak\r\n\nelm") });
  expect(members.map(({ env }) => env)).toEqual([
    { TENDRIL_ARRAY_ID: "1", TENDRIL_ENTRY: "oak" },
    { TENDRIL_ARRAY_ID: "2", TENDRIL_ENTRY: "" },
    { TENDRIL_ARRAY_ID: "3", TENDRIL_ENTRY: "elm" },
  ]);
});

test("readMembers() takes only the lines that the array names", async () => {
  const eachLine = await lines("oak\nelm\nash\n");
  const members = await readMembers({ array: "3,1", eachLine });
  expect(members.map(({ env }) => env["TENDRIL_ENTRY"])).toEqual(["ash", "oak"]);
  await expect(readMembers({ array: "2-4", eachLine })).rejects.toThrow(
    `Cannot take line 4 of "${eachLine}": it has lines 1 to 3`,
  );
});

test.each([
  ["", "it is empty"],
  ["oak\nel\0m", "it has a zero byte"],
  ["x".repeat(120_001), "it has more than 120000 bytes"],
])("readMembers() refuses lines that cannot be variables: %#", async (text, found) => {
  await expect(readMembers({ array: undefined, eachLine: await lines(text) })).rejects.toThrow(
    found,
  );
});

test("memberPath() puts the number into the path, and wants a place for it in an array", () => {
  const member = { arrayId: 7, env: {} };
  expect(memberPath("out/%{ARRAY_ID}/%{ARRAY_ID}.txt", member, 9)).toBe("out/7/7.txt");
  expect(memberPath("out.txt", { arrayId: undefined, env: {} }, 1)).toBe("out.txt");
  expect(() => memberPath("out.txt", member, 9)).toThrow(
    'Cannot write the output of 9 tasks to "out.txt": expected a path with %{ARRAY_ID}',
  );
});
