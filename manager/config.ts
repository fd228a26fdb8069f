/** Options of `Manager.start` and the policies, checked once at the edge. */

import { readFileSync } from "node:fs";

import { type HostPort, parseAdvertised, parseListen } from "../shared/addresses.ts";
import { checkOwnCertificate, type KeyPair } from "../shared/certificate.ts";
import { type CategoryOptions, readCategories } from "./category.ts";
import { CATEGORY_MODES, type CategoryMode } from "./core/category.ts";
import type { CategoryChange } from "./core/event.ts";
import { LOG_LEVELS, type LogLevel } from "../shared/log.ts";
import type { CustomResources } from "../shared/resources.ts";
import { DEFAULT_POLICIES, PLACEMENTS, type Policies } from "./core/policy.ts";
import {
  amount,
  anyText,
  count,
  duration,
  flag,
  memorySize,
  oneOf,
  type Reader,
  type Readers,
  readOptions,
  show,
  size,
  text,
} from "./option.ts";
import {
  ALL_RECORDS,
  type RecordsConfig,
  recordsOption,
  type RecordsOptions,
  runDirectoryOption,
  statedDashboard,
  statedLogLevel,
} from "./records_option.ts";
import { customResources, features } from "./resource_option.ts";
import { translateParameters } from "./tune_parameter.ts";

/** Local workers are processes on this machine: more than this many is a slip of the keyboard. */
const LOCAL_WORKERS_MAX = 1000;

/** Timers and heartbeats are derived from these: shorter would be noise. */
const TIMEOUT_MS_MIN = 100;

/** Copies of one file: more would fill disks and help nobody. */
export const REPLICAS_MAX = 100;

/** Addresses that are tried in turn by every worker: more would only take time. */
const ADVERTISED_MAX = 16;

/** Bytes, or text such as `"2GB"`. */
export type Size = number | string;

/** Milliseconds, or text such as `"10m"`. */
export type Duration = number | string;

/** Local workers to start with the manager; what is left out is shared evenly among them. */
export interface LocalWorkersOptions {
  /** Default 1. */
  readonly count?: number;
  /** Cores of each. Default: an even share of what they may use here, at least 1. */
  readonly cores?: number;
  /** Memory that each offers. Default: an even share. */
  readonly memory?: Size;
  /** Disk that each offers. Default: an even share. */
  readonly disk?: Size;
  /** GPUs that each offers. Default: an even share, no device at two of them. */
  readonly gpus?: number;
  /** What each offers of resources that you have names for, as `{ license: 2 }`. Default none. */
  readonly resources?: { readonly [name: string]: number };
  /** What tasks may ask of a worker. Default none. */
  readonly features?: readonly string[];
  /** Each task runs on processors that no other has. Default false. */
  readonly pinCores?: boolean;
  /** Folder under which each has a workspace of its own. Default: a temporary one, removed. */
  readonly workspace?: string;
  /** Tasks see little of the environment, as with `tendril worker --clean-env`. Default false. */
  readonly cleanEnv?: boolean;
}

/**
 * Rules of the manager that can be set, and changed with `tune`.
 *
 * Parameters of TaskVine are taken under its own names as well, as `"temp-replica-count": 2`.
 */
