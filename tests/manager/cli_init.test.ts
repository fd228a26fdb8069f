import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { initDirectory } from "../../manager/cli_init.ts";

const LIBRARY = { code: "export const a = 1;\n", declarations: "export const a: number;\n" };
const ALL = ["workflow.ts", "tendril.mjs", "tendril.d.ts", "deno.json", "tsconfig.json"];

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tendril-init-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("initDirectory() writes the library and what maps its name", () => {
  const target = join(directory, "new/folder");
  expect(initDirectory(target, LIBRARY)).toEqual(ALL);
  const read = (name: string) => readFileSync(join(target, name), "utf8");
  expect(read("tendril.mjs")).toBe(LIBRARY.code);
  expect(read("tendril.d.ts")).toBe(LIBRARY.declarations);
  expect(read("workflow.ts")).toContain(`import { Manager } from "tendril";`);
  expect(JSON.parse(read("deno.json"))).toEqual({ imports: { tendril: "./tendril.mjs" } });
  expect(JSON.parse(read("tsconfig.json")).compilerOptions.paths).toEqual({
    tendril: ["./tendril.d.ts", "./tendril.mjs"],
  });
});

test("initDirectory() adds what is missing beside identical files", () => {
  initDirectory(directory, LIBRARY);
  rmSync(join(directory, "deno.json"));
  expect(initDirectory(directory, LIBRARY)).toEqual(["deno.json"]);
  expect(initDirectory(directory, LIBRARY)).toEqual([]);
});

test("initDirectory() writes nothing when a file is there with other contents", () => {
  writeFileSync(join(directory, "deno.json"), "{}");
  mkdirSync(join(directory, "tendril.mjs"));
  expect(() => initDirectory(directory, LIBRARY)).toThrow(
    `Cannot write a starter workflow to "${directory}" as new files: ` +
      `"tendril.mjs", "deno.json" exist with other contents`,
  );
  expect(readdirSync(directory).sort()).toEqual(["deno.json", "tendril.mjs"]);
});

test("initDirectory() removes what it wrote when a later file cannot be written", () => {
  symlinkSync("nowhere", join(directory, "tsconfig.json"));
  expect(() => initDirectory(directory, LIBRARY)).toThrow("EEXIST");
  expect(readdirSync(directory)).toEqual(["tsconfig.json"]);
});
