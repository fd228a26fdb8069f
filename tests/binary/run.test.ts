import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { copyFileSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";

import { dirname, join } from "@std/path";

import { BINARY, ROOT } from "./built.ts";

let directory = "";

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "tendril run (1)-")));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function write(files: Record<string, string>): void {
  for (const [name, contents] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), contents);
  }
}

function tendril(args: string[], options: { cwd?: string; command?: string[] } = {}) {
  const [command = "", ...before] = options.command ?? [BINARY];
  const { status, stdout, stderr } = spawnSync(command, [...before, ...args], {
    cwd: options.cwd ?? directory,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: directory },
  });
  return { status, stdout, stderr };
}

const REPORT = `import * as tendril from "tendril";
import { other } from "./other.ts";
type Unused = import("./nothing.ts").Nothing;
const version: string = tendril.VERSION;
console.log(JSON.stringify({
  version, other, argv: process.argv, main: import.meta.main, url: import.meta.url,
}));
`;
const OTHER = `import { VERSION } from "tendril";
export const other = { version: VERSION, main: import.meta.main };
`;

test.each([
  ["the binary", [BINARY], BINARY],
  ["Bun from source", ["bun", join(ROOT, "mod.ts")], undefined],
])(
  "tendril run gives a script the library of %s, argv and import.meta.main",
  (_, command, argv0) => {
    write({ "workflow.ts": REPORT, "other.ts": OTHER });
    const result = tendril(["run", "workflow.ts", "--workers", "run"], { command });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const version = JSON.parse(tendril(["version"]).stdout.replace(/.*/, '"$&"'));
    const path = join(directory, "workflow.ts");
    expect(JSON.parse(result.stdout)).toEqual({
      version,
      other: { version, main: false },
      argv: [argv0 ?? expect.any(String), path, "--workers", "run"],
      main: true,
      url: new URL(`file://${encodeURI(path)}`).href,
    });
  },
);

test("tendril run prefers its own library to one that a tsconfig.json or package names", () => {
  const fake = `export const VERSION = "fake";`;
  write({
    "workflow.ts": `import { VERSION } from "tendril"; console.log(VERSION);`,
    "tsconfig.json": `{ "compilerOptions": { "paths": { "tendril": ["./fake.ts"] } } }`,
    "fake.ts": fake,
    "node_modules/tendril/package.json": `{ "name": "tendril", "main": "index.js" }`,
    "node_modules/tendril/index.js": fake,
  });
  expect(tendril(["run", "workflow.ts"]).stdout).toBe(tendril(["version"]).stdout);
});

test("tendril run finds npm packages beside the script, from any working directory", () => {
  write({
    "workflow.ts": `import { word } from "dep"; console.log(word);`,
    "node_modules/dep/package.json": `{ "name": "dep", "exports": { ".": "./lib/index.mjs" } }`,
    "node_modules/dep/lib/index.mjs": `export const word = "found";`,
  });
  const result = tendril(["run", join(directory, "workflow.ts")], { cwd: "/" });
  expect(result).toEqual({ status: 0, stdout: "found\n", stderr: "" });
});

test("tendril run takes nothing from .env and bunfig.toml of the working directory", () => {
  write({
    "workflow.ts": `import { VERSION } from "tendril"; console.log(process.env.HOSTILE, VERSION);`,
    ".env": "HOSTILE=yes\nTENDRIL_HOME=/nowhere\n",
    ".env.local": "HOSTILE=yes\n",
    "bunfig.toml": `preload = ["./evil.ts"]\n[run]\nbun = true\n`,
    "evil.ts": `console.log("EVIL"); process.exit(3);`,
  });
  const version = tendril(["version"], { cwd: "/" }).stdout;
  expect(tendril(["version"])).toEqual({ status: 0, stdout: version, stderr: "" });
  const result = tendril(["run", "workflow.ts"]);
  expect(result).toEqual({ status: 0, stdout: `undefined ${version}`, stderr: "" });
});