export interface PolicyOptions {
  /** In TaskVine's units: seconds, and 0 or 1 for what is off or on. */
  readonly [parameter: `${string}-${string}`]: number | boolean | undefined;
  /** Copies of each temp that are kept at workers. Default 1. */
  readonly replicas?: number;
  /**
   * When a temp is removed, to be made again if it is needed after all: `"never"`; `"consumed"`,
   * when all its consumers have succeeded and it was given up or declared with
   * `release: "auto"`; `"depth:2"`, when 2 levels of consumers have. Default `"never"`.
   */
  readonly pruneTemps?: "never" | "consumed" | `depth:${number}`;
  /** Remove copies of temps above the wanted number while nothing needs them. Default false. */
  readonly pruneExtraReplicas?: boolean;
  /**
   * Move temps from workers whose disks are much fuller than those of others, while nothing else
   * needs the network. Default false.
   */
  readonly shiftDiskLoad?: boolean;
  /** Workers fetch from workers. Default true. */
  readonly peerTransfers?: boolean;
  /**
   * Workers see the files of this machine under the same paths: what `manager.file` names from now
   * on, if it is there, they read by themselves. Default false.
   */
  readonly sharedFileSystem?: boolean;
  /** Transfers out of one worker at a time. Default 10. */
  readonly transfersPerWorker?: number;
  /** Workers fetching from one url host at a time. Default 4. */
  readonly transfersPerUrl?: number;
  /** Transfers out of the manager at a time. Default 4. */
  readonly transfersFromManager?: number;
  /** Transfers into the manager at a time. Default 4. */
  readonly transfersToManager?: number;
  /**
   * Remake a lost temp when it is needed; at once, if it is declared still and not pruned, with
   * the priority of the task that made it; or never. Default `"on_demand"`.
   */
  readonly recovery?: "on_demand" | "immediate" | "off";
  /**
   * Where a task goes among workers that have room: `"files"`, where most input bytes are;
   * `"spread"`, where most cores are free; `"disk"`, where most disk is free; `"fast"`, where tasks
   * ran shortest beside others alike; `"random"`, anywhere. Default `"files"`.
   */
  readonly placement?: "files" | "fast" | "random" | "spread" | "disk";
  /** Silence after which a transfer is given up, to go on from elsewhere. Default 30 s. */
  readonly transferStallTimeout?: Duration;
  /** How many times as long as usual a transfer may take before it is given up. Default 10. */
  readonly transferOutlierFactor?: number;
  /** Time that every transfer may take, however slow it is. Default 60 s. */
  readonly minTransferTimeout?: Duration;
  /** Bytes per second that are usual until some have been moved. Default 1 MB. */
  readonly defaultTransferRate?: Size;
  /** What is dispatched to a worker, as a multiple of what it can run. Default 2. */
  readonly dispatchAhead?: number;
  /** Work of this duration may wait at a worker in any case. Default 20 ms. */
  readonly dispatchAheadTime?: Duration;
  /** Hold dispatch until this many workers joined. Default 0. */
  readonly waitForWorkers?: number;
  /** Workers above this many are refused. Default 0: no limit. */
  readonly maxWorkers?: number;
  /**
   * A worker is sent away at random once in this time on average, to see whether a workflow can
   * live with it. Default 0: never.
   */
  readonly workerEvictionInterval?: Duration;
  /** Silence after which a worker is lost. Default 30 s. */
  readonly workerTimeout?: Duration;
  /** Time that a worker has to come back after its connection closed. Default 3 s. */
  readonly reconnectGrace?: Duration;
  /** Runs of one task to remake its lost temps, those that fail included. Default 5. */
  readonly recoveryTries?: number;
  /**
   * What a task does not state is a share of its worker, as large as the largest part of it that
   * the task does state; else it is all of the worker. Default true.
   */
  readonly proportionalResources?: boolean;
  /** Such shares are rounded up so that a whole number of tasks fills a worker. Default false. */
  readonly proportionalWholeTasks?: boolean;
  /** Part of a worker's disk that such shares are taken of. Default 0.75. */
  readonly taskDiskShare?: number;
  /**
   * So many failures in a row that are the doing of a host, and it is given nothing for a while: tries
   * that cannot start, inputs that do not come and full disks, where tasks alike ran well elsewhere;
   * workers that are lost. Default 5; 0 is never.
   */
  readonly hostFailures?: number;
  /** For how long, the first time; each further time twice as long. Default 1 min. */
  readonly hostBlockTime?: Duration;
  /**
   * A try that runs for more than so many times the mean of tasks alike is taken back and given to
   * another worker; a worker from which two in a row were taken is sent away. From 1 up; default 0:
   * never.
   */
  readonly slowWorkerFactor?: number;
  /** For how long the host of such a worker is given nothing. Default 15 min. */
  readonly slowHostTimeout?: Duration;
  /** Tasks that are joined by temps go to one worker together. Default false. */
  readonly taskGroups?: boolean;
  /**
   * How the first try is sized of tasks whose category has no mode of its own; see `CategoryOptions`.
   * Default `"fixed"`.
   */
  readonly categoryMode?: CategoryMode;
  /** Successes of a category after which what was learnt of it is used anew. Default 25. */
  readonly categorySteadyTasks?: number;
  /** How many times as much disk the next try has of one that outgrew it unstated. Default 2. */
  readonly sandboxGrowFactor?: number;
  /**
   * With more workers than ready tasks, a task of a category that learns is given all of a worker
   * that has nothing else to do. Default false.
   */
  readonly rampDown?: boolean;
  /** Tasks that are to wait, at least, for `hungry()` to be 0. Default 10. */
  readonly hungryMinimum?: number;
  /** `hungry()` wants as many times what all workers can run. Default 2. */
  readonly hungryFactor?: number;
  /** Time that the `retry` function of a task has to answer. Default 1 minute. */
  readonly retryTimeout?: Duration;
  /** Failed starts in a row after which a library is given up. Default 3. */
  readonly libraryRetries?: number;
  /**
   * An instance of a library that nothing has called for so long ends, unless it is one of those
   * that `instances` keeps. Default 5 minutes; 0 is never.
   */
  readonly libraryIdleTimeout?: Duration;
  /**
   * Busy instances of a library serve for so long, at least, and for twice what they take to start,
   * before they make way for what they keep from running. Default 2 seconds.
   */
  readonly libraryTurn?: Duration;
}

