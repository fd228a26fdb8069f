/**
 * What tasks in environments are told of them: found out once for all tasks of a worker.
 *
 * Environments of conda may have scripts that a shell reads when they are activated, of which tasks
 * need the variables. They are read once, in a shell of their own, for a task to cost no more; and
 * as they are part of the software that the tasks run, they may do what a task may.
 */

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import type { Readable } from "node:stream";

import { join } from "@std/path";

import { findEnvironmentRoot } from "../shared/archive/environment_root.ts";
import { signalProcess } from "./process_table.ts";
import {
  type Activation,
  type Environment,
  FALLBACK_PATH,
  NO_ACTIVATION,
  WORKER_MARK_VARIABLE,
} from "./task_environment.ts";

/** What activations are made from. */
export interface ActivationsOptions {
  /** What tasks see of the worker's environment; see `inheritedEnvironment`. */
  readonly env: Environment;
  /** The worker's mark. */
  readonly mark: string;
  /** Longest time that the scripts of one environment may take. Default 60 s. */
  readonly hooksMsMax?: number;
}

const HOOKS_MS_MAX = 60_000;
/** Bytes of the variables that the scripts leave, and of what they complain. */
const VARIABLES_BYTES_MAX: number = 4 * 1024 * 1024;
const COMPLAINT_CHARS_MAX = 1_000;
/** How long the end of a complaint is waited for. */
const COMPLAINT_MS_MAX = 500;
/** Lists of environments that are remembered; beyond it the oldest is found out anew. */
const REMEMBERED_COUNT_MAX = 256;

/** Where the scripts are, as conda has them. */
const HOOKS_PATH = "etc/conda/activate.d";

/** Of the environment that the worker was started in, which is not the task's. */
const FOREIGN_VARIABLES: readonly string[] = [
  "CONDA_DEFAULT_ENV",
  "CONDA_PREFIX",
  "CONDA_PROMPT_MODIFIER",
  "CONDA_SHLVL",
  "PYTHONHOME",
  "VIRTUAL_ENV",
  "VIRTUAL_ENV_PROMPT",
];

/** What a shell has for itself, or reads before any script. */
const SHELL_VARIABLES: ReadonlySet<string> = new Set([
  "BASH_ENV",
  "ENV",
  "OLDPWD",
  "PWD",
  "SHLVL",
  "_",
]);

/** The descriptor for the variables is not the scripts' business, nor the one for results. */
const READ_HOOKS = `
for hook in "$CONDA_PREFIX"/${HOOKS_PATH}/*.sh; do
  if [ -r "$hook" ]; then . "$hook"; fi
done >&2 3>&-
unset hook
exec /usr/bin/env -0 >&3 3>&-
`;

/** Many scripts are written for it though they should do without. */
const SHELLS: readonly string[] = ["bash", "/bin/sh"];

/** One environment of a task. */
interface Root {
  /** Absolute. */
  readonly path: string;
  readonly isVirtual: boolean;
  readonly isConda: boolean;
}

/** Owner of the shells in which environments are activated. */
export class Activations {
  readonly #options: ActivationsOptions;
  /** {paths: what was found out} */
  readonly #known: Map<string, Promise<Activation>> = new Map();
  readonly #closing: AbortController = new AbortController();

  constructor(options: ActivationsOptions) {
    this.#options = options;
  }

  /** Returns what a task in the environments unpacked at `paths` is told, the first foremost. */
  async of(paths: readonly string[]): Promise<Activation> {
    if (paths.length === 0) return NO_ACTIVATION;
    const key = paths.join("\0");
    const known = this.#known.get(key);
    if (known !== undefined) return await known;
    const finding = this.#activate(paths);
    this.#known.set(key, finding);
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED_COUNT_MAX && oldest !== undefined) this.#known.delete(oldest);
    try {
      return await finding;
    } catch (error) {
      // It may have been a full disk, or a mount that was away.
      if (this.#known.get(key) === finding) this.#known.delete(key);
      throw error;
    }
  }

  /** Ends the shells; who waits for one is told so. */
  close(): void {
    this.#closing.abort(new Error("the worker ends"));
  }

