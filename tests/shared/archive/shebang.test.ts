import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";

import { fixShebang } from "../../../shared/archive/shebang.ts";
import { scratch } from "./scratch.ts";

const LONG = `/${"long/".repeat(30)}env`;

test("fixShebang() leaves a line that the kernel reads", () => {
  expect(fixShebang("#!", { prefix: "/new", rest: "/bin/python3 -E" })).toBeUndefined();
  const rest = "/bin/python3";
  expect(fixShebang("#!", { prefix: "/".padEnd(127 - 2 - 12, "p"), rest })).toBeUndefined();
  expect(fixShebang("#!", { prefix: "/".padEnd(128 - 2 - 12, "p"), rest })).toBeString();
  // The prefix is an argument only.
  expect(fixShebang("#!/bin/sh ", { prefix: LONG, rest: "/bin/x" })).toBeUndefined();
});

test("fixShebang() looks for other programs in PATH", () => {
  expect(fixShebang("#! ", { prefix: LONG, rest: "/bin/perl" })).toBe("#!/usr/bin/env perl");
  expect(fixShebang("#!", { prefix: LONG, rest: "/bin/perl -w x" })).toBe(
    "#!/usr/bin/env -S perl -w x",
  );
  expect(fixShebang("#!", { prefix: '/a "b', rest: "/bin/python3.11" })).toBe(
    "#!/usr/bin/env python3.11",
  );
});

test("fixShebang() starts Python by its path, with its arguments", async () => {
  await using dir = await scratch();
  const prefix = `${dir.path}/with blank`;
  mkdirSync(`${prefix}/bin`, { recursive: true });
  const sh = '#!/bin/sh\necho interpreter "$@"\n';
  writeFileSync(`${prefix}/bin/interpreter`, sh, { mode: 0o755 });
  symlinkSync("interpreter", `${prefix}/bin/python3.11`);
  const lines = fixShebang("#!", { prefix, rest: "/bin/python3.11 -E" });
  writeFileSync(`${dir.path}/script`, `${lines}\nimport sys\n`);
  chmodSync(`${dir.path}/script`, 0o755);
  const said = execFileSync(`${dir.path}/script`, ["a b"], { encoding: "utf8" });
  expect(said).toBe(`interpreter -E ${dir.path}/script a b\n`);
});