/** Those of `PolicyOptions` that have names of their own. */
type OwnPolicies = {
  [Name in keyof PolicyOptions as Name extends `${string}-${string}` ? never : Name]-?:
    PolicyOptions[Name];
};

/** A certificate and its key: PEM, or the path of a file with it. */
export interface TlsOptions {
  /** Followed by its chain, when an authority has signed it. */
  readonly cert: string;
  /** Without a password. */
  readonly key: string;
}

/** Options of `Manager.start`. */
export interface ManagerOptions {
  /** Under this name workers and clients find the manager. Default: made up, unique. */
  readonly name?: string;
  /**
   * Address to listen on, `"127.0.0.1:0"`; port 0 is any free one, and `":9123"` listens on all
   * addresses. Elsewhere than on loopback, connections are encrypted.
   */
  readonly listen?: string;
  /** Hosts, or `HOST:PORT`, under which it can be reached: told to workers before all others. */
  readonly advertise?: string | readonly string[];
  /** A certificate of one's own. Default: one is made at start when connections are encrypted. */
  readonly tls?: TlsOptions;
  /** True leaves connections of other hosts in plain: whoever sees them can read all data. */
  readonly insecure?: boolean;
  /** Local workers to start: how many, or how many of what. Default none. */
  readonly workers?: number | LocalWorkersOptions;
  /** Rules that differ from their defaults. */
  readonly policies?: PolicyOptions;
  /** What is said of categories, by their names, as `manager.category` takes it. */
  readonly category?: { readonly [name: string]: CategoryOptions };
  /**
   * Folder in which each run gets a folder of its own, named by the time, for its records; false
   * leaves none. Default: what TENDRIL_RUN_DIRECTORY says, `none` being false, else `tendril-runs`.
   */
  readonly runDirectory?: string | false;
  /** Records of the run that are not to be kept, as `{ vineLogs: false }`. Default: all are. */
  readonly records?: RecordsOptions;
  /**
   * Least that is logged, by the manager and by local workers: `"debug"`, `"info"`, `"warn"` or
   * `"error"`. Default: what TENDRIL_LOG_LEVEL says, else `"info"`.
   */
  readonly logLevel?: LogLevel;
  /** Serve the dashboard, at `address`. Default true, unless TENDRIL_NO_DASHBOARD is set. */
  readonly dashboard?: boolean;
  /**
   * Path of a TOML or JSON file with such options; those that are stated elsewhere win, policy by
   * policy.
   */
  readonly config?: string;
}

