import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { writePythonHost } from "../../../../worker/library/python/host_files.ts";

const SOURCES = join(import.meta.dirname ?? "", "../../../../worker/library/python");

test("writePythonHost() writes every module of the host, again if it must", () => {
  const directory = mkdtempSync(join(tmpdir(), "tendril-host-files-"));
  try {
    const path = writePythonHost(join(directory, "host"));
    expect(writePythonHost(join(directory, "host"))).toBe(path);
    const names = readdirSync(SOURCES).filter((name) => name.endsWith(".py")).sort();
    expect(readdirSync(dirname(path)).sort()).toEqual(names);
    for (const name of names) {
      expect(readFileSync(join(dirname(path), name), "utf8"))
        .toBe(readFileSync(join(SOURCES, name), "utf8"));
    }
    // It gets as far as that the library is not there, which it says on descriptor 4.
    const command = 'exec python3 "$1" --module /absent.py --name absent 3</dev/null 4>"$2"';
    spawnSync("sh", ["-c", command, "sh", path, join(directory, "results")]);
    expect(readFileSync(join(directory, "results"), "utf8")).toContain("No module named 'absent'");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
