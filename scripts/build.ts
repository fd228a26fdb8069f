/**
 * Builds what a user gets, into `dist/`: the library as one file with its types, then the binary,
 * which carries both for `tendril init`. Nothing is built anew while no source has changed.
 *
 *     bun scripts/build.ts          tendril.mjs, tendril.d.ts, tendril for this machine
 *     bun scripts/build.ts --all    and one binary for each of TARGETS
 */

import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";

import { join, resolve } from "@std/path";
import type { BunPlugin } from "bun";
import { generateDtsBundle } from "dts-bundle-generator";

import { bundlePage, type Page, PAGE_BYTES_MAX } from "../manager/dashboard/page_bundle.ts";
import { THREAD_MODULES } from "../shared/runtime/thread.ts";

const ROOT = resolve(import.meta.dir, "..");
const DIST = join(ROOT, "dist");

/** What the files in `dist/` are made of. */
const SOURCES = [
  "manager",
  "worker",
  "shared",
  "mod.ts",
  "package.json",
  "bun.lock",
  "tsconfig.json",
  "scripts/build.ts",
];

const ALL_FILES = { recursive: true, encoding: "utf8" } as const;

/** `{name of the binary: what Bun calls the machine}` */
const TARGETS: Readonly<Record<string, Bun.Build.CompileTarget>> = {
  "tendril-linux-x64": "bun-linux-x64",
  "tendril-linux-arm64": "bun-linux-arm64",
  "tendril-linux-x64-musl": "bun-linux-x64-musl",
  "tendril-linux-arm64-musl": "bun-linux-arm64-musl",
  "tendril-macos-x64": "bun-darwin-x64",
  "tendril-macos-arm64": "bun-darwin-arm64",
};

/** cbor-x bakes the path of its native add-on into the bundle unless it is told that it has none. */
const DEFINE = { "process.env.CBOR_NATIVE_ACCELERATION_DISABLED": '"true"' };

/** Stands for `import.meta.main`, of which Bun makes what is always true under Deno. */
const MAIN = "TENDRIL_IMPORT_META_MAIN";

