/** The compiled binary, made first where a source has changed since. */

import { execFileSync } from "node:child_process";

import { join, resolve } from "@std/path";

/** Root of the repository. */
export const ROOT: string = resolve(import.meta.dirname ?? "", "../..");

/** Path of the binary; it is up to date once this module is imported. */
export const BINARY: string = join(ROOT, "dist/tendril");

execFileSync("bun", [join(ROOT, "scripts/build.ts")], { cwd: ROOT, stdio: "pipe" });
