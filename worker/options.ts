/** What a worker is told on its command line and in its environment, checked once. */

import { resolve } from "@std/path";

import type { ManagerTarget } from "../shared/access_file.ts";
import { type HostPort, parseAdvertised, parseListen } from "../shared/addresses.ts";
import {
  checkPositionals,
  type CommandSpec,
  readArguments,
  UsageError,
} from "../shared/command_line.ts";
import { LOG_LEVEL_DEFAULT, type LogLevel } from "../shared/log.ts";
import { LOG_LEVEL_OPTION, readLogLevel } from "../shared/log_option.ts";
import { CUSTOM_NAME_WANTED, type CustomResources, isCustomName } from "../shared/resources.ts";
import { parseDuration, parseMemory, parseSize } from "../shared/units.ts";
import type { PeerDoorOptions } from "./peer_door.ts";

/** Resources as they were stated; what is absent is found out. */
export interface StatedResources {
  readonly cores?: number;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly gpus?: number;
  /** Nobody can find these out. */
  readonly custom?: CustomResources;
}

/** Which of the workers that have this machine's resources evenly among them. */
export interface EvenShare {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** A worker's options. */
export interface WorkerCommandOptions {
  /** Its `access` is absolute. */
  readonly target: ManagerTarget;
  readonly resources: StatedResources;
  /** Of what is found out: what is stated is this worker's own. */
  readonly share?: EvenShare;
  /** Each try runs on processors of its own. */
  readonly hasPinnedCores: boolean;
  readonly features: readonly string[];
  /** Absolute; absent is the default place. */
  readonly workspace?: string;
  /** Time without a manager after which the worker ends. */
  readonly idleTimeoutMs: number;
  /** 0 is none. */
  readonly wallTimeMs: number;
  /** Ends with its manager instead of waiting for the next one of that name. */
  readonly isSingle: boolean;
  readonly peers: PeerDoorOptions;
  readonly hasCleanEnvironment: boolean;
  readonly isVerbose: boolean;
  /** Absolute; absent is in the workspace. */
  readonly logPath?: string;
  readonly logLevel: LogLevel;
}

/** The command `worker`. */
export const WORKER_COMMAND: CommandSpec = {
  name: "worker",
  usage: "tendril worker [URL | --name NAME | --access FILE] [options]",
  summary: "run tasks for a manager until it has no more use for it",
  example: "tendril worker --name blast --cores 8 --memory 16GB",
  options: {
    name: { value: "NAME", completes: "managers", help: "join the manager of that name" },
    access: { value: "FILE", help: "join the manager whose access file this is" },
    cores: { value: "N", help: "cores to offer, as 8 or 2.5; default: those it may use" },
    memory: { value: "SIZE", help: "memory to offer, as 8GB; default: what it may use" },
    disk: { value: "SIZE", help: "disk to offer, as 50GB; default: 9/10 of what is free" },
    gpus: { value: "N", help: "GPUs to offer; default: those it may use" },
    resource: {
      value: "NAME=N",
      isMultiple: true,
      help: "units of something of yours that tasks ask for, as license=2; repeatable",
    },
    share: {
      value: "K/N",
      help: "offer an even part of what is found: the K-th of N workers here",
    },
    "pin-cores": { help: "have each task run on processors that no other has" },
    feature: { value: "NAME", isMultiple: true, help: "something tasks may ask for; repeatable" },
    workspace: { value: "DIR", help: "where files and sandboxes go; default: below TMPDIR" },
    "idle-timeout": { value: "TIME", help: "end after this long without a manager; default 5m" },
    "wall-time": { value: "TIME", help: "end after this long in any case" },
    single: { help: "end with the manager instead of waiting for the next one of its name" },
    listen: {
      value: "HOST:PORT",
      help: "address to serve other workers on; default: as far as the manager can be reached",
    },
    advertise: {
      value: "HOST",
      isMultiple: true,
      help: "how other workers reach it, as HOST or HOST:PORT; repeatable",
    },
    insecure: { help: "do not encrypt what goes to other workers" },
    "clean-env": { help: "give tasks little of this environment: see the README" },
    verbose: { help: "tell on stderr what happens" },
    log: { value: "FILE", help: "log to this file, in JSON lines; default: in the workspace" },
    ...LOG_LEVEL_OPTION,
  },
  hasVariables: true,
  notes: [
    "What is not stated is found out. The first of these that says something wins:",
    "  1. an option, then its variable: --cores, TENDRIL_CORES;",
    "  2. CORES, MEMORY and DISK (both in MiB), GPUS; of GPUs, CUDA_VISIBLE_DEVICES,",
    "     ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES say which;",
    "  3. the least of what holds: what Slurm granted (SLURM_CPUS_PER_TASK, SLURM_CPUS_ON_NODE,",
    "     SLURM_MEM_PER_NODE, SLURM_MEM_PER_CPU, SLURM_GPUS_ON_NODE and the like), limits of",
    "     control groups, CPU affinity, what there is; of GPUs, what nvidia-smi lists.",
    "It leaves at its --wall-time, or shortly before SLURM_JOB_END_TIME if that is sooner.",
    "With --verbose it says what each amount comes from.",
  ],
};

/** Managers refuse more cores of a worker. */
const COUNT_MAX = 65_536;

const IDLE_TIMEOUT_MS: number = 5 * 60_000;

/** A worker that belongs to one manager does not wait longer for it to come back. */
const SINGLE_IDLE_TIMEOUT_MS = 15_000;

/**
 * Reads the arguments after `worker`; "help" when they ask for it.
 *
 * @throws {UsageError} When they cannot be read.
 */
export function parseWorkerArguments(
  argv: readonly string[],
  env: { readonly [name: string]: string | undefined },
): WorkerCommandOptions | "help" {
  const given = readArguments(WORKER_COMMAND, argv, env);
  if (given.isHelp) return "help";
  checkPositionals(WORKER_COMMAND, given.positionals, 1);
  const text = (name: string): string | undefined => given.text(name);
  const isSingle = given.flag("single");
  const duration = (name: string) => read(text(name), (value) => parseDuration(value, `--${name}`));
  const size = (name: string) => read(text(name), (value) => parseSize(value, `--${name}`));
  const [workspace, log] = [text("workspace"), text("log")];
  return {
    target: readTarget(given.positionals[0], text),
    resources: without({
      cores: readCount(text("cores"), { name: "cores", isWhole: false }),
      memoryBytes: read(text("memory"), (value) => parseMemory(value, "--memory")),
      diskBytes: size("disk"),
      gpus: readCount(text("gpus"), { name: "gpus", isWhole: true }),
      custom: readCustom(given.texts("resource")),
    }),
    ...without({ share: readShare(text("share")) }),
    hasPinnedCores: given.flag("pin-cores"),
    features: given.texts("feature").filter((name) => name !== ""),
    ...(workspace === undefined ? {} : { workspace: resolve(workspace) }),
    idleTimeoutMs: duration("idle-timeout") ??
      (isSingle ? SINGLE_IDLE_TIMEOUT_MS : IDLE_TIMEOUT_MS),
    wallTimeMs: duration("wall-time") ?? 0,
    isSingle,
    peers: {
      ...without({ listen: readListen(text("listen")) }),
      advertise: given.texts("advertise").filter((at) => at !== "").map(readAdvertised),
      isInsecure: given.flag("insecure"),
    },
    hasCleanEnvironment: given.flag("clean-env"),
    isVerbose: given.flag("verbose"),
    ...(log === undefined ? {} : { logPath: resolve(log) }),
    logLevel: readLogLevel(given) ?? LOG_LEVEL_DEFAULT,
  };
}

function readTarget(
  url: string | undefined,
  text: (name: string) => string | undefined,
): ManagerTarget {
  const access = text("access");
  const name = access === undefined && url === undefined ? text("name") : undefined;
  if (url !== undefined && !(URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) {
    throw new UsageError(
      `Cannot read "${url}" as the url of a manager: one like http://host:port is wanted`,
    );
  }
  return without({
    url: url === undefined ? undefined : new URL(url).origin,
    name,
    access: access === undefined ? undefined : resolve(access),
  });
}

/** Where to listen: a host of this machine, all its addresses when none is stated. */
function readListen(text: string | undefined): HostPort | undefined {
  if (text === undefined) return undefined;
  const at = parseListen(text);
  if (at !== undefined) return at;
  throw new UsageError(
    `Cannot read --listen "${text}" as an address of this machine: expected HOST:PORT, ` +
      ":PORT for all addresses, or [ADDRESS]:PORT for IPv6",
  );
}

function readAdvertised(text: string): HostPort {
  const at = parseAdvertised(text);
  if (at !== undefined) return at;
  throw new UsageError(
    `Cannot read --advertise "${text}" as an address of this worker: expected HOST or HOST:PORT`,
  );
}

function readCount(
  text: string | undefined,
  { name, isWhole }: { name: string; isWhole: boolean },
): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  // A worker without cores has no use; one without GPUs has.
  const isEnough = isWhole ? Number.isInteger(count) && count >= 0 : count > 0;
  const isRight = count <= COUNT_MAX && isEnough;
  if (text.trim() !== "" && isRight) return count;
  const wanted = isWhole ? "a whole number of 0 or more" : "a number above 0";
  throw new UsageError(`Cannot read --${name} "${text}" as ${wanted}`);
}

function read<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  if (text === undefined) return undefined;
  try {
    return parse(text);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function readCustom(given: readonly string[]): CustomResources | undefined {
  const custom = new Map<string, number>();
  for (const text of given) {
    if (text === "") continue;
    const [, name = "", amount] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    const refuse = (found: string): never => {
      throw new UsageError(`Cannot read --resource "${text}" as NAME=N: ${found}`);
    };
    if (amount === undefined) refuse("it states no amount, as license=2 does");
    if (!isCustomName(name)) {
      refuse(`"${name}" is no name of a resource: expected ${CUSTOM_NAME_WANTED}`);
    }
    if (!/^\d{1,15}$/.test(amount ?? "")) refuse(`"${amount}" is no whole number of 0 or more`);
    if (custom.has(name)) refuse(`"${name}" is stated twice`);
    custom.set(name, Number(amount));
  }
  return custom.size === 0 ? undefined : Object.fromEntries(custom);
}

function readShare(text: string | undefined): EvenShare | undefined {
  if (text === undefined) return undefined;
  const [, place, count] = /^(\d{1,4})\/(\d{1,4})$/.exec(text)?.map(Number) ?? [];
  if (place !== undefined && count !== undefined && place >= 1 && place <= count) {
    return { index: place - 1, count };
  }
  throw new UsageError(`Cannot read --share "${text}" as K/N: expected 1/2 for the first of two`);
}

/** The same object without what is undefined, as `exactOptionalPropertyTypes` wants it. */
function without<T extends object>(
  object: T,
): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const kept: { [Key in keyof T]?: Exclude<T[Key], undefined> } = {};
  for (const key of Object.keys(object) as (keyof T)[]) {
    const value = object[key];
    if (value !== undefined) kept[key] = value as Exclude<T[typeof key], undefined>;
  }
  return kept;
}
