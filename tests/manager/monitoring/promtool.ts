/** Debian's promtool, which `scripts/test` brings. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

const BROUGHT = decodeURIComponent(
  new URL("../../../.tools/prometheus/usr/bin/promtool", import.meta.url).pathname,
);

const PROMTOOL = existsSync(BROUGHT) ? BROUGHT : "promtool";

/** False where it is not there. */
export const HAS_PROMTOOL: boolean = spawnSync(PROMTOOL, ["--version"]).status === 0;

/** What `promtool check metrics` says of a text: nothing when all is right. */
export function checkMetrics(text: string): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, ["check", "metrics"], { input: text });
  return { status, said: `${stdout}${stderr}` };
}

/** What `promtool check rules` says of recording rules. */
export function checkRules(
  rules: readonly { readonly record: string; readonly expr: string }[],
): { status: number | null; said: string } {
  const folder = mkdtempSync(join(tmpdir(), "tendril-rules-"));
  try {
    // All JSON is YAML.
    writeFileSync(join(folder, "rules.yml"), JSON.stringify({ groups: [{ name: "all", rules }] }));
    const { status, stdout, stderr } = spawnSync(PROMTOOL, [
      "check",
      "rules",
      join(folder, "rules.yml"),
    ]);
    return { status, said: `${stdout}${stderr}` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
