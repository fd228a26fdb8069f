/**
 * What variables of others say of the resources: Slurm's of what it granted (`man sbatch`, OUTPUT
 * ENVIRONMENT VARIABLES), and the user's own, which are those that a TaskVine worker reads. They are
 * not ours, so that a value that cannot be read is passed over, and told.
 */

import { type FoundAmount, leastFound } from "./found_amount.ts";

/** Variables by name. */
export type Variables = { readonly [name: string]: string | undefined };

/** What variables said. */
export interface VariableAmounts {
  /** As the user set them: they go before all that is found. */
  readonly user: VariableSet;
  /** As Slurm granted them: limits beside those of the system. */
  readonly slurm: VariableSet;
  /** What was passed over, one line each. */
  readonly ignored: readonly string[];
}

/** Amounts of one origin. */
export interface VariableSet {
  readonly cores?: FoundAmount;
  readonly memoryBytes?: FoundAmount;
  readonly diskBytes?: FoundAmount;
  readonly gpus?: FoundAmount;
}

/** Both Slurm and TaskVine say megabytes and mean these. */
const MEBIBYTE: number = 1024 ** 2;

/** Of anything, mebibytes too: what is above was not meant. */
const AMOUNT_MAX: number = 2 ** 32;

/** Nodes of one job that a list is read of: the largest clusters have fewer. */
const NODES_MAX = 100_000;

/** Reads the variables. */
export function readResourceVariables(env: Variables): VariableAmounts {
  const ignored: string[] = [];
  const reader: Reader = { env, ignored };
  const [cores, memory, disk, gpus] = [
    amountOf(reader, "CORES", {
      wanted: "a number above 0",
      isRight: (amount) => amount > 0 && amount < AMOUNT_MAX,
    }),
    wholeOf(reader, "MEMORY", 1),
    wholeOf(reader, "DISK", 1),
    wholeOf(reader, "GPUS", 0),
  ];
  const user = setOf({ cores, memoryBytes: inBytes(memory), diskBytes: inBytes(disk), gpus });
  return { user, slurm: readSlurm(reader), ignored };
}

/** Devices that a list of them names. */
export function listItems(text: string): string[] {
  return text.split(",").map((item) => item.trim()).filter((item) => item !== "");
}

interface Reader {
  readonly env: Variables;
  readonly ignored: string[];
}

function readSlurm(reader: Reader): VariableSet {
  const { env } = reader;
  // Tasks of a step that share the node share what it was granted.
  const taskCount = perNode(reader, "SLURM_STEP_TASKS_PER_NODE")?.amount ?? 1;
  const onNode = wholeOf(reader, "SLURM_CPUS_ON_NODE", 1) ??
    perNode(reader, "SLURM_JOB_CPUS_PER_NODE");
  const cores = wholeOf(reader, "SLURM_CPUS_PER_TASK", 1) ??
    part(onNode, taskCount, (amount) => Math.max(1, Math.floor(amount)));
  // 0 is all the memory of the node.
  const perCore = inBytes(wholeOf(reader, "SLURM_MEM_PER_CPU", 0));
  const ofNode = inBytes(wholeOf(reader, "SLURM_MEM_PER_NODE", 0));
  const ofCores = perCore && cores && { ...perCore, amount: perCore.amount * cores.amount };
  const memoryBytes = leastFound(
    ...[part(ofNode, taskCount, Math.floor), ofCores].filter((found) => {
      return found !== undefined && found.amount > 0;
    }),
  );
  const gpus = wholeOf(reader, "SLURM_GPUS_ON_NODE", 0) ??
    ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"].flatMap((from) => {
      const list = env[from];
      return list === undefined ? [] : [{ amount: listItems(list).length, from }];
    })[0];
  return setOf({ cores, memoryBytes, gpus });
}

function part(
  found: FoundAmount | undefined,
  count: number,
  round: (amount: number) => number,
): FoundAmount | undefined {
  return found && { ...found, amount: round(found.amount / count) };
}

/** This node's of a list such as `16(x2),8`, which names the nodes of the job in their order. */
function perNode({ env, ignored }: Reader, name: string): FoundAmount | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  const nodeIndex = Number(env["SLURM_NODEID"] ?? 0);
  let index = 0;
  for (const item of text.split(",")) {
    const [, amount, times = "1"] = /^([1-9]\d{0,8})(?:\(x(\d{1,9})\))?$/.exec(item) ?? [];
    if (amount === undefined || index > NODES_MAX) break;
    index += Number(times);
    if (nodeIndex < index) return { amount: Number(amount), from: name };
  }
  ignored.push(refusal(name, text, "amounts for each node, as 16(x2),8"));
  return undefined;
}

function wholeOf(reader: Reader, name: string, least: number): FoundAmount | undefined {
  const wanted = `a whole number of ${least} or more`;
  const isRight = (amount: number) => {
    return Number.isInteger(amount) && amount >= least && amount <= AMOUNT_MAX;
  };
  return amountOf(reader, name, { wanted, isRight });
}

function amountOf(
  { env, ignored }: Reader,
  name: string,
  { wanted, isRight }: {
    readonly wanted: string;
    readonly isRight: (amount: number) => boolean;
  },
): FoundAmount | undefined {
  const text = env[name]?.trim();
  if (text === undefined || text === "") return undefined;
  const amount = Number(text);
  if (/^\d+(?:\.\d+)?$/.test(text) && isRight(amount)) return { amount, from: name };
  ignored.push(refusal(name, text, wanted));
  return undefined;
}

function refusal(name: string, text: string, wanted: string): string {
  return `Cannot read ${name} "${text.slice(0, 60)}" as ${wanted}: it is passed over`;
}

function inBytes(found: FoundAmount | undefined): FoundAmount | undefined {
  return found && { ...found, amount: found.amount * MEBIBYTE };
}

function setOf(
  found: { readonly [Name in keyof VariableSet]: FoundAmount | undefined },
): VariableSet {
  return Object.fromEntries(Object.entries(found).filter(([, amount]) => amount !== undefined));
}
