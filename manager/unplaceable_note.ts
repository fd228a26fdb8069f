/** The line that says that tasks fit no worker. */

import process from "node:process";

import { plainText } from "../shared/plain_text.ts";
import { formatSize } from "../shared/units.ts";
import type { Fact } from "./core/fact.ts";
import type { UnplaceableTasks } from "./core/unplaceable.ts";

type ClassUnplaceable = Extract<Fact, { kind: "class_unplaceable" }>;

/** Lines of one step; of more it is said how many they are. */
const LINES_MAX = 20;

/** Categories and features are named as the user pleases. */
const LINE_CHARS_MAX = 1_000;

/** Says so on stderr. */
export function tellUnplaceable(facts: readonly Fact[]): void {
  const told = facts.filter((fact): fact is ClassUnplaceable => fact.kind === "class_unplaceable");
  for (const fact of told.slice(0, LINES_MAX)) {
    process.stderr.write(`tendril: ${describeUnplaceable(fact)}\n`);
  }
  const moreCount = told.length - LINES_MAX;
  if (moreCount <= 0) return;
  process.stderr.write(`tendril: ${moreCount} more kinds of tasks fit no worker that is there\n`);
}

/** What is missing, as `12 tasks of category "blast" need 3 gpus: …`, or `1 call of library …`. */
export function describeUnplaceable(tasks: UnplaceableTasks): string {
  return plainText(describe(tasks), LINE_CHARS_MAX);
}

function describe(tasks: UnplaceableTasks): string {
  const { category, library, taskCount, missing, workerCount } = tasks;
  const [what, of] = library === undefined
    ? ["task", `category "${category}"`]
    : ["call", `library "${library}"`];
  const isOne = taskCount === 1;
  const who = `${taskCount} ${isOne ? what : `${what}s`} of ${of} ${isOne ? "needs" : "need"}`;
  const workers = workerCount === 1 ? "the only worker" : `${workerCount} workers`;
  switch (missing.kind) {
    case "resource": {
      const { name, needed, most } = missing;
      const best = workerCount === 1
        ? "all that the only worker"
        : `the most that one of ${workers}`;
      return `${who} ${amountOf(name, needed)}: ${best} has is ${shown(name, most)}`;
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
  const unit = amount === 1 && (name === "cores" || name === "gpus") ? name.slice(0, -1) : name;
  return `${shown(name, amount)} ${isBytes(name) ? "of " : ""}${unit}`;
}

function shown(name: string, amount: number): string {
  return isBytes(name) ? formatSize(amount) : String(amount);
}

function isBytes(name: string): boolean {
  return name === "memory" || name === "disk";
}
