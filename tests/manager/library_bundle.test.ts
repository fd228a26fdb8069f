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

test("bundleLibrary() says what is wrong, and where", async () => {
  await using files = await writeFiles({
    "absent_import.ts": 'import { a } from "./absent.ts";\nexport const b = a;',
    "broken.ts": 'import "./data.bin";\nexport const a = ;',
    "asset.ts": 'import a from "./data.bin" with { type: "file" };\nexport const b = a;',
    "data.bin": "data",
  });
  const failing = (name: string) => bundleLibrary(files.path(name));
  await expect(failing("absent_import.ts")).rejects.toThrow(
    /^Cannot bundle library module ".*absent_import.ts": .*\.\/absent\.ts.*:1\)$/,
  );
  await expect(failing("broken.ts")).rejects.toThrow(/Unexpected ;.*broken\.ts:2\)$/);
  await expect(failing("asset.ts")).rejects.toThrow("give such files as arguments");
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
        const { bytes } = await bundleLibrary(process.argv[2]);
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
    expect(ask("main.ts", without)).toMatch(/^refused: Cannot bundle library module ".*nowhere/);
    expect(ask("broken.ts", withBinary)).toMatch(
      /^refused: Cannot bundle .*absent\.ts.*broken\.ts:1\)$/,
    );
  },
  30_000,
);