/** What each local worker is started with; sizes are bytes, absent ones it finds out, evenly shared. */
export interface LocalWorkersConfig {
  readonly count: number;
  readonly cores?: number;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly gpus?: number;
  readonly resources?: CustomResources;
  readonly features?: readonly string[];
  readonly pinCores?: boolean;
  readonly workspace?: string;
  readonly cleanEnv?: boolean;
}

/** Checked options of `Manager.start`. */
export interface ManagerConfig {
  readonly name?: string;
  readonly host: string;
  readonly port: number;
  readonly advertise: readonly HostPort[];
  readonly isInsecure: boolean;
  /** Given by the user. */
  readonly tls?: KeyPair;
  readonly workers: LocalWorkersConfig;
  readonly policies: Policies;
  readonly categories: readonly CategoryChange[];
  /** As it was stated; see run_directory.ts for what holds when it was not. */
  readonly runDirectory?: string | false;
  readonly records: RecordsConfig;
  readonly logLevel: LogLevel;
  readonly hasDashboard: boolean;
}

interface ReadOptions {
  readonly name: string;
  readonly listen: HostPort;
  readonly advertise: readonly HostPort[];
  readonly tls: KeyPair;
  readonly insecure: boolean;
  readonly workers: LocalWorkersConfig;
  readonly policies: Policies;
  readonly category: readonly CategoryChange[];
  readonly runDirectory: string | false;
  readonly records: RecordsConfig;
  readonly logLevel: LogLevel;
  readonly dashboard: boolean;
}

/**
 * Checks the options of `Manager.start` and fills in the defaults.
 *
 * @throws {TypeError | RangeError} When an option is unknown or has a wrong value.
 */
export function readManagerOptions(options: ManagerOptions): ManagerConfig {
  const read = readOptions<ReadOptions>(options, "Manager.start", READERS);
  if (read.tls !== undefined && read.insecure === true) {
    throw new TypeError("Cannot take both tls and insecure: one says to encrypt, the other not to");
  }
  return {
    ...(read.name === undefined ? {} : { name: read.name }),
    host: read.listen?.host ?? "127.0.0.1",
    port: read.listen?.port ?? 0,
    advertise: read.advertise ?? [],
    isInsecure: read.insecure ?? false,
    ...(read.tls === undefined ? {} : { tls: read.tls }),
    workers: read.workers ?? { count: 0 },
    policies: read.policies ?? DEFAULT_POLICIES,
    categories: read.category ?? [],
    ...(read.runDirectory === undefined ? {} : { runDirectory: read.runDirectory }),
    records: read.records ?? ALL_RECORDS,
    logLevel: read.logLevel ?? statedLogLevel(),
    hasDashboard: read.dashboard ?? statedDashboard(),
  };
}

/**
 * `current` with the policies that `value` states.
 *
 * @throws {TypeError | RangeError} When a policy is unknown or out of range.
 */
