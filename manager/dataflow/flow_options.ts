/** Options of a flow, checked. */

import {
  type Duration,
  MANAGER_OPTION_NAMES,
  type ManagerOptions,
  type PolicyOptions,
} from "../config.ts";
import { Manager } from "../manager.ts";
import {
  checkOptionNames,
  duration,
  flag,
  oneOf,
  type Reader,
  type Readers,
  readOptions,
  show,
  text,
} from "../option.ts";
import { APP_RETRY_READERS, type AppRetryOptions, type CheckedRetry } from "./app_options.ts";
import { CHECKPOINT_MODES, CHECKPOINT_PERIOD_MS, type CheckpointMode } from "./checkpoint.ts";
import { DEEP_RESOLVER, type DependencyResolver } from "./dependency.ts";
import type { Executor } from "./executor.ts";
import type { Monitor } from "./monitor.ts";
import { type ExecutorChooser, firstExecutor } from "./executor_choice.ts";
import { DEFAULT_NAMING, type OutputNaming } from "./output_name.ts";
import { type AnySerializer, checkSerializers } from "./serializer.ts";
import type { Staging } from "./staging.ts";
import { memoKey, type MemoKeyer } from "./memo_key.ts";
import type { MemoStore } from "./memo_store.ts";
import { MEMO_FILE } from "./sqlite_memo_store.ts";

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
  /** Told of what becomes of calls, beside the records of the manager. Default none. */
  readonly monitors?: readonly Monitor[];
  /** How objects of classes travel as arguments and results. Default: they are refused. */
  readonly serializers?: readonly AnySerializer[];
  /** What among arguments is awaited. Default `DEEP_RESOLVER`. */
  readonly resolver?: DependencyResolver;
  /** How files come to calls and from them, asked before those that are there anyway. */
  readonly stagings?: readonly Staging[];
  /** Names the files of streams that are `AUTO`. Default `DEFAULT_NAMING`. */
  readonly outputName?: OutputNaming;
  /**
   * Whether results are remembered of calls whose apps do not say: calls that are the same run once.
   * Default true where `checkpoint` is stated, else false.
   */
  readonly memoize?: boolean;
  /**
   * When what is remembered goes to `memoFile`, for later runs: each result before its future
   * settles (`"task_exit"`), every `checkpointPeriod` (`"periodic"`), at the end (`"exit"`), or when
   * `flow.checkpoint()` is called (`"manual"`), and then at the end as well. Default: never.
   */
  readonly checkpoint?: CheckpointMode;
  /** Of `"periodic"`. Default 30 s. */
  readonly checkpointPeriod?: Duration;
  /** Where results are remembered. Default `tendril-memo.db` in the working directory. */
  readonly memoFile?: string;
  /** In place of `memoFile`; closed with the flow. */
  readonly memoStore?: MemoStore;
  /** Makes the keys of calls. Default `memoKey`. */
  readonly memoKey?: MemoKeyer;
  /**
   * How long workers keep files, and large values, that are remembered: while their process lives,
   * which may outlive this manager, or in the store of their host. Default `"worker"`.
   */
  readonly keepFiles?: "worker" | "forever";
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
  readonly monitors: readonly Monitor[];
  readonly serializers: readonly AnySerializer[];
  readonly resolver: DependencyResolver;
  readonly retry: CheckedRetry;
  readonly tune: PolicyOptions | undefined;
  readonly stagings: readonly Staging[];
  readonly outputName: OutputNaming;
  readonly memo: CheckedMemo;
}

/** Checked options of what is remembered. */
export interface CheckedMemo {
  readonly isDefault: boolean;
  readonly checkpoint: CheckpointMode | undefined;
  readonly periodMs: number;
  readonly file: string;
  readonly store: MemoStore | undefined;
  readonly keyer: MemoKeyer;
  readonly level: "worker" | "forever";
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

const monitors: Reader<readonly Monitor[]> = (value, what) => {
  const isOne = (one: { readonly label?: unknown; readonly note?: unknown } | null): boolean =>
    typeof one?.note === "function" && typeof one.label === "string";
  if (Array.isArray(value) && value.every(isOne)) return value;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as monitors: expected [{ label, note }]`,
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

const memoStore: Reader<MemoStore> = (value, what) => {
  const { get, put } = value as { readonly get?: unknown; readonly put?: unknown };
  if (typeof get === "function" && typeof put === "function") return value as MemoStore;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as a memo store: expected { get, put }`,
  );
};

const keyer: Reader<MemoKeyer> = (value, what) => {
  if (typeof value === "function") return value as MemoKeyer;
  throw new TypeError(`Cannot take ${what} "${show(value)}" as a function that makes keys`);
};

const OWN_READERS: Readers<OwnFlowOptions> = {
  ...APP_RETRY_READERS,
  executors,
  chooseExecutor: chooser,
  monitors,
  serializers: checkSerializers,
  manager,
  exit: oneOf("wait", "cancel"),
  resolver,
  memoize: flag,
  checkpoint: oneOf(...CHECKPOINT_MODES),
  checkpointPeriod: duration,
  memoFile: text,
  memoStore,
  memoKey: keyer,
  keepFiles: oneOf("worker", "forever"),
  "tune_parameters": policies,
  stagings,
  outputName,
};

/** All that `load` takes. */
const OPTION_NAMES: object = {
  ...OWN_READERS,
  ...Object.fromEntries(MANAGER_OPTION_NAMES.map((name) => [name, true])),
};

/**
 * Checks the flow's own options, and tells them from its manager's.
 *
 * @throws {TypeError | RangeError} When there is no such option, or one of its own has a wrong value.
 */
export function readFlow(options: FlowOptions): {
  readonly own: CheckedFlow;
  readonly forManager: ManagerOptions;
} {
  checkOptionNames(options, "load", OPTION_NAMES);
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
      chooseExecutor: read.chooseExecutor ?? firstExecutor,
      monitors: read.monitors ?? [],
      serializers: read.serializers ?? [],
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
      memo: {
        isDefault: read.memoize ?? read.checkpoint !== undefined,
        checkpoint: read.checkpoint,
        periodMs: Number(read.checkpointPeriod ?? CHECKPOINT_PERIOD_MS),
        file: read.memoFile ?? MEMO_FILE,
        store: read.memoStore,
        keyer: read.memoKey ?? memoKey,
        level: read.keepFiles ?? "worker",
      },
    },
    forManager,
  };
}

/** Throws for options of the manager of a flow that starts none: nothing would come of them. */
export function checkUnmanaged(options: FlowOptions): void {
  const [name] = Object.entries(options).find(([name, value]) => {
    const isForManager = name === "tune_parameters" || !Object.hasOwn(OWN_READERS, name);
    return isForManager && value !== undefined;
  }) ?? [];
  if (name === undefined) return;
  throw new TypeError(
    `Cannot take "${name}" as an option of load: it is for a manager, and the flow starts none`,
  );
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
