import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { BINARY, ROOT } from "./built.ts";

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tendril init-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function run(command: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: directory, encoding: "utf8" });
  return { status, stdout, stderr };
}

test("tendril init makes import … from tendril work on Deno and on Bun, with types", () => {
  expect(run(BINARY, "init").status).toBe(0);
  expect(readdirSync(directory).sort()).toEqual([
    "deno.json",
    "tendril.d.ts",
    "tendril.mjs",
    "tsconfig.json",
    "workflow.ts",
  ]);
  writeFileSync(
    join(directory, "typed.ts"),
    `import { VERSION } from "tendril";\nconst version: string = VERSION;\nconsole.log(version);\n`,
  );
  const version = run(BINARY, "version").stdout;
  expect(run("deno", "run", "--check", "-A", "typed.ts")).toMatchObject({
    status: 0,
    stdout: version,
  });
  expect(run("bun", "typed.ts")).toEqual({ status: 0, stdout: version, stderr: "" });
  expect(run(BINARY, "run", "typed.ts")).toEqual({ status: 0, stdout: version, stderr: "" });
});

test("tendril init gives types that a wrong use does not pass", () => {
  expect(run(BINARY, "init").status).toBe(0);
  writeFileSync(
    join(directory, "wrong.ts"),
    `import { type Library, VERSION } from "tendril";\nexport const version: number = VERSION;
declare const library: Library<{ half(n: number): number }>;
export const half: number = await library.call("half", library.call("half", 3)).value();
export const wrong = library.call("half", "3");\n`,
  );
  expect(run("deno", "check", "wrong.ts").status).toBe(1);
  const tsc = run("bun", join(ROOT, "node_modules/typescript/bin/tsc"));
  expect(tsc.stdout.match(/wrong\.ts\(\d+,\d+\): error TS\d+/g)).toEqual([
    "wrong.ts(2,14): error TS2322",
    "wrong.ts(5,43): error TS2345",
  ]);
});

test("tendril init writes declarations that stand alone", () => {
  expect(run(BINARY, "init").status).toBe(0);
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const flags = ["--noEmit", "--strict", "--target", "ESNext"];
  expect(run("bun", tsc, "--ignoreConfig", ...flags, "tendril.d.ts")).toEqual({
    status: 0,
    stdout: "",
    stderr: "",
  });
});

test("tendril init leaves identical files and refuses others by name", () => {
  expect(run(BINARY, "init", "sub/folder").status).toBe(0);
  expect(run(BINARY, "init", "sub/folder")).toEqual({
    status: 0,
    stdout: "nothing to write\n",
    stderr: "",
  });
  const workflow = join(directory, "sub/folder/workflow.ts");
  writeFileSync(workflow, "mine\n");
  expect(run(BINARY, "init", "sub/folder")).toEqual({
    status: 1,
    stdout: "",
    stderr:
      `tendril init: Cannot write a starter workflow to "sub/folder" as new files: "workflow.ts" ` +
      "exists with other contents\n",
  });
  expect(readFileSync(workflow, "utf8")).toBe("mine\n");
});