export function readPolicies(value: unknown, current: Policies): Policies {
  const { policies } = translateParameters(value);
  const read = readOptions<OwnPolicies>(policies, "policies", POLICY_READERS);
  const {
    dispatchAheadTime,
    workerEvictionInterval,
    workerTimeout,
    reconnectGrace,
    transferStallTimeout,
    minTransferTimeout,
    defaultTransferRate,
    hostBlockTime,
    slowHostTimeout,
    retryTimeout,
    libraryIdleTimeout,
    libraryTurn,
    ...rest
  } = read;
  return {
    ...current,
    ...rest,
    transferStallTimeoutMs: Number(transferStallTimeout ?? current.transferStallTimeoutMs),
    minTransferTimeoutMs: Number(minTransferTimeout ?? current.minTransferTimeoutMs),
    defaultTransferRate: Number(defaultTransferRate ?? current.defaultTransferRate),
    hostBlockTimeMs: Number(hostBlockTime ?? current.hostBlockTimeMs),
    slowHostTimeoutMs: Number(slowHostTimeout ?? current.slowHostTimeoutMs),
    retryTimeoutMs: Number(retryTimeout ?? current.retryTimeoutMs),
    dispatchAheadMs: Number(dispatchAheadTime ?? current.dispatchAheadMs),
    workerEvictionIntervalMs: Number(workerEvictionInterval ?? current.workerEvictionIntervalMs),
    workerTimeoutMs: Number(workerTimeout ?? current.workerTimeoutMs),
    reconnectGraceMs: Number(reconnectGrace ?? current.reconnectGraceMs),
    libraryIdleTimeoutMs: Number(libraryIdleTimeout ?? current.libraryIdleTimeoutMs),
    libraryTurnMs: Number(libraryTurn ?? current.libraryTurnMs),
  };
}

const pruneTemps: Reader<Policies["pruneTemps"]> = (value, what) => {
  if (value === "never" || value === "consumed") return value;
  const levels = /^depth:([1-9])$/.exec(typeof value === "string" ? value : "")?.[1];
  if (levels !== undefined) return `depth:${Number(levels)}`;
  throw new RangeError(
    `Cannot take ${what} "${show(value)}" as "never", "consumed" or "depth:1" to "depth:9"`,
  );
};

const timeout: Reader<Duration> = (value, what) => {
  const ms = duration(value, what);
  if (ms >= TIMEOUT_MS_MIN) return ms;
  throw new RangeError(`Cannot take ${what} "${ms}" as a timeout: at least ${TIMEOUT_MS_MIN} ms`);
};

const slowWorkerFactor: Reader<number> = (value, what) => {
  const factor = amount(0, 1_000_000)(value, what);
  if (factor === 0 || factor >= 1) return factor;
  throw new RangeError(`Cannot take ${what} "${factor}" as a factor: expected 0, or 1 and more`);
};

const rate: Reader<Size> = (value, what) => {
  const bytes = size(value, what);
  if (bytes >= 1) return bytes;
  throw new RangeError(`Cannot take ${what} "${bytes}" as bytes per second: at least 1`);
};

/** A name becomes part of a file's name: letters, digits and few signs only. */
const managerName: Reader<string> = (value, what) => {
  const name = anyText(value, what);
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return name;
  throw new RangeError(
    `Cannot take ${what} "${name}" as a name: expected up to 64 letters, digits, ".", "_" and "-"`,
  );
};

/** Where to listen: an address or a name of this machine, all of them when none is stated. */
const listenAddress: Reader<HostPort> = (value, what) => {
  const given = text(value, what);
  const at = parseListen(given);
  if (at !== undefined) return at;
  throw new RangeError(
    `Cannot take ${what} "${given}" as an address of this machine: expected "HOST:PORT", ` +
      '":PORT" for all addresses, or "[ADDRESS]:PORT" for IPv6',
  );
};

const advertised: Reader<readonly HostPort[]> = (value, what) => {
  const given = Array.isArray(value) ? value : [value];
  if (given.length > ADVERTISED_MAX) {
    throw new RangeError(
      `Cannot advertise ${given.length} addresses: at most ${ADVERTISED_MAX} are published`,
    );
  }
  return given.map((item: unknown) => {
    const address = text(item, what);
    const at = parseAdvertised(address);
    if (at !== undefined) return at;
    throw new RangeError(
      `Cannot advertise "${address}" as an address of this manager: expected HOST or HOST:PORT`,
    );
  });
};

