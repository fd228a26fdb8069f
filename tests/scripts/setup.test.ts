import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join, resolve } from "@std/path";

const ROOT = resolve(import.meta.dirname ?? "", "../..");
/** What a POSIX system has in any case, as far as scripts/setup uses it. */
const POSIX = ["sh", "cat", "cksum", "mkdir", "rm", "grep", "tail", "head"];

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tendril setup-"));
  for (const file of ["scripts/setup", "package.json", "bun.lock"]) {
    cpSync(join(ROOT, file), join(directory, file));
  }
  mkdirSync(join(directory, "bin"));
  for (const name of POSIX) symlinkSync(Bun.which(name) ?? name, join(directory, "bin", name));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function tool(name: string, script: string): void {
  const path = join(directory, "bin", name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

/** A Node that reads the versions, which a real one reads from package.json. */
function nodeTool(): void {
  tool("node", `echo "bun@1.2.3 deno@4.5.6"`);
}

/** Puts what the packages of npm would bring in their place. */
function npmTool(): void {
  tool(
    "npm",
    `echo npm >> calls
for name in bun deno; do
  mkdir -p .tools/node_modules/.bin
  echo '#!/bin/sh
echo ${"$"}{0##*/} "$@" >> calls; [ "$1" != install ] || mkdir -p node_modules' > .tools/node_modules/.bin/$name
  ${Bun.which("chmod")} 755 .tools/node_modules/.bin/$name
done`,
  );
}

function setup() {
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["-eu", "-c", ". scripts/setup"], {
    cwd: directory,
    encoding: "utf8",
    env: { PATH: join(directory, "bin") },
  });
  return { status, stdout, stderr };
}

const calls = (): string[] => {
  const { stdout } = spawnSync("cat", ["calls"], { cwd: directory, encoding: "utf8" });
  rmSync(join(directory, "calls"), { force: true });
  return stdout.split("\n").slice(0, -1);
};

test("scripts/setup brings the runtimes, then the packages, and neither a second time", () => {
  nodeTool();
  npmTool();
  expect(setup()).toMatchObject({ status: 0, stderr: "" });
  expect(calls()).toEqual([
    "npm",
    "bun --version",
    "deno --version",
    "bun install --frozen-lockfile",
  ]);
  expect(setup()).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(calls()).toEqual([]);
});

test("scripts/setup installs the packages again when the lock has changed", () => {
  nodeTool();
  npmTool();
  setup();
  calls();
  writeFileSync(join(directory, "bun.lock"), "changed");
  expect(setup()).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(calls()).toEqual(["bun install --frozen-lockfile"]);
});

test("scripts/setup brings the runtimes again when their versions have changed", () => {
  nodeTool();
  npmTool();
  setup();
  calls();
  tool("node", `echo "bun@1.2.4 deno@4.5.6"`);
  expect(setup().status).toBe(0);
  expect(calls()[0]).toBe("npm");
});

test("scripts/setup asks for Node on one line", () => {
  expect(setup()).toEqual({
    status: 1,
    stdout: "",
    stderr: `error: Cannot find "node" in PATH: install Node 18 or later with npm\n`,
  });
});

test("scripts/setup asks for npm on one line", () => {
  nodeTool();
  expect(setup()).toEqual({
    status: 1,
    stdout: "",
    stderr: `error: Cannot find "npm" in PATH: install Node 18 or later with npm\n`,
  });
});

test("scripts/setup refuses an old Node on one line", () => {
  tool("node", `[ "$1" = -p ] && echo || echo v16.20.0`);
  expect(setup()).toEqual({
    status: 1,
    stdout: "",
    stderr: "error: Cannot use Node v16.20.0: install Node 18 or later\n",
  });
});

test("scripts/setup says that the registry is out of reach, and starts over the next time", () => {
  nodeTool();
  tool("npm", `echo "npm error code EAI_AGAIN" >&2; exit 1`);
  expect(setup()).toMatchObject({
    status: 1,
    stderr: "error: Cannot install bun@1.2.3 deno@4.5.6 with npm: the package registry is out of " +
      "reach (see .tools/install.log)\n",
  });
  expect(existsSync(join(directory, ".tools/stamp"))).toBe(false);
  npmTool();
  expect(setup().status).toBe(0);
});
