/** The environment variables a task's processes are given. */

import { ownChildEnvironment, withoutRuntimeVariables } from "../shared/runtime/self_command.ts";
import type { TryId } from "../shared/task.ts";
import { type Allocation, withAllocation } from "./allocation_environment.ts";

/** Variables by name. */
export type Environment = { readonly [name: string]: string };

/** Random per worker; in everything it starts, so that nothing of it can stay behind. */
export const WORKER_MARK_VARIABLE = "TENDRIL_WORKER_MARK";

/** `taskId.try.workerMark`: whose process it is, wherever it went. */
export const TRY_MARK_VARIABLE = "TENDRIL_TRY_MARK";

/** What environments add to a task's variables, and take away. */
export interface Activation {
  /** Of the first environment, absolute; empty when there is none. */
  readonly rootPath: string;
  /** Put before `PATH`, the first of them foremost. */
  readonly pathDirectories: readonly string[];
  readonly set: Environment;
  readonly unset: readonly string[];
}

/** Of a task without environments. */
export const NO_ACTIVATION: Activation = { rootPath: "", pathDirectories: [], set: {}, unset: [] };

/** What one try adds to the worker's own variables. */
export interface TryVariables extends TryId, Allocation {
  readonly workerMark: string;
  /** The task's working directory. */
  readonly directory: string;
  /** For the task's temporary files. */
  readonly temporaryDirectory: string;
  /** What the task asked for; goes before everything but the `TENDRIL_` names. */
  readonly env: Environment;
  /** Of the task's environments. */
  readonly activation: Activation;
}

/** Of the worker's session, wrong or useless in a task's. */
const SESSION_VARIABLES: readonly string[] = ["DISPLAY", "OLDPWD", "PWD"];

/** All that a clean environment has of the worker's: who runs it, where, in which language. */
const CLEAN_VARIABLES: readonly string[] = [
  "HOME",
  "LANG",
  "LANGUAGE",
  "LOGNAME",
  "PATH",
  "SHELL",
  "TMPDIR",
  "TZ",
  "USER",
];

/** Where programs are, for a worker that was started without a PATH. */
export const FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin";

/**
 * What of the worker's environment its children see: without the runtime's own
 * variables, the display, and all `TENDRIL_` names, of which some are secrets. With
 * `isClean`, nothing but `CLEAN_VARIABLES` and `LC_` names.
 */
export function inheritedEnvironment(
  env: { readonly [name: string]: string | undefined },
  { isClean = false }: { readonly isClean?: boolean } = {},
): Environment {
  const kept = withoutRuntimeVariables(env);
  for (const name of Object.keys(kept)) {
    const isForeign = name.startsWith("TENDRIL_") || SESSION_VARIABLES.includes(name);
    const isDropped = isClean && !CLEAN_VARIABLES.includes(name) && !name.startsWith("LC_");
    if (isForeign || isDropped) delete kept[name];
  }
  return kept;
}

/** What the worker's helpers, which are this same program, are started with. */
export function helperEnvironment(
  env: { readonly [name: string]: string | undefined },
  workerMark: string,
): Environment {
  // The mark says that it is the worker's, and no process that a task left behind.
  return {
    ...ownChildEnvironment(inheritedEnvironment(env)),
    [WORKER_MARK_VARIABLE]: workerMark,
  };
}

/** What is inherited as environments leave it, but for `PATH`. */
export function activated(inherited: Environment, { set, unset }: Activation): Environment {
  const env: { [name: string]: string } = { ...inherited };
  for (const name of unset) delete env[name];
  return Object.assign(env, set);
}

/** The `PATH` of `env` with the programs of environments before it. */
export function searchPath(env: Environment, { pathDirectories }: Activation): string {
  return [...pathDirectories, env["PATH"] ?? FALLBACK_PATH].join(":");
}

/** All variables of one try; `inherited` comes from `inheritedEnvironment`. */
export function tryEnvironment(inherited: Environment, variables: TryVariables): Environment {
  const { taskId, workerMark, directory, temporaryDirectory, activation } = variables;
  const env = withAllocation(activated(inherited, activation), variables);
  env.PWD = directory;
  env.TMPDIR = temporaryDirectory;
  env.TEMP = temporaryDirectory;
  env.TMP = temporaryDirectory;
  Object.assign(env, variables.env);
  if (activation !== NO_ACTIVATION) env.PATH = searchPath(env, activation);
  env.TENDRIL_TASK_ID = String(taskId);
  env.TENDRIL_TRY = String(variables.try);
  env.TENDRIL_SANDBOX = directory;
  env[WORKER_MARK_VARIABLE] = workerMark;
  env[TRY_MARK_VARIABLE] = `${taskId}.${variables.try}.${workerMark}`;
  return env;
}