/** PEM of one's own, or the paths of files that hold it. */
const ownTls: Reader<KeyPair> = (value, what) => {
  const { cert, key } = readOptions<Required<TlsOptions>>(value, what, { cert: text, key: text });
  if (cert === undefined || key === undefined) {
    throw new TypeError(`Cannot take ${what} as a certificate: expected { cert, key }`);
  }
  const pair = { certificate: readPem(cert, what), key: readPem(key, what) };
  checkOwnCertificate(pair);
  return pair;
};

function readPem(given: string, what: string): string {
  if (given.includes("-----BEGIN ")) return given;
  try {
    return readFileSync(given, "utf8");
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new RangeError(`Cannot read ${what} "${given}" as PEM: ${found}`, { cause });
  }
}

const localWorkers: Reader<LocalWorkersConfig> = (value, what) => {
  const given = typeof value === "number" ? { count: value } : value;
  const { count: wanted, memory, disk, ...rest } = readOptions<Required<LocalWorkersOptions>>(
    given,
    what,
    {
      count: count(0, LOCAL_WORKERS_MAX),
      cores: amount(0.01, 65_536),
      memory: memorySize,
      disk: size,
      gpus: count(0, 1024),
      resources: customResources,
      features,
      pinCores: flag,
      workspace: text,
      cleanEnv: flag,
    },
  );
  return {
    ...rest,
    count: wanted ?? 1,
    ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
    ...(disk === undefined ? {} : { diskBytes: Number(disk) }),
  };
};

/** Checks of each policy. */
const POLICY_READERS: Readers<OwnPolicies> = {
  replicas: count(1, REPLICAS_MAX),
  pruneTemps,
  pruneExtraReplicas: flag,
  shiftDiskLoad: flag,
  peerTransfers: flag,
  sharedFileSystem: flag,
  transfersPerWorker: count(1, 1000),
  transfersPerUrl: count(1, 1000),
  transfersFromManager: count(1, 1000),
  transfersToManager: count(1, 1000),
  recovery: oneOf("on_demand", "immediate", "off"),
  placement: oneOf(...PLACEMENTS),
  transferStallTimeout: timeout,
  transferOutlierFactor: amount(1, 1000),
  minTransferTimeout: timeout,
  defaultTransferRate: rate,
  dispatchAhead: amount(1, 1000),
  dispatchAheadTime: duration,
  waitForWorkers: count(0, 1_000_000),
  maxWorkers: count(0, 1_000_000),
  workerEvictionInterval: duration,
  workerTimeout: timeout,
  reconnectGrace: duration,
  recoveryTries: count(0, 1000),
  proportionalResources: flag,
  proportionalWholeTasks: flag,
  taskDiskShare: amount(0.01, 1),
  hostFailures: count(0, 1_000_000),
  hostBlockTime: timeout,
  slowWorkerFactor,
  slowHostTimeout: timeout,
  taskGroups: flag,
  categoryMode: oneOf(...CATEGORY_MODES),
  categorySteadyTasks: count(1, 1_000_000),
  sandboxGrowFactor: amount(1.1, 1000),
  rampDown: flag,
  hungryMinimum: count(1, 1_000_000),
  hungryFactor: amount(1, 1000),
  retryTimeout: timeout,
  libraryRetries: count(0, 1000),
  libraryIdleTimeout: duration,
  libraryTurn: duration,
};

const READERS: Readers<ReadOptions> = {
  name: managerName,
  listen: listenAddress,
  advertise: advertised,
  tls: ownTls,
  insecure: flag,
  workers: localWorkers,
  policies: (value) => readPolicies(value, DEFAULT_POLICIES),
  category: readCategories,
  runDirectory: runDirectoryOption,
  records: recordsOption,
  logLevel: oneOf(...LOG_LEVELS),
  dashboard: flag,
};

/** What `Manager.start` takes. */
export const MANAGER_OPTION_NAMES: readonly string[] = [...Object.keys(READERS), "config"];
