/** Options of a flow, checked. */

import type { ManagerOptions, PolicyOptions } from "../config.ts";
import { Manager } from "../manager.ts";
import { oneOf, type Reader, type Readers, readOptions, show } from "../option.ts";
import { APP_RETRY_READERS, type AppRetryOptions, type CheckedRetry } from "./app_options.ts";
import { DEEP_RESOLVER, type DependencyResolver } from "./dependency.ts";
import type { Executor } from "./executor.ts";
import { type ExecutorChooser, FIRST_EXECUTOR } from "./executor_choice.ts";

/** What a flow can be given of its own. */
export interface OwnFlowOptions extends AppRetryOptions {
  /**
   * Where calls run: `"manager"` stands for the manager that is started, or given. Apps that name
   * none run on the first one that takes them. Default `["manager"]`.
   */
  readonly executors?: readonly ("manager" | Executor)[];
  /**
   * Which executor runs a call of an app that names none. Default: the first one that takes it.
   */
  readonly chooseExecutor?: ExecutorChooser;
  /** A manager that runs already, and goes on after the flow. Default: one is started. */
  readonly manager?: Manager;
  /**
   * What the end of the flow does with calls that have not ended: waits for them, or cancels them.
   * Default `"wait"`.
   */
  readonly exit?: "wait" | "cancel";
  /** What among arguments is awaited. Default `DEEP_RESOLVER`. */
  readonly resolver?: DependencyResolver;
  /** Policies, as TaskVine names its parameters. */
  readonly "tune_parameters"?: PolicyOptions;
}

/** What `load` takes. */
export interface FlowOptions extends OwnFlowOptions, ManagerOptions {}

/** Checked options. */
export interface CheckedFlow {
  readonly executors: readonly ("manager" | Executor)[] | undefined;
  readonly chooseExecutor: ExecutorChooser;
  readonly manager: Manager | undefined;
  readonly exit: "wait" | "cancel";
  readonly resolver: DependencyResolver;
  readonly retry: CheckedRetry;
  readonly tune: PolicyOptions | undefined;
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

const chooser: Reader<ExecutorChooser> = (value, what) => {
  if (typeof value === "function") return value as ExecutorChooser;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as a function: expected (call, executors) => label`,
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

const OWN_READERS: Readers<OwnFlowOptions> = {
  ...APP_RETRY_READERS,
  executors,
  chooseExecutor: chooser,
  manager,
  exit: oneOf("wait", "cancel"),
  resolver,
  "tune_parameters": policies,
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
      chooseExecutor: read.chooseExecutor ?? FIRST_EXECUTOR,
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