/** What a declaration file cannot hold when a bare Deno project is to understand it. */
const FOREIGN =
  /^.*(\bfrom "|\bimport\(|<reference|\bany\b|\bNodeJS\b|\bBuffer\b|\bBun\b|\bDeno\b).*$/m;

await main(process.argv.slice(2));

async function main(args: string[]): Promise<void> {
  const unknown = args.find((argument) => argument !== "--all");
  if (unknown) throw new TypeError(`Cannot read argument "${unknown}" as an option: --all is one`);
  const names = ["tendril", ...(args.length > 0 ? Object.keys(TARGETS) : [])];
  const digest = digestOf(SOURCES);
  const missing = names.filter((name) => stampOf(name) !== digest);
  if (missing.length === 0) return print("dist/ is up to date\n");

  mkdirSync(DIST, { recursive: true });
  const page = await buildPage();
  await buildLibrary(page);
  buildDeclarations();
  for (const name of missing) {
    await buildBinary(name, page);
    writeFileSync(join(DIST, `.${name}.stamp`), digest);
  }
}

/** The page of the dashboard, which must load fast over a slow line. */
async function buildPage(): Promise<Page> {
  const page = await bundlePage();
  const sizeBytes = Object.values(page).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (sizeBytes <= PAGE_BYTES_MAX) return page;
  throw new Error(`Cannot embed a page of ${sizeBytes} bytes: at most ${PAGE_BYTES_MAX}`);
}

/** One file for Bun and Deno that holds the library and all it depends on. */
async function buildLibrary(page: Page): Promise<void> {
  const { outputs } = await Bun.build({
    entrypoints: [join(ROOT, "mod.ts")],
    target: "node",
    format: "esm",
    external: ["bun", "bun:*"],
    define: { ...DEFINE, "import.meta.main": MAIN },
    banner: `/* @ts-self-types="./tendril.d.ts" */`,
    plugins: [
      embed("embedded", "export const embeddedLibrary = () => undefined;"),
      embedPage(page),
    ],
  });
  const code = await outputs[0]?.text() ?? "";
  const foreign = /^import .*from "(?!node:|module")[^"]*".*$/m.exec(code);
  if (foreign) throw new Error(`Cannot bundle mod.ts as one file: it holds ${foreign[0]}`);
  write("tendril.mjs", code.replaceAll(MAIN, "import.meta.main"));
}

/** Types of what mod.ts exports, in one file that names no package and no runtime. */
function buildDeclarations(): void {
  // Names of its own: another process may be building as well.
  const [config, globals] = [`tsconfig.${process.pid}.json`, `deno.${process.pid}.d.ts`];
  // The declarations of Bun know nothing of Deno; `deno check` has looked at what uses it.
  write(globals, "declare const Deno: any;\n");
  const compilerOptions = {
    noEmit: false,
    noImplicitAny: false,
    emitDeclarationOnly: true,
    declaration: true,
    // Types are checked by deno check, which knows both runtimes.
    noCheck: true,
    skipLibCheck: true,
    types: ["bun", "../shared/std_path.d.ts", "../shared/archive/seek_bzip.d.ts", `./${globals}`],
  };
  write(config, JSON.stringify({ extends: "../tsconfig.json", compilerOptions }));
  const output = { noBanner: true, exportReferencedTypes: false };
  const [declarations = ""] = generateDtsBundle([{ filePath: join(ROOT, "mod.ts"), output }], {
    preferredConfigPath: join(DIST, config),
  });
  for (const file of [config, globals]) rmSync(join(DIST, file));
  const foreign = FOREIGN.exec(declarations.replace(/\/\*[^]*?\*\//g, ""));
  if (foreign) throw new Error(`Cannot publish the types of mod.ts: they hold "${foreign[0]}"`);
  write("tendril.d.ts", declarations);
}

async function buildBinary(name: string, page: Page): Promise<void> {
  const texts = ["tendril.mjs", "tendril.d.ts"].map((file) => JSON.stringify(join(DIST, file)));
  const embedded = `import code from ${texts[0]} with { type: "text" };
import declarations from ${texts[1]} with { type: "text" };
export const embeddedLibrary = () => ({ code, declarations });`;
  // Another process may be running the one that is there; a rename leaves it its own.
  const outfile = join(DIST, `.${name}.${process.pid}`);
  const target = TARGETS[name];
  await Bun.build({
    entrypoints: ["mod.ts", ...THREAD_MODULES].map((file) => join(ROOT, file)),
    target: "bun",
    format: "esm",
    // Compiled ahead: every child that a worker starts would compile the whole program first.
    bytecode: true,
    define: DEFINE,
    plugins: [embed("embedded", embedded), embedPage(page)],
    compile: {
      outfile,
      ...(target && { target }),
      // The binary takes nothing from the directory it is started in, but the script it runs
      // finds its own packages.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadPackageJson: true,
      autoloadTsconfig: true,
    },
  });
  renameSync(outfile, join(DIST, name));
  print(`built dist/${name}\n`);
}

/** Puts the page in the place of manager/dashboard/embedded_page.ts. */
function embedPage(page: Page): BunPlugin {
  const source = `export const embeddedPage = ${JSON.stringify(page)};`;
  return embed("dashboard/embedded_page", source);
}

/** Puts `source` in the place of the module of that name below manager/. */
function embed(name: string, source: string): BunPlugin {
  const filter = new RegExp(`/manager/${name}\\.ts$`);
  return {
    name: `embed ${name}`,
    setup: (build) => void build.onLoad({ filter }, () => ({ contents: source, loader: "ts" })),
  };
}

/** What `name` and the files it carries were last made of. */
function stampOf(name: string): string | undefined {
  const files = [name, "tendril.mjs", "tendril.d.ts", `.${name}.stamp`].map((file) =>
    join(DIST, file)
  );
  return files.every((file) => existsSync(file))
    ? readFileSync(files.at(-1) ?? "", "utf8")
    : undefined;
}

function digestOf(paths: readonly string[]): string {
  const hash = createHash("sha256").update(Bun.version);
  for (const path of paths) {
    const isFolder = statSync(join(ROOT, path)).isDirectory();
    const names = isFolder ? readdirSync(join(ROOT, path), ALL_FILES).sort() : [""];
    for (const file of names.map((name) => join(path, name))) {
      // What Python leaves beside the modules that tests run is no source.
      if (file.includes("__pycache__") || statSync(join(ROOT, file)).isDirectory()) continue;
      hash.update(`${file}\0`).update(readFileSync(join(ROOT, file))).update("\0");
    }
  }
  return hash.digest("hex");
}

function write(name: string, contents: string): void {
  const path = join(DIST, `.${name}.${process.pid}`);
  writeFileSync(path, contents);
  renameSync(path, join(DIST, name));
}

function print(text: string): void {
  process.stdout.write(text);
}
