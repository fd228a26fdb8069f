/** Options of apps and of their calls, checked. */

import type { FunctionContext } from "../../shared/function_source.ts";
import { OUTCOMES } from "../../shared/task.ts";
import type { LibraryCallOptions } from "../call_option.ts";
import type { Duration } from "../config.ts";
import { FileHandle } from "../file_handle.ts";
import {
  count,
  duration,
  label,
  oneOf,
  type Reader,
  type Readers,
  readOptions,
  show,
} from "../option.ts";
import {
  CALL_READERS,
  checkMount,
  PROCESS_READERS,
  type ProcessOptions,
} from "../task_definition.ts";
import type { FailureKind, TryFailure, TryOutput } from "./executor.ts";
import { File, STAGING_MODES } from "./file.ts";
import { DataFuture } from "./future.ts";
import type { OwnKey } from "./memo_key.ts";
import type { PlacedFile } from "./placed_file.ts";
import type { StagingMode } from "./staging.ts";
import { type CheckedStreams, type StreamOption, streamPlace } from "./stream_option.ts";

/** A call whose try failed, as retry handlers see it. */
export interface RetriedCall {
  /** Number of the call. */
  readonly id: number;
  /** The name of the app. */
  readonly app: string;
  /** Number of the try that failed, from 1. */
  readonly try: number;
  /** What its failures have cost so far, without this one. */
  readonly failCost: number;
  /** Label of the executor on which the try failed. */
  readonly executor: string;
}

/** What a retry handler may say beside the cost. */
export interface RetryAnswer {
  /** What this failure counts against `retries`; Infinity gives up. Default 1. */
  readonly cost?: number;
  /** Pause before the next try. Default: by `retryDelay`. */
  readonly delay?: Duration;
  /** Label of the executor for the next try. */
  readonly executor?: string;
}

/**
 * Says what a failure costs. The call is tried again while its costs together are not above its
 * `retries`. When it throws, the call fails, with what it threw as the cause. A plug point.
 */
export type AppRetryHandler = (
  failure: TryFailure,
  call: RetriedCall,
) => number | RetryAnswer | Promise<number | RetryAnswer>;

/** When tries that failed are repeated. */
export interface AppRetryOptions {
  /** Further tries after failures. Default: the flow's, which is 0. */
  readonly retries?: number;
  /** Asked after each failure, in place of a cost of 1. */
  readonly retryHandler?: AppRetryHandler;
  /** Pause before a further try, doubled after each failure up to a minute. Default none. */
  readonly retryDelay?: Duration;
  /** Only failures of these kinds are tried again. Default: all but those that cannot be mended. */
  readonly retryOn?: readonly FailureKind[];
}

/** An output: its name in the working directory of the call, where it is to be, or both. */
export type AppOutput = string | File | {
  /** Where the call leaves it. Default: the name of the output. */
  readonly mount?: string;
  /** A path or a url at which it is once the call is done. Default: it stays in the cluster. */
  readonly to?: string | File;
};

/** How a call's result is remembered. */
export interface MemoOptions {
  /**
   * Positions of arguments, from 0, and names of options, that make no difference. The command of an
   * app is looked at as its function makes it without them.
   */
  readonly ignore?: readonly (number | string)[];
  /**
   * Says what of the arguments counts; undefined: this call is not remembered. Of a command the text
   * of its function counts beside it.
   */
  readonly key?: OwnKey;
}

/** Software in which a call runs: the path of an archive, or what was declared of one. */
export type AppEnvironment = string | File | FileHandle;

/** A file that a call reads: a path, a file, or what another call makes. */
export type AppInput = string | File | DataFuture;

/** What apps and their calls can be given. */
export interface AppOptions<Outputs extends string = string>
  extends
    AppRetryOptions,
    Omit<LibraryCallOptions, "inputs" | "outputs" | "retries" | "retry" | "retryDelay" | "retryOn">,
    Omit<ProcessOptions, "environment"> {
  /** Files that the call makes, by their names. */
  readonly outputs?: { readonly [Name in Outputs]: AppOutput };
  /**
   * Mount name: file. It is there under that name where the call works, beside the files among its
   * arguments.
   */
  readonly inputs?: { readonly [mount: string]: AppInput };
  /**
   * Where what the call writes goes, all of it, also of a try that failed: a path, `{ path, append:
   * true }`, `AUTO` for a name that the flow gives, or a `File` of any staging. Of functions it is the
   * end, at most 64 KiB. Default: nowhere, and the end of it is in errors.
   */
  readonly stdout?: StreamOption;
  /** As `stdout`. */
  readonly stderr?: StreamOption;
  /** How files come to the call that do not say so themselves. Default `"task"`. */
  readonly staging?: StagingMode;
  /** Where it runs: an executor's label; of several the next one after each failure. */
  readonly executor?: string | readonly string[];
  /** Whether its result is remembered. Default: the flow's `memoize`. */
  readonly memoize?: boolean | MemoOptions;
  /** Shown beside the name of the app. */
  readonly label?: string;
  /** Of several the first is foremost. */
  readonly environment?: AppEnvironment | readonly AppEnvironment[];
}

