/** Options of a flow, checked. */

import type { ManagerOptions, PolicyOptions } from "../config.ts";
import { Manager } from "../manager.ts";
import { oneOf, type Reader, type Readers, readOptions, show } from "../option.ts";
import { APP_RETRY_READERS, type AppRetryOptions, type CheckedRetry } from "./app_options.ts";
import { DEEP_RESOLVER, type DependencyResolver } from "./dependency.ts";
import type { Executor } from "./executor.ts";
import { DEFAULT_NAMING, type OutputNaming } from "./output_name.ts";
import type { Staging } from "./staging.ts";

/** What a flow can be given of its own. */
export interface OwnFlowOptions extends AppRetryOptions {
  /**
   * Where calls run: `"manager"` stands for the manager that is started, or given. Apps that name
   * none run on the first one that takes them. Default `["manager"]`.
   */
  readonly executors?: readonly ("manager" | Executor)[];
  /** A manager that runs already, and goes on after the flow. Default: one is started. */
  readonly manager?: Manager;
  /**
   * What the end of the flow does with calls that have not ended: waits for them, or cancels them.
   * Default `"wait"`.
   */
  readonly exit?: "wait" | "cancel";
  /** What among arguments is awaited. Default `DEEP_RESOLVER`. */
  readonly resolver?: DependencyResolver;
  /** How files come to calls and from them, asked before those that are there anyway. */
  readonly stagings?: readonly Staging[];
  /** Names the files of streams that are `AUTO`. Default `DEFAULT_NAMING`. */
  readonly outputName?: OutputNaming;
  /** Policies, as TaskVine names its parameters. */
  readonly "tune_parameters"?: PolicyOptions;
}

/** What `load` takes. */
export interface FlowOptions extends OwnFlowOptions, ManagerOptions {}

/** Checked options. */
export interface CheckedFlow {
  readonly executors: readonly ("manager" | Executor)[] | undefined;
  readonly manager: Manager | undefined;
  readonly exit: "wait" | "cancel";
  readonly resolver: DependencyResolver;
  readonly retry: CheckedRetry;
  readonly tune: PolicyOptions | undefined;
  readonly stagings: readonly Staging[];
  readonly outputName: OutputNaming;
}

const executors: Reader<readonly ("manager" | Executor)[]> = (value, what) => {
  if (Array.isArray(value) && value.length > 0) return value;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as executors: expected ["manager", …]`,
  );
};

const manager: Reader<Manager> = (value, what) => {
  if (value instanceof Manager) return value;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as a manager: expected Manager.start()`,
  );
};

const resolver: Reader<DependencyResolver> = (value, what) => {
  const { map } = value as { readonly map?: unknown };
  if (typeof map === "function") return value as DependencyResolver;
  throw new TypeError(`Cannot take ${what} "${show(value)}" as a resolver: expected { map }`);
};

const policies: Reader<PolicyOptions> = (value, what) => {
  if (typeof value === "object" && value !== null) return value as PolicyOptions;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as parameters: expected { name: value }`,
  );
};

const stagings: Reader<readonly Staging[]> = (value, what) => {
  const isStaging = (one: unknown): boolean =>
    typeof one === "object" && one !== null && "canStageIn" in one && "stageIn" in one;
  if (Array.isArray(value) && value.every(isStaging)) return value;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as stagings: expected [{ name, stageIn, … }]`,
  );
};

const outputName: Reader<OutputNaming> = (value, what) => {
  if (typeof value === "function") return value as OutputNaming;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as a function: expected (call, stream) => path`,
  );
};

const OWN_READERS: Readers<OwnFlowOptions> = {
  ...APP_RETRY_READERS,
  executors,
  manager,
  exit: oneOf("wait", "cancel"),
  resolver,
  "tune_parameters": policies,
  stagings,
  outputName,
};

/**
 * Checks the flow's own options, and tells them from its manager's.
 *
 * @throws {TypeError | RangeError} When one of its own has a wrong value.
 */
export function readFlow(options: FlowOptions): {
  readonly own: CheckedFlow;
  readonly forManager: ManagerOptions;
} {
  const entries = Object.entries(options);
  const isOwn = (name: string): boolean => Object.hasOwn(OWN_READERS, name);
  const read = readOptions<OwnFlowOptions>(
    Object.fromEntries(entries.filter(([name]) => isOwn(name))),
    "load",
    OWN_READERS,
  );
  const forManager: ManagerOptions = Object.fromEntries(entries.filter(([name]) => !isOwn(name)));
  return {
    own: {
      executors: read.executors,
      manager: read.manager,
      exit: read.exit ?? "wait",
      resolver: read.resolver ?? DEEP_RESOLVER,
      retry: {
        retries: read.retries,
        handler: read.retryHandler,
        delayMs: read.retryDelay as number | undefined,
        on: read.retryOn,
      },
      tune: read["tune_parameters"],
      stagings: read.stagings ?? [],
      outputName: read.outputName ?? DEFAULT_NAMING,
    },
    forManager,
  };
}

/** Throws for what is no executor, or has the label of another one. */
export function checkFlow(given: readonly ("manager" | Executor)[]): void {
  const labels = new Set<string>();
  for (const one of given) {
    const label: unknown = one === "manager" ? one : one.label;
    if (typeof label !== "string" || label === "") {
      throw new TypeError(`Cannot take executor "${show(one)}": it has no label`);
    }
    if (labels.has(label)) {
      throw new RangeError(`Cannot take executor "${label}": another one has that label`);
    }
    labels.add(label);
  }
}
