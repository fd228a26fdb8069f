import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

import { dirname, join } from "@std/path";

import { BINARY, ROOT } from "./built.ts";

/** Programs and data of Debian that the workflow is about; scripts/test brings them. */
const hasPrograms = spawnSync("sh", [
  "-c",
  "command -v bowtie2 bowtie2-build && test -d /usr/share/doc/bowtie2/examples/reads",
]).status === 0;

const BLOCK = /<!-- phage: (\S+) -->\n+```\w+\n([^]*?)```\n/g;

test.skipIf(!hasPrograms)(
  "README.md aligns the reads of a phage, the second time from memory, and then one part anew",
  () => {
    const directory = mkdtempSync(join(tmpdir(), "tendril-phage-"));
    const { TENDRIL_RUN_DIRECTORY: _, ...others } = process.env;
    const env = {
      ...others,
      PATH: `${dirname(BINARY)}:${process.env["PATH"]}`,
      TENDRIL_HOME: join(directory, "home"),
    };
    const run = (command: string): string => {
      const result = spawnSync("sh", ["-ec", command], { cwd: directory, env, encoding: "utf8" });
      expect(result).toMatchObject({ status: 0 });
      return result.stdout;
    };
    /** `app: state: how many` of the last run. */
    const calls = (): Record<string, number> => {
      using database = new DatabaseSync(join(directory, "tendril-runs/latest/monitoring.db"));
      const rows = database.prepare(
        "SELECT app || ': ' || state AS what, count(*) AS count FROM app_call GROUP BY what",
      ).all();
      return Object.fromEntries(rows.map(({ what, count }) => [String(what), Number(count)]));
    };
    try {
      const blocks = new Map(
        Array.from(
          readFileSync(join(ROOT, "README.md"), "utf8").matchAll(BLOCK),
          ([, name = "", text = ""]) => [name, text],
        ),
      );
      const [script = "", output = ""] = [blocks.get("run"), blocks.get("output")];
      for (const name of ["stats.py", "phage.ts"]) {
        writeFileSync(join(directory, name), blocks.get(name) ?? "");
      }
      expect(run(script)).toBe(output);
      const ran = { "align: exec_done": 8, "build: exec_done": 1, "count_mapped: exec_done": 8 };
      expect(calls()).toEqual({ ...ran, "plot: exec_done": 1, "total: exec_done": 1 });
      const plot = readFileSync(join(directory, "coverage.svg"), "utf8");
      expect(plot.match(/<rect /g)?.length).toBeGreaterThan(90);

      expect(run("tendril run phage.ts")).toBe(output);
      expect(Object.entries(calls()).filter(([what]) => !what.endsWith(": memo_done"))).toEqual([]);

      // Its first read begins elsewhere now, and is found nowhere.
      run(
        "sed -i '2s/.*/NNNNNNNNNNNNNNNNNNNNNNNNNNNNNN/; 4s/.*/IIIIIIIIIIIIIIIIIIIIIIIIIIIIII/' reads/part-ad",
      );
      expect(run("tendril run phage.ts")).toContain("of 10000 reads mapped");
      expect(calls()).toEqual({
        "align: exec_done": 1,
        "align: memo_done": 7,
        "build: memo_done": 1,
        "count_mapped: exec_done": 1,
        "count_mapped: memo_done": 7,
        "plot: exec_done": 1,
        "total: exec_done": 1,
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  120_000,
);