/** What the declaration of an app takes besides. */
export interface DeclareOptions {
  /** How the app is called where it is shown. Default: the name of the function. */
  readonly name?: string;
}

/** Of functions by value. */
export interface ValueOptions {
  /** Values and functions that it uses by name. */
  readonly context?: FunctionContext;
}

/** Checked options. */
export interface CheckedApp {
  readonly outputs: { readonly [name: string]: TryOutput };
  readonly executors: readonly string[];
  readonly memoize: boolean | MemoOptions | undefined;
  readonly label: string | undefined;
  readonly retry: CheckedRetry;
  readonly environments: readonly AppEnvironment[];
  readonly process: Omit<ProcessOptions, "environment">;
  readonly call: LibraryCallOptions;
  /** Undefined where there are none. */
  readonly inputs: AppInputs | undefined;
  readonly streams: CheckedStreams | undefined;
  readonly staging: StagingMode | undefined;
}

/** `{mount: file}` */
export type AppInputs = { readonly [mount: string]: File | DataFuture | PlacedFile };

/** Checked options of repetitions; undefined is left to the flow. */
export interface CheckedRetry {
  readonly retries: number | undefined;
  readonly handler: AppRetryHandler | undefined;
  readonly delayMs: number | undefined;
  readonly on: readonly FailureKind[] | undefined;
}

/** All of them. */
export const FAILURE_KINDS: readonly FailureKind[] = [
  ...OUTCOMES.filter((outcome) => outcome !== "success"),
  "refused",
];

const RETRIES_MAX = 1_000_000;

