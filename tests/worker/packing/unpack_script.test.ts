import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";

import { Buffer } from "node:buffer";

import type { PrefixRecord } from "../../../shared/archive/prefix_records.ts";
import { rewritePrefixes } from "../../../shared/archive/prefix_rewriter.ts";
import { unpackScript } from "../../../worker/packing/unpack_script.ts";
import { scratch } from "../../shared/archive/scratch.ts";

const OLD = "/the/placeholder/of/this/test/that/is/long/enough/for/any/temporary/directory";

function run(prefix: string, records: readonly PrefixRecord[]) {
  mkdirSync(`${prefix}/bin`, { recursive: true });
  writeFileSync(`${prefix}/bin/conda-unpack`, unpackScript(records), { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync("python3", [`${prefix}/bin/conda-unpack`], {
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("unpackScript() keeps records as Python reads them, one a line", () => {
  const paths = ["bin/x", "it's", "back\\slash", "new\nline\t\x7f", "ünï/文字 😀", '"quoted"'];
  const records = paths.map((path) => ({ path, placeholder: "/p", mode: "text" } as const));
  const script = unpackScript(records);
  expect(script).toContain(
    "_prefix_records = [\n('bin/x', '/p', 'text'),\n('it\\'s', '/p', 'text'),",
  );
  const program = `import json, sys
space = {"__name__": "records"}
exec(sys.stdin.read(), space)
print(json.dumps(space["_prefix_records"]))`;
  const { stdout } = spawnSync("python3", ["-c", program], { input: script, encoding: "utf8" });
  expect(JSON.parse(stdout)).toEqual(paths.map((path) => [path, "/p", "text"]));
});

test("unpackScript() relocates text and programs, and again without harm", async () => {
  await using dir = await scratch();
  const { path: prefix } = dir;
  mkdirSync(`${prefix}/ünï`);
  writeFileSync(`${prefix}/ünï/text`, `#!${OLD}/bin/sh\n${OLD} ${OLD}2\n`, { mode: 0o555 });
  utimesSync(`${prefix}/ünï/text`, 1_500_000_000, 1_500_000_000);
  writeFileSync(`${prefix}/program`, `\x7fELF\0a:${OLD}/x:${OLD}/y\0rest${OLD}`);
  const records = [
    { path: "ünï/text", placeholder: OLD, mode: "text" },
    { path: "program", placeholder: OLD, mode: "binary" },
    { path: "gone", placeholder: OLD, mode: "text" },
  ] as const;
  for (let count = 0; count < 2; count++) {
    expect(run(prefix, records)).toEqual({
      status: 0,
      stdout: "",
      stderr: expect.stringMatching(/^conda-unpack: ".*\/gone" is not there\n$/),
    });
    expect(readFileSync(`${prefix}/ünï/text`, "utf8"))
      .toBe(`#!${prefix}/bin/sh\n${prefix} ${prefix}2\n`);
    const { mode, mtimeMs } = statSync(`${prefix}/ünï/text`);
    expect([mode & 0o777, mtimeMs]).toEqual([0o555, 1_500_000_000_000]);
    const padding = "\0".repeat(2 * (OLD.length - prefix.length));
    // What no NUL ends is no string.
    expect(readFileSync(`${prefix}/program`, "utf8"))
      .toBe(`\x7fELF\0a:${prefix}/x:${prefix}/y\0${padding}rest${OLD}`);
  }
});

test("unpackScript() changes nothing where the path is too long for a program", async () => {
  await using dir = await scratch();
  chmodSync(dir.path, 0o755);
  writeFileSync(`${dir.path}/text`, "/short/x");
  const { status, stderr } = run(dir.path, [
    { path: "text", placeholder: "/short", mode: "text" },
    { path: "program", placeholder: "/short", mode: "binary" },
  ]);
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^conda-unpack: Cannot relocate "program" to .*may have 6 bytes at most\n$/,
  );
  expect(readFileSync(`${dir.path}/text`, "utf8")).toBe("/short/x");
});

test("unpackScript() makes first lines that no kernel reads as a worker does", async () => {
  await using dir = await scratch();
  const lines = ["python3.11", "python3 -s -E", "python\t-I ", "tool", "tool -x", "a$b", ""];
  for (const name of ["with blank", "long".repeat(30), "it's", "plain"]) {
    const prefix = `${dir.path}/${name}`;
    mkdirSync(prefix);
    const records = lines.map((_, index) => {
      return { path: `script${index}`, placeholder: OLD, mode: "text" } as const;
    });
    for (const [index, line] of lines.entries()) {
      writeFileSync(`${prefix}/script${index}`, `#!${OLD}/bin/${line}\n# ${OLD}\n`);
    }
    cpSync(prefix, `${prefix} copy`, { recursive: true });
    expect(run(prefix, records)).toMatchObject({ status: 0, stderr: "" });
    for (const [index] of lines.entries()) {
      const rewrite = {
        placeholders: [Buffer.from(OLD)],
        prefix: Buffer.from(prefix),
        mode: "text",
        isWholePath: false,
      } as const;
      const room = { leftBytes: Infinity, bytesMax: Infinity };
      rewritePrefixes(`${prefix} copy/script${index}`, rewrite, room);
      const [ours, theirs] = [prefix, `${prefix} copy`].map((root) => {
        return readFileSync(`${root}/script${index}`, "utf8");
      });
      expect(ours).toBe(theirs!);
    }
  }
});