  async #activate(paths: readonly string[]): Promise<Activation> {
    const roots = paths.map(rootAt);
    const inherited = this.#options.env;
    let env: Environment = inherited;
    if (roots.some(({ isVirtual, isConda }) => isVirtual || isConda)) {
      env = without(env, FOREIGN_VARIABLES);
    }
    for (const root of roots.toReversed()) {
      env = {
        ...env,
        ...variablesOf(root),
        PATH: `${root.path}/bin:${env["PATH"] ?? FALLBACK_PATH}`,
      };
      if (hasHooks(root)) env = await this.#readHooks(root, env);
    }
    const { set, unset } = changes(inherited, env);
    const pathDirectories = newDirectories(env["PATH"] ?? "", inherited["PATH"] ?? FALLBACK_PATH);
    return { rootPath: roots[0]?.path ?? "", pathDirectories, set, unset };
  }

  async #readHooks(root: Root, before: Environment): Promise<Environment> {
    const { mark, hooksMsMax = HOOKS_MS_MAX } = this.#options;
    const given = { ...without(before, [...SHELL_VARIABLES]), [WORKER_MARK_VARIABLE]: mark };
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error("its scripts take too long")), hooksMsMax);
    let output: string;
    try {
      output = await runShell(given, AbortSignal.any([this.#closing.signal, late.signal]));
    } catch (error) {
      const found = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot activate environment "${root.path}" by its ${HOOKS_PATH}: ${found}`, {
        cause: error,
      });
    } finally {
      clearTimeout(timer);
    }
    const after = parseVariables(output);
    const { set, unset } = changes(given, after);
    const PATH = after["PATH"] ?? before["PATH"] ?? FALLBACK_PATH;
    return { ...without(before, unset), ...set, PATH };
  }
}

function rootAt(path: string): Root {
  const found = findEnvironmentRoot(path);
  return { ...found, path: join(path, found.path) };
}

function variablesOf({ path, isVirtual, isConda }: Root): Environment {
  return {
    ...(isVirtual ? { VIRTUAL_ENV: path } : {}),
    // Conda has the path for the name of an environment that it did not name itself.
    ...(isConda ? { CONDA_PREFIX: path, CONDA_DEFAULT_ENV: path } : {}),
  };
}

function hasHooks({ path, isConda }: Root): boolean {
  if (!isConda) return false;
  try {
    return readdirSync(join(path, HOOKS_PATH)).some((name) => name.endsWith(".sh"));
  } catch {
    // There are none.
    return false;
  }
}

/** Returns what changed from one environment to the next, but for what shells change themselves. */
function changes(
  before: Environment,
  after: Environment,
): { readonly set: Environment; readonly unset: readonly string[] } {
  const isOwn = (name: string) =>
    name !== "PATH" && name !== WORKER_MARK_VARIABLE && !SHELL_VARIABLES.has(name);
  const set = Object.entries(after).filter(([name, value]) =>
    isOwn(name) && before[name] !== value
  );
  const unset = Object.keys(before).filter((name) => isOwn(name) && !(name in after));
  return { set: Object.fromEntries(set), unset };
}

/** Returns what `path` has before the directories of `inherited`, or else what is new in it. */
function newDirectories(path: string, inherited: string): string[] {
  if (path.endsWith(`:${inherited}`)) return path.slice(0, -inherited.length - 1).split(":");
  const known = new Set(inherited.split(":"));
  return path.split(":").filter((directory) => directory !== "" && !known.has(directory));
}

function parseVariables(output: string): Environment {
  const variables: { [name: string]: string } = {};
  for (const line of output.split("\0")) {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=([^]*)$/.exec(line) ?? [];
    // Functions of the shell have names that no program asks for.
    if (name !== undefined && value !== undefined) variables[name] = value;
  }
  return variables;
}

function without(env: Environment, names: readonly string[]): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.includes(name)));
}

/** Runs the scripts in the first shell that there is; returns the variables afterwards. */
async function runShell(env: Environment, limit: AbortSignal): Promise<string> {
  for (const shell of SHELLS) {
    try {
      return await runOnce(shell, env, limit);
    } catch (error) {
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!isMissing || shell === SHELLS.at(-1)) throw error;
    }
  }
  return "";
}

function runOnce(shell: string, env: Environment, limit: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn(shell, ["-c", READ_HOOKS], {
    cwd: "/",
    env,
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  if (limit.aborted) reject(limit.reason);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  let complaint = "";
  const onAbort = (): void => reject(limit.reason);
  limit.addEventListener("abort", onAbort, { once: true });
  child.stderr?.on("data", (chunk: Uint8Array) => {
    complaint = (complaint + chunk.toString()).slice(-COMPLAINT_CHARS_MAX);
  });
  const complained = new Promise((told) => child.stderr?.once("close", told));
  /** The shell with what it left running. */
  const endGroup = (): void => {
    if (child.pid !== undefined) signalProcess(-child.pid, "SIGKILL");
  };
  // The fourth of the descriptors above, which only the shell itself writes to.
  const variables = child.stdio[3] as Readable;
  variables.on("data", (chunk: Uint8Array) => {
    sizeBytes += chunk.length;
    if (sizeBytes > VARIABLES_BYTES_MAX) reject(new Error("its variables are too large"));
    else chunks.push(chunk);
  });
  const ended = new Promise((told) => variables.once("end", told).once("error", told));
  child.once("error", reject);
  child.once("exit", (code, signal) => {
    if (code === 0) return void ended.then(() => resolve(Buffer.concat(chunks).toString()));
    const how = signal === null ? `code ${code}` : `signal ${signal}`;
    // What they left running may hold the pipe, but not for ever.
    endGroup();
    const late = new Promise((told) => setTimeout(told, COMPLAINT_MS_MAX).unref());
    void Promise.race([complained, late]).then(() => {
      reject(new Error(`its scripts ended with ${how}. ${complaint.trim()}`.trimEnd()));
    });
  });
  return promise.finally(() => {
    limit.removeEventListener("abort", onAbort);
    endGroup();
    child.stderr?.destroy();
    variables.destroy();
  });
}
