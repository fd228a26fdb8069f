import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

import { bundleLibrary, findModule } from "../../manager/library_bundle.ts";

const ROOT = join(import.meta.dirname ?? "", "../..");

const PLAIN = "export const twice = (n: number): number => 2 * n;\n";
const WITH_IMPORTS = `
  import { readFileSync } from "node:fs";
  import { libraryContext } from "tendril";
  import { half } from "./more/half.ts";
  export const quarter = (n: number) => [half(half(n)), typeof libraryContext, typeof readFileSync];
`;

interface Files extends AsyncDisposable {
  readonly directory: string;
  path(name: string): string;
}

/** Stands for the binary, which bundles for a manager on Deno. */
const BINARY = `#!/bin/sh\nexec bun "${join(ROOT, "tests/manager/bundle_entry.ts")}" "$@"\n`;

/** Until the files are removed, `TENDRIL_BIN` is a program beside them. */
async function writeFiles(files: Record<string, string>): Promise<Files> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-bundle-"));
  await writeFile(join(directory, "tendril"), BINARY, { mode: 0o755 });
  const binary = process.env["TENDRIL_BIN"];
  process.env["TENDRIL_BIN"] = join(directory, "tendril");
  for (const [name, contents] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), contents);
  }
  return {
    directory,
    path: (name) => join(directory, name),
    async [Symbol.asyncDispose]() {
      if (binary === undefined) delete process.env["TENDRIL_BIN"];
      else process.env["TENDRIL_BIN"] = binary;
      await rm(directory, { recursive: true });
    },
  };
}

test("findModule() looks beside what it is given, else beside the script, else here", async () => {
  await using files = await writeFiles({ "lib/digits.ts": PLAIN, "a b.ts": PLAIN });
  const path = files.path("lib/digits.ts");
  expect(await findModule(path)).toBe(path);
  expect(await findModule(pathToFileURL(path))).toBe(path);
  expect(await findModule(pathToFileURL(path).href)).toBe(path);
  expect(await findModule("./lib/digits.ts", pathToFileURL(files.path("main.ts")))).toBe(path);
  expect(await findModule("a b.ts", pathToFileURL(files.path("main.ts")).href)).toBe(
    files.path("a b.ts"),
  );
  expect(await findModule("lib/digits.ts", files.directory)).toBe(path);
  const script = process.argv[1];
  try {
    process.argv[1] = files.path("lib/workflow.ts");
    expect(await findModule("./digits.ts")).toBe(path);
    await expect(findModule("./absent.ts")).rejects.toThrow(
      `Cannot find library module "./absent.ts": no such file as ${
        files.path("lib/absent.ts")
      } or `,
    );
  } finally {
    process.argv[1] = script!;
  }
  await expect(findModule("https://example.org/a.ts")).rejects.toThrow("not a url of a file");
  await expect(findModule(files.directory)).rejects.toThrow("no such file");
});

test("bundleLibrary() makes one module of a module and its imports", async () => {
  await using files = await writeFiles({
    "main.ts": WITH_IMPORTS,
    "more/half.ts": "export const half = (n: number): number => n / 2;",
  });
  const { bytes, sha256 } = await bundleLibrary(files.path("main.ts"));
  expect(sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
  const text = new TextDecoder().decode(bytes);
  expect(text).toContain('from "tendril"');
  expect(text).not.toContain("./more/half");
  expect((await bundleLibrary(files.path("main.ts"))).sha256).toBe(sha256);
});

test("bundleLibrary() makes one module of a text and what it imports beside its place", async () => {
  await using files = await writeFiles({
    "more/half.ts": "export const half = (n: number): number => n / 2;",
  });
  const { bytes } = await bundleLibrary(files.path("some.source.ts"), WITH_IMPORTS);
  const text = new TextDecoder().decode(bytes);
  expect(text).toContain("var half = (n) => n / 2;");
  expect(text).toContain('from "tendril"');
  await expect(bundleLibrary(files.path("more/a.ts"), WITH_IMPORTS)).rejects.toThrow(
    /^Cannot bundle library module ".*more\/a\.ts": .*\.\/more\/half\.ts.*a\.ts:4\)$/,
  );
});

