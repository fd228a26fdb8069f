/** Simulates clusters over ranges of seeds and says which seeds fail; see `HELP`. */

import process from "node:process";

import { runFlowGraph } from "../tests/simulation/flow_run.ts";
import {
  type NamedScenario,
  recorded,
  SCENARIOS,
  simulateNamed,
} from "../tests/simulation/scenarios.ts";
import { measureWaste, SIZINGS, wasteTable } from "../tests/simulation/waste.ts";

/** Tasks of the workload of which the waste is measured. */
const WASTE_TASKS = 2_000;

const HELP = `usage: scripts/simulate [SCENARIO...] [--seeds N | --seeds FIRST-LAST] [--records]
       scripts/simulate waste [--seed N]
       scripts/simulate flow [--seeds N | --seeds FIRST-LAST]

Joins the real cores of the manager and its workers by a simulated network, clock and disks, and
lets them be killed, parted, slowed and lied to by their disks. One seed is one run; after every
event all invariants are checked. A failing seed fails again when it is run alone:

  scripts/simulate stages --seeds 500          seeds 1 to 500 of one scenario
  scripts/simulate nondeterministic --seeds 17-17

With --records what is told of each run goes into a database, which is compared with what happened.

Without --seeds each scenario runs the seeds that the tests run. Prints one line a scenario, and
one for each failing seed; ends with 1 when there is one.

With "waste" it runs ${WASTE_TASKS} tasks whose memory follows a skewed distribution once for each mode of
categories, and prints how long that took, what was repeated, and what was allocated and not used.

With "flow" it runs random graphs of calls of apps instead, and compares what they give with plain
evaluation.

scenarios:
${SCENARIOS.map(({ name, claim }) => `  ${name.padEnd(18)}${claim}`).join("\n")}
`;

/** Prints what each mode of categories wastes. */
function runWaste(args: readonly string[]): void {
  const [option, text = "1", ...rest] = args;
  const isSeed = option === undefined || option === "--seed" && /^\d{1,9}$/.test(text);
  if (!isSeed || rest.length > 0) throw new Error(`Cannot take "${args.join(" ")}" as --seed N`);
  const workload = { seed: Number(text), taskCount: WASTE_TASKS };
  process.stdout.write(wasteTable(SIZINGS.map((sizing) => measureWaste(sizing, workload))));
}

/** Exit code of a command line that makes no sense. */
const EXIT_USAGE = 2;

/** Seeds from the first to the last. */
interface SeedRange {
  readonly first: number;
  readonly last: number;
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    if (args[0] === "waste") {
      runWaste(args.slice(1));
      return 0;
    }
    if (args[0] === "flow") return await runFlows(args.slice(1));
    const { scenarios, seeds, isRecorded } = readArguments(args);
    let failedCount = 0;
    for (const scenario of scenarios.map((one) => isRecorded ? recorded(one) : one)) {
      failedCount += runSeeds(scenario, seeds ?? scenario.tested);
    }
    return failedCount === 0 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`simulate: ${error instanceof Error ? error.message : error}\n`);
    return EXIT_USAGE;
  }
}

/** Runs graphs of calls; returns an exit code. */
async function runFlows([option = "--seeds", text = "1000"]: readonly string[]): Promise<number> {
  if (option !== "--seeds") throw new Error(`Cannot take "${option}" as --seeds N`);
  const { first, last } = readSeeds(text);
  let callCount = 0;
  const failures: string[] = [];
  for (let seed = first; seed <= last; seed++) {
    try {
      callCount += (await runFlowGraph(seed)).calls;
    } catch (error) {
      failures.push(`  seed ${seed}: ${error instanceof Error ? error.message : error}\n`);
    }
  }
  process.stdout.write(
    `flow: ${last - first + 1} seeds, ${callCount} calls, ${failures.length} failed\n`,
  );
  for (const failure of failures) process.stdout.write(failure);
  return failures.length === 0 ? 0 : 1;
}

function readArguments(args: readonly string[]) {
  const names: string[] = [];
  let seeds: SeedRange | undefined;
  let isRecorded = false;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--seeds") seeds = readSeeds(args[++index] ?? "");
    else if (arg === "--records") isRecorded = true;
    else names.push(arg);
  }
  const scenarios = names.map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name);
    if (found !== undefined) return found;
    const known = SCENARIOS.map((scenario) => scenario.name).join(", ");
    throw new Error(`Cannot take "${name}" as a scenario: there are ${known}`);
  });
  return { scenarios: scenarios.length === 0 ? SCENARIOS : scenarios, seeds, isRecorded };
}

function readSeeds(text: string): SeedRange {
  const match = /^(?:(\d{1,9})-)?(\d{1,9})$/.exec(text);
  const range = { first: Number(match?.[1] ?? 1), last: Number(match?.[2] ?? 0) };
  if (match !== null && range.first <= range.last) return range;
  throw new Error(`Cannot take --seeds "${text}" as N or FIRST-LAST`);
}

/** Runs a range of seeds, prints what they came to, and returns how many failed. */
function runSeeds(scenario: NamedScenario, { first, last }: SeedRange): number {
  const startedAtMs = performance.now();
  const sums = { recoveries: 0, nondeterministic: 0, replicasDamaged: 0, triesStarted: 0 };
  const failures: string[] = [];
  for (let seed = first; seed <= last; seed++) {
    try {
      const { counters } = simulateNamed(scenario, seed).state;
      for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += counters[name];
    } catch (error) {
      failures.push(`  seed ${seed}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
  process.stdout.write(
    `${scenario.name}: ${last - first + 1} seeds in ${seconds} s, ${failures.length} failed; ` +
      `${sums.triesStarted} tries, ${sums.recoveries} recoveries, ${sums.nondeterministic} ` +
      `other makings, ${sums.replicasDamaged} damaged copies dropped\n`,
  );
  for (const failure of failures) process.stdout.write(`${failure}\n`);
  return failures.length;
}
