import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";

import { findEnvironmentRoot } from "../../../shared/archive/environment_root.ts";
import { scratch } from "./scratch.ts";

const PLAIN = { isVirtual: false, isConda: false };

test("findEnvironmentRoot() tells what is unpacked by the files in it", async () => {
  await using dir = await scratch();
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "", ...PLAIN });
  mkdirSync(`${dir.path}/bin`);
  mkdirSync(`${dir.path}/other`);
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "", ...PLAIN });
  mkdirSync(`${dir.path}/conda-meta`);
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "", ...PLAIN, isConda: true });
  writeFileSync(`${dir.path}/pyvenv.cfg`, "");
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "", isVirtual: true, isConda: true });
});

test("findEnvironmentRoot() looks into the only directory, and through no link", async () => {
  await using dir = await scratch();
  mkdirSync(`${dir.path}/venv`);
  symlinkSync("venv", `${dir.path}/current`);
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "", ...PLAIN });
  writeFileSync(`${dir.path}/venv/pyvenv.cfg`, "");
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "venv", ...PLAIN, isVirtual: true });
  mkdirSync(`${dir.path}/share`);
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "", ...PLAIN });
  symlinkSync("venv/pyvenv.cfg", `${dir.path}/pyvenv.cfg`);
  expect(findEnvironmentRoot(dir.path)).toEqual({ path: "", ...PLAIN });
});