test("tendril run needs no file but the binary and the script", () => {
  const binary = join(directory, "tendril");
  try {
    linkSync(BINARY, binary);
  } catch {
    // Another file system.
    copyFileSync(BINARY, binary);
  }
  write({ "workflow.ts": `import { VERSION } from "tendril"; console.log(VERSION);` });
  const result = spawnSync(binary, ["run", "workflow.ts"], {
    cwd: directory,
    encoding: "utf8",
    env: {},
  });
  expect(result).toMatchObject({ status: 0, stdout: tendril(["version"]).stdout, stderr: "" });
});

test("tendril run exits 1 on an uncaught error and names its line", () => {
  write({
    "workflow.ts": `#!/usr/bin/env tendril\nconst x: number = 1;\nthrow new Error("burnt");\n`,
  });
  const result = tendril(["run", "workflow.ts"]);
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("burnt");
  expect(result.stderr).toContain("workflow.ts:3:");
});

test("tendril run shows what a function threw with its own file and line", () => {
  write({
    "functions.ts":
      `import { text } from "./text.ts";\nexport const refuse = (n: number) => 1 + text(n);`,
    "text.ts": `interface Unused {}\n\nexport function text(n: number): string {
  throw new RangeError("no " + n);\n}`,
    "workflow.ts": `import { Manager } from "tendril";
await using manager = await Manager.start({ workers: 1 });
const library = manager.library({ name: "texts", module: "./functions.ts" });
await library.call("refuse", 1).value().catch((error) => console.log(error));
await library.map("refuse", [2]);`,
  });
  const result = tendril(["run", "--quiet", "workflow.ts"]);
  expect(result.stdout).toStartWith(`RangeError: no 1\n    at text (${directory}/text.ts:4:`);
  expect(result.stderr).toStartWith(
    "TaskError: Cannot have the result of item 0: RangeError: no 2",
  );
  expect(result.stderr).toContain("\ncaused by: RangeError: no 2\n");
  expect(result.stderr).toContain(`${directory}/functions.ts:2:`);
  expect(result.stderr).not.toContain("bunfs");
  expect(result.status).toBe(1);
});

test("tendril run names what could not be started, and no line of its own", () => {
  write({
    "workflow.ts": `import { Manager } from "tendril";
await using manager = await Manager.start({ workers: 1, runDirectory: "/dev/null/runs" });`,
  });
  const result = tendril(["run", "--quiet", "workflow.ts"]);
  expect(result.status).toBe(1);
  expect(result.stderr).toStartWith(
    'Error: Cannot use "/dev/null/runs" for the records of runs: ENOTDIR',
  );
  expect(result.stderr).not.toContain("bunfs");
});

test("tendril run keeps the exit status of the script, and what it left running", () => {
  write({
    "workflow.js": `#!/usr/bin/env tendril
import { createServer } from "node:net";
const server = createServer().listen(0, "127.0.0.1", () => server.close());
server.on("close", () => { console.log("closed"); process.exitCode = 7; });`,
  });
  symlinkSync("workflow.js", join(directory, "link.mjs"));
  expect(tendril(["run", "link.mjs"])).toEqual({ status: 7, stdout: "closed\n", stderr: "" });
});

test("tendril run ends what a script opens without awaiting it", () => {
  write({
    "late.ts": `import { app, load } from "tendril";
load({ workers: 1 });
app((n: number) => n + 1, { name: "add" })(1);`,
  });
  const result = tendril(["run", "--quiet", "late.ts"]);
  expect(result.status).toBe(1);
  expect(result.stderr).toContain('Cannot call "add" without a flow: await load({ … }) first');
});

test.each([
  ["missing.ts", "no such file"],
  [".", "it is not a file"],
  ["notes.txt", "its name ends in none of .ts .mts .tsx .js .mjs .jsx"],
])("tendril run refuses %s on one line", (script, found) => {
  write({ "notes.txt": "" });
  expect(tendril(["run", script])).toEqual({
    status: 2,
    stdout: "",
    stderr: `tendril run: Cannot run script "${script}" as a workflow: ${found}\n`,
  });
});
