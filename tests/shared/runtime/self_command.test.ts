import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { realpath, writeFile } from "node:fs/promises";

import { selfCommand, withoutRuntimeVariables } from "../../../shared/runtime/self_command.ts";
import { scratch } from "../archive/scratch.ts";

const isDeno = "Deno" in globalThis;

test("selfCommand() runs mod.ts from the source on Bun, the configured binary on Deno", () => {
  const before = process.env["TENDRIL_BIN"];
  process.env["TENDRIL_BIN"] = "/opt/tendril";
  try {
    const [program, ...args] = selfCommand(["a", "b"]);
    expect(args.slice(-2)).toEqual(["a", "b"]);
    if (isDeno) {
      expect([program, args.length]).toEqual(["/opt/tendril", 2]);
    } else {
      expect(program).toBe(process.execPath);
      expect(args.at(-3)).toBe(new URL("../../../mod.ts", import.meta.url).pathname);
    }
  } finally {
    if (before === undefined) delete process.env["TENDRIL_BIN"];
    else process.env["TENDRIL_BIN"] = before;
  }
});

test.skipIf(isDeno)(
  "selfCommand() runs the binary in the binary, the bundle in a bundle",
  async () => {
    await using dir = await scratch();
    const path = await realpath(dir.path);
    const source = new URL("../../../shared/runtime/self_command.ts", import.meta.url).pathname;
    await writeFile(
      `${path}/main.ts`,
      `import { selfCommand } from ${JSON.stringify(source)};
     console.log(JSON.stringify(selfCommand(process.argv.slice(2))));`,
    );
    const run = (program: string, ...args: string[]) => {
      const env = { ...process.env, BUN_BE_BUN: "0" };
      return execFileSync(program, args, { cwd: path, env, encoding: "utf8" });
    };
    const bun = process.execPath;
    run(bun, "build", "--target=bun", "--outfile", `${path}/tendril.mjs`, `${path}/main.ts`);
    const bundled = JSON.parse(run(bun, `${path}/tendril.mjs`, "x"));
    expect([bundled[0], ...bundled.slice(-2)]).toEqual([bun, `${path}/tendril.mjs`, "x"]);
    run(bun, "build", "--compile", "--outfile", `${path}/tendril`, `${path}/main.ts`);
    expect(JSON.parse(run(`${path}/tendril`, "x"))).toEqual([`${path}/tendril`, "x"]);
  },
  60_000,
);

test("withoutRuntimeVariables() removes what steers the runtime and keeps the rest", () => {
  expect(withoutRuntimeVariables({ BUN_OPTIONS: "x", PATH: "/bin", EMPTY: "", GONE: undefined }))
    .toEqual({ PATH: "/bin", EMPTY: "" });
});
