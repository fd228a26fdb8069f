/** This program from its source, for what asks `TENDRIL_BIN` for something on Deno. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

const ROOT = join(import.meta.dirname ?? "", "../../..");

/** Until it is disposed of, `TENDRIL_BIN` runs `mod.ts` of this repository. */
export function sourceProgram(): Disposable {
  const folder = mkdtempSync(join(tmpdir(), "tendril-program-"));
  const path = join(folder, "tendril");
  writeFileSync(path, `#!/bin/sh\nexec bun "${ROOT}/mod.ts" "$@"\n`, { mode: 0o755 });
  const before = process.env["TENDRIL_BIN"];
  process.env["TENDRIL_BIN"] = path;
  return {
    [Symbol.dispose]: () => {
      if (before === undefined) delete process.env["TENDRIL_BIN"];
      else process.env["TENDRIL_BIN"] = before;
      rmSync(folder, { recursive: true });
    },
  };
}
