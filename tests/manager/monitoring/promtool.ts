/** Debian's promtool, which `scripts/test` brings. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

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
