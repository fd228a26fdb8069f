import { fileURLToPath } from "node:url";

import { expect, test } from "bun:test";

import { selfCommand, withoutRuntimeVariables } from "../../../shared/runtime/self_command.ts";

test("selfCommand() runs the program's main module from its source", () => {
  const program = fileURLToPath(new URL("../../../mod.ts", import.meta.url).href);
  expect(selfCommand(["a", "b"])).toEqual([process.execPath, program, "a", "b"]);
});

test("withoutRuntimeVariables() drops what steers the runtime and what is undefined", () => {
  const env = { BUN_OPTIONS: "x", BUN_BE_BUN: "1", BUNNY: "y", PATH: "/bin", GONE: undefined };
  expect(withoutRuntimeVariables(env)).toEqual({ BUNNY: "y", PATH: "/bin" });
});