test("bundleLibrary() takes packages with packages of their own, JSON, and dynamic imports", async () => {
  await using files = await writeFiles({
    "node_modules/outer/package.json": '{"name": "outer", "main": "index.js"}',
    "node_modules/outer/index.js":
      'const inner = require("inner");\nexports.deep = (n) => require("path").sep + inner(n);',
    "node_modules/outer/node_modules/inner/package.json":
      '{"name": "inner", "exports": {".": "./lib.cjs"}}',
    "node_modules/outer/node_modules/inner/lib.cjs": "module.exports = (n) => n * 10;",
    "table.json": '{"oak": 7}',
    "parts/later.ts": "export const later = (n: number): number => n + 1;",
    "main.ts": `
      import { createHash } from "node:crypto";
      import { deep } from "outer";
      import table from "./table.json" with { type: "json" };
      const ready = await Promise.resolve(3);
      export async function all(n: number): Promise<unknown[]> {
        const { later } = await import("./parts/later.ts");
        return [deep(n), table.oak, later(n), ready, typeof createHash];
      }
    `,
  });
  const { bytes } = await bundleLibrary(files.path("main.ts"));
  await mkdir(files.path("elsewhere"));
  await writeFile(files.path("elsewhere/bundle.mjs"), bytes);
  const script = 'console.log(JSON.stringify(await (await import("./bundle.mjs")).all(4)))';
  await writeFile(files.path("elsewhere/run.mjs"), script);
  await rm(files.path("node_modules"), { recursive: true });
  // It is made for Bun, which workers run on.
  const { stdout } = spawnSync("bun", [files.path("elsewhere/run.mjs")], { encoding: "utf8" });
  expect(JSON.parse(stdout)).toEqual(["/40", 7, 5, 3, "function"]);
});

test("bundleLibrary() says what is wrong, and where", async () => {
  await using files = await writeFiles({
    "absent_import.ts": 'import { a } from "./absent.ts";\nexport const b = a;',
    "broken.ts": 'import "./data.bin";\nexport const a = ;',
    "asset.ts": 'import a from "./data.bin" with { type: "file" };\nexport const b = a;',
    "data.bin": "data",
    "package.ts": 'import { a } from "no-such-package";\nexport const b = a;',
    "remote.ts": 'export const a = () => import("https://example.org/a.ts");',
    "name.ts": 'import { a } from "./asset.ts";\nexport const c = a;',
  });
  const failing = (name: string) => bundleLibrary(files.path(name));
  await expect(failing("absent_import.ts")).rejects.toThrow(
    /^Cannot bundle library module ".*absent_import.ts": .*\.\/absent\.ts.*:1\)$/,
  );
  await expect(failing("broken.ts")).rejects.toThrow(/Unexpected ;.*broken\.ts:2\)$/);
  await expect(failing("asset.ts")).rejects.toThrow("give such files as arguments");
  await expect(failing("package.ts")).rejects.toThrow('Could not resolve: "no-such-package"');
  await expect(failing("remote.ts")).rejects.toThrow(
    'it imports "https://example.org/a.ts": import files and installed packages',
  );
  await expect(failing("name.ts")).rejects.toThrow(/"a".*name\.ts:1\)$/);
  await expect(failing("nowhere.ts")).rejects.toThrow("nowhere.ts");
});

test(
  "bundleLibrary() takes a plain module as it is on Deno, and asks the binary for others",
  async () => {
    await using files = await writeFiles({
      "main.ts": WITH_IMPORTS,
      "more/half.ts": "export const half = (n: number): number => n / 2;",
      "plain.ts": PLAIN,
      "plain.js": 'import fs from "node:fs";\nexport const a = typeof fs;',
      "broken.ts": 'import "./absent.ts";',
      "ask.ts": `
      import { bundleLibrary } from ${JSON.stringify(join(ROOT, "manager/library_bundle.ts"))};
      try {
        const { bytes } = await bundleLibrary(process.argv[2], process.env["MODULE_TEXT"]);
        console.log(new TextDecoder().decode(bytes));
      } catch (error) {
        console.log("refused: " + error.message);
      }
    `,
    });
    const ask = (name: string, env: Record<string, string>): string => {
      const args = ["run", "-A", "--config", join(ROOT, "deno.json"), files.path("ask.ts")];
      const { stdout } = spawnSync("deno", [
        ...args,
        files.path(name),
      ], {
        env: { ...process.env, ...env },
        encoding: "utf8",
      });
      return stdout.trimEnd();
    };
    const withBinary = { TENDRIL_BIN: files.path("tendril") };
    const without = { TENDRIL_BIN: files.path("nowhere") };
    expect(ask("plain.ts", without)).toBe(PLAIN.trimEnd());
    expect(ask("plain.js", without)).toStartWith('// @bun\nimport fs from "node:fs";');
    expect(ask("main.ts", withBinary)).toContain("var half = (n) => n / 2;");
    expect(ask("main.ts", without)).toMatch(
      /^refused: Cannot bundle library module ".*main\.ts": what imports others is bundled by the program "tendril", and ".*nowhere" cannot be run; set TENDRIL_BIN to it/,
    );
    // What there is at the path is not looked at when there is a text.
    expect(ask("broken.ts", { ...without, MODULE_TEXT: PLAIN })).toBe(PLAIN.trimEnd());
    expect(ask("broken.ts", { ...withBinary, MODULE_TEXT: WITH_IMPORTS })).toContain("var half =");
    expect(ask("broken.ts", withBinary)).toMatch(
      /^refused: Cannot bundle .*absent\.ts.*broken\.ts:1\)$/,
    );
  },
  60_000,
);
