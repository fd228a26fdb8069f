/**
 * Measures Tendril beside what the machine does without it, with compiled workers, and prints a
 * table. Run by Bun: `bun scripts/benchmarks/main.ts [NAME...]`.
 */
import process from "node:process";

import { measureBroadcast } from "./broadcast.ts";
import { measureCalls } from "./calls.ts";
import { measureCancel } from "./cancel.ts";
import { measureDoors } from "./doors.ts";
import { type Figure, tableOf } from "./figure.ts";
import { measureFlow } from "./flow.ts";
import { measureImports } from "./imports.ts";
import { measureManagerCore } from "./manager_core.ts";
import { measureMixed } from "./mixed.ts";
import { measureSee } from "./see.ts";
import { measureStart } from "./start.ts";
import { measureChains, measureTasks } from "./tasks.ts";
import { measureTransfer } from "./transfer.ts";
import { measureUnpack } from "./unpack.ts";

const BENCHES: Readonly<Record<string, () => Promise<Figure[]>>> = {
  tasks: measureTasks,
  calls: measureCalls,
  imports: measureImports,
  chains: measureChains,
  transfer: measureTransfer,
  broadcast: measureBroadcast,
  core: measureManagerCore,
  cancel: measureCancel,
  mixed: measureMixed,
  start: measureStart,
  doors: measureDoors,
  see: measureSee,
  unpack: measureUnpack,
  flow: measureFlow,
};

/** A machine on which all of them take longer than this is of no use for them. */
const BENCHES_MS_MAX = 1_800_000;

if (import.meta.main) await main(process.argv.slice(2));

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.find((name) => !Object.hasOwn(BENCHES, name));
  if (unknown !== undefined) {
    const known = Object.keys(BENCHES).join(", ");
    process.stderr.write(`error: Cannot run bench "${unknown}": there are ${known}\n`);
    process.exit(2);
  }
  const limit = setTimeout(() => {
    process.stderr.write(`error: Not done after ${BENCHES_MS_MAX / 1000} s\n`);
    // Its interrupt has open managers end their workers first.
    process.kill(process.pid, "SIGINT");
  }, BENCHES_MS_MAX);
  const figures: Figure[] = [];
  for (const [name, measure] of Object.entries(BENCHES)) {
    if (names.length > 0 && !names.includes(name)) continue;
    process.stdout.write(`bench ${name}`);
    const found = await measure();
    process.stdout.write(`, medians of ${found[0]?.runs.length ?? 0} runs\n`);
    figures.push(...found);
  }
  clearTimeout(limit);
  process.stdout.write(`\n${tableOf(figures)}`);
}
