/** The line that says that tasks fit no worker. */

import process from "node:process";

import { formatSize } from "../shared/units.ts";
import type { Fact } from "./core/instruction.ts";

type Unplaceable = Extract<Fact, { kind: "class_unplaceable" }>;

/** Says so on stderr. */
export function tellUnplaceable(facts: readonly Fact[]): void {
  for (const fact of facts) {
    if (fact.kind !== "class_unplaceable") continue;
    process.stderr.write(`tendril: ${describeUnplaceable(fact)}\n`);
  }
}

/** What is missing, as `12 tasks of category "blast" need 3 gpus: …`. */
export function describeUnplaceable(fact: Omit<Unplaceable, "kind">): string {
  const { category, taskCount, missing, workerCount } = fact;
  const isOne = taskCount === 1;
  const who = `${taskCount} ${isOne ? "task" : "tasks"} of category "${category}" ` +
    (isOne ? "needs" : "need");
  const workers = workerCount === 1 ? "the only worker" : `${workerCount} workers`;
  switch (missing.kind) {
    case "resource": {
      const { name, needed, most } = missing;
      const of = workerCount === 1 ? "all that the only worker" : `the most that one of ${workers}`;
      return `${who} ${amountOf(name, needed)}: ${of} has is ${shown(name, most)}`;
    }
    case "feature": {
      const none = workerCount === 1 ? "the only worker lacks it" : `none of ${workers} has it`;
      return `${who} feature "${missing.name}": ${none}`;
    }
    case "together": {
      const none = workerCount === 1 ? "the only worker lacks some" : `none of ${workers} has all`;
      return `${who} ${missing.names.join(", ")} at one worker: ${none} of what they ask for`;
    }
  }
}

function amountOf(name: string, amount: number): string {
  return `${shown(name, amount)} ${isBytes(name) ? "of " : ""}${name}`;
}

function shown(name: string, amount: number): string {
  return isBytes(name) ? formatSize(amount) : String(amount);
}

function isBytes(name: string): boolean {
  return name === "memory" || name === "disk";
}
