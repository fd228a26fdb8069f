/**
 * The 45 parameters of TaskVine's `tune_parameters`, in its own names and units: the policy that
 * each one is here, or why it has none.
 *
 * Source: `vine_tune` of CCTools 8.0.0.
 */

import { show } from "./option.ts";

/** What a parameter becomes. */
type Parameter =
  | {
    readonly kind: "policy";
    /** {policy: value}, not checked. */
    readonly read: (value: number) => { readonly [policy: string]: unknown };
  }
  | { readonly kind: "passed_over"; readonly why: string };

/** Policies in the names that they have here, and what is to be said of the others. */
export interface TunedPolicies {
  /** Not checked. */
  readonly policies: { readonly [policy: string]: unknown };
  /** One line for each parameter that changes nothing. */
  readonly notes: readonly string[];
}

/** {parameter: what it becomes}; two names of one parameter are alike. */
const PARAMETERS: { readonly [name: string]: Parameter } = {
  "attempt-schedule-depth": passedOver(
    "tasks alike wait in one queue, so that none has to be looked at that cannot run",
  ),
  "category-steady-n-tasks": number("categorySteadyTasks"),
  "clean-redundant-replicas": flag("pruneExtraReplicas"),
  "default-transfer-rate": number("defaultTransferRate"),
  // Below 1 it is off there.
  "disconnect-slow-worker-factor": {
    kind: "policy",
    read: (value) => ({ slowWorkerFactor: value < 1 ? 0 : value }),
  },
  "disk-proportion-available-to-task": number("taskDiskShare"),
  "enforce-worker-eviction-interval": seconds("workerEvictionInterval"),
  "file-source-max-transfers": number("transfersPerUrl"),
  // TaskVine's own sets the next two to 1 as well when it is 1, of which its manual says nothing.
  "force-proportional-resources": flag("proportionalResources"),
  "proportional-resources": flag("proportionalResources"),
  "force-proportional-resources-whole-tasks": flag("proportionalWholeTasks"),
  "proportional-whole-tasks": flag("proportionalWholeTasks"),
  "hungry-minimum": number("hungryMinimum"),
  "hungry-minimum-factor": number("hungryFactor"),
  "immediate-recovery": choice("recovery", "immediate", "on_demand"),
  "keepalive-interval": passedOver("heartbeats follow from workerTimeout"),
  "keepalive-timeout": seconds("workerTimeout"),
  "large-task-check-interval": passedOver("nothing is looked for at intervals"),
  "load-from-shared-filesystem": flag("sharedFileSystem"),
  "long-timeout": passedOver("the manager never waits for the rest of a message"),
  "max-library-retries": number("libraryRetries"),
  "max-new-workers": passedOver("workers that join keep no others waiting"),
  "max-retrievals": passedOver(
    "results come as they are ready; how many files come at a time is transfersToManager",
  ),
  "max-task-stdout-storage": passedOver(
    "a result holds the last 64 KiB of each stream, whatever a task writes",
  ),
  "max-workers": { kind: "policy", read: (value) => ({ maxWorkers: Math.max(value, 0) }) },
  "min-transfer-timeout": seconds("minTransferTimeout"),
  "monitor-interval": passedOver("there is no monitor beside a task"),
  "option-blocklist-slow-workers-timeout": seconds("slowHostTimeout"),
  "perf-log-interval": passedOver("no such log is written"),
  "prefer-dispatch": passedOver("handing over a result delays no dispatch"),
  "ramp-down-heuristic": flag("rampDown"),
  "resource-management-interval": passedOver("the manager does not measure itself"),
  "resource-submit-multiplier": number("dispatchAhead"),
  "asynchrony-multiplier": number("dispatchAhead"),
  "sandbox-grow-factor": {
    kind: "policy",
    read: (value) => ({ sandboxGrowFactor: Math.max(value, 1.1) }),
  },
  "shift-disk-load": flag("shiftDiskLoad"),
  "short-timeout": passedOver("the manager never waits for a message"),
  "task-groups": flag("taskGroups"),
  "temp-replica-count": number("replicas"),
  "transfer-outlier-factor": number("transferOutlierFactor"),
  "transfer-replica-per-cycle": passedOver(
    "copies are made in slots that no task wants; it has no effect in TaskVine either",
  ),
  "transfer-temps-recovery": passedOver("lost copies of a temp are always made up for"),
  "transient-error-interval": passedOver("pauses begin short and grow with each failure"),
  "update-interval": passedOver("there is no catalog server to be told"),
  "wait-for-workers": number("waitForWorkers"),
  "watch-library-logfiles": passedOver("the error of a library holds what it wrote last"),
  "worker-retrievals": passedOver("results come as they are ready"),
  "worker-source-max-transfers": number("transfersPerWorker"),
};

/** Every name that is understood. */
export const PARAMETER_NAMES: readonly string[] = Object.keys(PARAMETERS);

/**
 * Puts parameters of TaskVine among `given` into our names and units.
 *
 * @throws {TypeError} When the value of one is no number; underscores are taken as hyphens.
 */
export function translateParameters(given: unknown): TunedPolicies {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`Cannot read policies from "${show(given)}" as an object`);
  }
  const policies: Record<string, unknown> = {};
  const notes: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    const parameter = parameterOf(name);
    if (parameter === undefined) {
      policies[name] = value;
    } else if (parameter.kind === "passed_over") {
      notes.push(`"${name}" changes nothing here: ${parameter.why}`);
    } else {
      Object.assign(policies, parameter.read(numberOf(name, value)));
    }
  }
  return { policies, notes };
}

/** No policy of ours has a hyphen or an underscore in its name. */
function parameterOf(name: string): Parameter | undefined {
  const theirs = name.replaceAll("_", "-");
  return Object.hasOwn(PARAMETERS, theirs) ? PARAMETERS[theirs] : undefined;
}

function numberOf(name: string, value: unknown): number {
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new TypeError(`Cannot take ${name} "${show(value)}" as a number`);
}

function passedOver(why: string): Parameter {
  return { kind: "passed_over", why };
}

function number(policy: string): Parameter {
  return { kind: "policy", read: (value) => ({ [policy]: value }) };
}

function flag(policy: string): Parameter {
  return { kind: "policy", read: (value) => ({ [policy]: value !== 0 }) };
}

function seconds(policy: string): Parameter {
  return { kind: "policy", read: (value) => ({ [policy]: value * 1000 }) };
}

function choice(policy: string, on: string, off: string): Parameter {
  return { kind: "policy", read: (value) => ({ [policy]: value === 0 ? off : on }) };
}