const handler: Reader<AppRetryHandler> = (value, what) => {
  if (typeof value === "function") return value as AppRetryHandler;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as a function: expected (failure, call) => 1`,
  );
};

const kinds: Reader<readonly FailureKind[]> = (value, what) => {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  const wrong = given.find((one) => !FAILURE_KINDS.some((kind) => kind === one));
  if (wrong === undefined && given.length > 0) return given as readonly FailureKind[];
  const found = given.length === 0 ? "[]" : show(wrong);
  throw new RangeError(
    `Cannot take ${what} "${found}" as kinds of failures: expected some of ` +
      FAILURE_KINDS.join(", "),
  );
};

const executors: Reader<readonly string[]> = (value, what) => {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  return given.map((one) => label(one, what));
};

const memo: Reader<boolean | MemoOptions> = (value, what) => {
  if (typeof value === "boolean") return value;
  return readOptions<MemoOptions>(value, what, {
    ignore: (list, name) => {
      if (Array.isArray(list)) {
        return list.map((one) => typeof one === "string" ? one : count(0, 1_000)(one, name));
      }
      throw new TypeError(`Cannot take ${name} "${show(list)}" as positions: expected [0, 2]`);
    },
    key: (key, name) => {
      if (typeof key === "function") return key as OwnKey;
      throw new TypeError(`Cannot take ${name} "${show(key)}" as a function of the arguments`);
    },
  });
};

const environments: Reader<readonly AppEnvironment[]> = (value, what) => {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  return given.map((one) => {
    if (one instanceof File || one instanceof FileHandle) return one;
    if (typeof one === "string" && one !== "") return one;
    throw new TypeError(
      `Cannot take ${what} "${show(one)}" as an environment: expected the path of an archive`,
    );
  });
};

const outputs: Reader<{ readonly [name: string]: TryOutput }> = (value, what) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`Cannot take ${what} "${show(value)}" as outputs: expected { name: file }`);
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, given]) => [name, outputOf(name, given)]),
  );
};

const inputs: Reader<AppInputs> = (value, what) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`Cannot take ${what} "${show(value)}" as inputs: expected { name: file }`);
  }
  return Object.fromEntries(
    Object.entries(value).map(([mount, given]) => {
      const isFile = given instanceof File || given instanceof DataFuture;
      return [checkMount(mount, "input"), isFile ? given : new File(given as string)];
    }),
  );
};

/** Checks of what says when tries are repeated. */
export const APP_RETRY_READERS: Readers<AppRetryOptions> = {
  retries: count(0, RETRIES_MAX),
  retryHandler: handler,
  retryDelay: duration,
  retryOn: kinds,
};

const { environment: _, ...PROCESS } = PROCESS_READERS;
const { inputs: _in, outputs: _out, retries: _r, retry: _h, retryDelay: _d, retryOn: _o, ...CALL } =
  CALL_READERS;

/** What is the same in `AppOptions` and in the options of tasks. */
const TASK_NAMES: ReadonlySet<string> = new Set(Object.keys(CALL));
const PROCESS_NAMES: ReadonlySet<string> = new Set(Object.keys(PROCESS));

const APP_READERS = {
  ...APP_RETRY_READERS,
  ...CALL,
  ...PROCESS,
  outputs,
  executor: executors,
  memoize: memo,
  label,
  environment: environments,
  inputs,
  stdout: streamPlace,
  stderr: streamPlace,
  staging: oneOf(...STAGING_MODES),
};

/**
 * Checks the options of an app, or of a call of it.
 *
 * @throws {TypeError | RangeError} When one is unknown or has a wrong value.
 */
export function readApp(options: AppOptions, owner: string): CheckedApp {
  // The readers of outputs, executors and environments give them in one form.
  const read = readOptions(options, owner, APP_READERS as unknown as Readers<AppOptions>) as {
    readonly outputs?: { readonly [name: string]: TryOutput };
    readonly executor?: readonly string[];
    readonly memoize?: boolean | MemoOptions;
    readonly label?: string;
    readonly environment?: readonly AppEnvironment[];
    readonly inputs?: AppInputs;
    readonly stdout?: CheckedStreams["stdout"];
    readonly stderr?: CheckedStreams["stderr"];
    readonly staging?: StagingMode;
    readonly retries?: number;
    readonly retryHandler?: AppRetryHandler;
    readonly retryDelay?: number;
    readonly retryOn?: readonly FailureKind[];
  };
  return {
    outputs: read.outputs ?? {},
    executors: read.executor ?? [],
    memoize: read.memoize,
    label: read.label,
    retry: {
      retries: read.retries,
      handler: read.retryHandler,
      delayMs: read.retryDelay,
      on: read.retryOn,
    },
    environments: read.environment ?? [],
    process: pickNames(options, PROCESS_NAMES),
    call: pickNames(options, TASK_NAMES),
    inputs: read.inputs === undefined || Object.keys(read.inputs).length === 0
      ? undefined
      : read.inputs,
    streams: read.stdout === undefined && read.stderr === undefined ? undefined : {
      ...(read.stdout === undefined ? {} : { stdout: read.stdout }),
      ...(read.stderr === undefined ? {} : { stderr: read.stderr }),
    },
    staging: read.staging,
  };
}

/** The options of a call over those of its app; outputs one by one. */
export function mergeOptions(app: AppOptions, call: AppOptions): AppOptions {
  const outputs = { ...app.outputs };
  for (const [name, given] of Object.entries(call.outputs ?? {})) {
    const known = outputs[name];
    if (known === undefined) {
      const names = Object.keys(outputs).join(", ") || "none";
      throw new RangeError(
        `Cannot take "${name}" as an output of the app: it was declared with ${names}`,
      );
    }
    // Where the app leaves it is the app's to say; where it goes the caller's.
    const { mount } = outputOf(name, known);
    const to = given instanceof File || typeof given === "string" ? given : given.to;
    outputs[name] = { mount, ...(to === undefined ? {} : { to }) };
  }
  const inputs = { ...app.inputs, ...call.inputs };
  const hasInputs = Object.keys(inputs).length > 0;
  const merged = { ...app, ...call, ...(hasInputs ? { inputs } : {}) };
  return Object.keys(outputs).length === 0 ? merged : { ...merged, outputs };
}

function outputOf(name: string, given: unknown): TryOutput {
  if (typeof given === "string") return { mount: checkMount(given, `output "${name}"`) };
  if (given instanceof File) {
    return { mount: checkMount(given.name, `output "${name}"`), to: given };
  }
  const { mount = name, to } = readOptions<{ mount: string; to: File }>(given, `output "${name}"`, {
    mount: checkMount,
    to: (place) => place instanceof File ? place : new File(place as string),
  });
  return { mount: checkMount(mount, `output "${name}"`), ...(to && { to }) };
}

/** Those of the options; they were checked. */
function pickNames(options: object, names: ReadonlySet<string>): object {
  const found = Object.entries(options).filter(([name, value]) =>
    names.has(name) && value !== undefined
  );
  return Object.fromEntries(found);
}
