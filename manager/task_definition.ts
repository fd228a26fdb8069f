/** A task as scripts describe it, checked and made into what the core schedules. */

import { checkMountName } from "../shared/mount_name.ts";
import type { FileId, TaskId } from "../shared/ids.ts";
import type { ResourceRequest } from "../shared/resources.ts";
import type { TaskBody } from "../shared/task.ts";
import { formatDuration } from "../shared/units.ts";
import type { Duration, PolicyOptions, Size } from "./config.ts";
import { PLACEMENTS } from "./core/policy.ts";
import type { TaskDefinition, TaskMount, TaskTemplate } from "./core/event.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileHandle } from "./file_handle.ts";
import type { FileStore } from "./file_store.ts";
import {
  type CheckedMount,
  type InputMountOption,
  mountOf,
  type OutputMountOption,
} from "./mount_option.ts";
import {
  amount,
  count,
  duration,
  flag,
  label,
  memorySize,
  moment,
  oneOf,
  type Reader,
  type Readers,
  readOptions,
  show,
  size,
  text,
  texts,
} from "./option.ts";
import {
  type CheckedRetries,
  checkRetries,
  RETRY_READERS,
  type RetryOptions,
} from "./retry_option.ts";
import { customResources, features } from "./resource_option.ts";

/** Further tries after losing the worker, unless the task says otherwise; DESIGN section 7. */
const WORKER_LOSSES_DEFAULT = 5;

/** Of tasks that state none. */
export const DEFAULT_CATEGORY = "default";

const NO_IDS: readonly FileId[] = Object.freeze([]);
const NO_MOUNTS: readonly TaskMount[] = Object.freeze([]);

/** Characters of a command and its variables: more would not fit a message; use an input file. */
const COMMAND_CHARS_MAX: number = 1024 * 1024;

/** Templates that are remembered; beyond it tasks alike may have their own again. */
const TEMPLATES_MAX = 10_000;

/** What tasks and calls can be given alike. */
export interface CallOptions extends RetryOptions {
  /** Mount name: file. It is there under that name in the sandbox, or where the call works. */
  readonly inputs?: { readonly [mount: string]: InputMountOption };
  /** Mount name: file that the task leaves there. */
  readonly outputs?: { readonly [mount: string]: OutputMountOption };
  /** Label for `wait` and `cancel`. */
  readonly tag?: string;
  /** Tasks alike in resource use have the same. */
  readonly category?: string;
  /** Larger first. Default 0. */
  readonly priority?: number;
  /** Further tries after losing the worker while it ran. Default 5. */
  readonly workerLosses?: number;
  /** Wall time after which a try is stopped. Default none. */
  readonly timeout?: Duration;
  /**
   * Not given to a worker before that: a `Date`, its ISO text, or a duration from now. What it waits
   * for by then is made and brought meanwhile.
   */
  readonly startAfter?: Date | Duration;
  /**
   * When it passes, the task ends as `expired` wherever it is: a `Date`, its ISO text, or a duration
   * from now. What a worker is done with in time is still brought home.
   */
  readonly endBy?: Date | Duration;
  /** Only workers that are there for as long yet get it. Default any. */
  readonly minTime?: Duration;
  /** Where it goes among workers that have room, in place of the policy `placement`. */
  readonly placement?: PolicyOptions["placement"];
  /** What the worker must have, as `avx512`. */
  readonly features?: readonly string[];
}

/**
 * What a process is started with. Of resources that are not stated it is given a share, as large
 * as the largest part of its worker that is; if none is, one core and its share of the rest.
 */
export interface ProcessOptions {
  /** May be fractional. Default: a share, in whole cores; none where `gpus` are stated. */
  readonly cores?: number;
  /** A limit as well: with more the task is stopped. Default: a share, which is no limit. */
  readonly memory?: Size;
  /** What its sandbox may hold, inputs included; a limit as well. Default: a share, no limit. */
  readonly disk?: Size;
  /** Whole devices. Default 0. */
  readonly gpus?: number;
  /** Whole amounts of what workers were given names for, as `{ license: 1 }`. */
  readonly resources?: { readonly [name: string]: number };
  /** Variables added to the worker's own environment. */
  readonly env?: { readonly [name: string]: string };
  /** Unpacked software whose `bin` comes first in `PATH`; of several the first is foremost. */
  readonly environment?: FileHandle | readonly FileHandle[];
}

/** A command to run in a sandbox. */
export interface TaskOptions extends CallOptions, ProcessOptions {
  /** Run by `/bin/sh -c`. */
  readonly command: string;
  /** What it uses is told as it changes, in `series` of its result. Default false. */
  readonly series?: boolean;
}

/** Checked options of what tasks and calls have alike. */
export interface CheckedCall {
  readonly inputs: readonly CheckedMount[];
  readonly outputs: readonly CheckedMount[];
  readonly tag: string | undefined;
  readonly category: string | undefined;
  readonly priority: number;
  readonly retry: CheckedRetries;
  readonly workerLosses: number;
  readonly timeoutMs: number;
  readonly hasSeries: boolean;
  readonly minTimeMs: number;
  /** As `performance.now()` tells the time: no clock that is set wrong, or right, moves them. */
  readonly startsAtMs: number | undefined;
  readonly endsAtMs: number | undefined;
  readonly placement: PolicyOptions["placement"];
  readonly features: readonly string[];
  /** Of a call of a library that states resources. */
  readonly own?: { readonly request: ResourceRequest };
}

/** What one of many tasks has of its own. */
export interface CheckedMember {
  readonly env: { readonly [name: string]: string } | undefined;
  readonly outputs: CheckedCall["outputs"];
}

/** Checked options of a process. */
export interface CheckedProcess {
  readonly request: ResourceRequest;
  readonly env: { readonly [name: string]: string };
  readonly environments: readonly FileEntry[];
}

type Mounts<Mount> = { readonly [mount: string]: Mount };

/** Files by the names of their mounts; what the files are is looked at by `mountsOf`. */
export const mounts: Reader<Mounts<never>> = (value, what) => {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    // What the mounts are is looked at one by one.
    return value as Mounts<never>;
  }
  throw new TypeError(`Cannot take ${what} "${show(value)}" as mounts: expected { name: file }`);
};

const environment: Reader<FileHandle | readonly FileHandle[]> = (value, what) => {
  if (typeof value === "object" && value !== null) return value as FileHandle;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as an environment: expected manager.environment(…)`,
  );
};

/** Checks of what tasks and calls have alike. */
export const CALL_READERS: Readers<CallOptions> = {
  inputs: mounts,
  outputs: mounts,
  tag: label,
  category: label,
  priority: amount(-1e9, 1e9),
  ...RETRY_READERS,
  workerLosses: count(0, 1_000_000),
  timeout: duration,
  startAfter: moment,
  endBy: moment,
  minTime: duration,
  placement: oneOf(...PLACEMENTS),
  features,
};

/** Checks of what a process is started with. */
export const PROCESS_READERS: Readers<ProcessOptions> = {
  cores: amount(0, 65_536),
  memory: memorySize,
  disk: size,
  gpus: count(0, 1024),
  resources: customResources,
  env: texts,
  environment: environment,
};

/** Checks of a command task. */
export const TASK_READERS: Readers<TaskOptions> = {
  command: text,
  series: flag,
  ...CALL_READERS,
  ...PROCESS_READERS,
};

/** Checks the definition of a command task. */
export function readTask(
  definition: TaskOptions,
  store: FileStore,
): CheckedCall & CheckedProcess & { readonly command: string } {
  const read = readOptions<Required<TaskOptions>>(definition, "submit", TASK_READERS);
  if (read.command === undefined) {
    throw new TypeError('Cannot submit a task without a command: expected { command: "…" }');
  }
  checkLength(read.command, read.env ?? {});
  return { command: read.command, ...checkCall(read, store), ...checkProcess(read, store) };
}

/**
 * Checks what tasks that are otherwise `common` have of their own. A file that all of them would
 * make is refused, unless there is only one.
 */
export function readMembers(
  members: readonly {
    readonly env: { readonly [name: string]: string };
    readonly outputs: { readonly [mount: string]: OutputMountOption };
  }[],
  common: CheckedCall & CheckedProcess & { readonly command: string },
  store: FileStore,
): CheckedMember[] {
  const made = new Set<FileEntry>();
  const [shared] = common.outputs;
  if (shared !== undefined && members.length > 1) {
    throw new TypeError(
      `Cannot take output "${shared.mount}" of ${members.length} tasks: each needs its own file`,
    );
  }
  return members.map(({ env, outputs: files }) => {
    checkLength(common.command, { ...common.env, ...env });
    const outputs = mountsOf(files, "output", store);
    for (const { mount, entry } of outputs) {
      store.checkOutput(entry, `output "${mount}"`);
      if (made.has(entry)) {
        throw new TypeError(`Cannot take output "${mount}": another task makes its file as well`);
      }
      if (common.outputs.some((other) => other.mount === mount)) {
        throw new TypeError(`Cannot take output "${mount}": all of these tasks have one there`);
      }
    }
    if (outputs.length > 0) checkApart(common.inputs, [...common.outputs, ...outputs]);
    for (const { entry } of outputs) made.add(entry);
    return { env: Object.keys(env).length === 0 ? undefined : env, outputs };
  });
}

/** Throws when a command and its variables are too long for a message. */
export function checkLength(command: string, env: { readonly [name: string]: string }): void {
  let chars = command.length;
  for (const [name, value] of Object.entries(env)) chars += name.length + value.length;
  if (chars <= COMMAND_CHARS_MAX) return;
  throw new RangeError(
    `Cannot submit command "${show(command)}" of ${chars} characters with its variables: ` +
      `at most ${COMMAND_CHARS_MAX}; give the rest as an input file`,
  );
}

/** True of options that many calls can have alike: no file is theirs alone, and no time passes. */
export function isForMany({ inputs, outputs, startsAtMs, endsAtMs }: CheckedCall): boolean {
  return inputs.length + outputs.length === 0 && startsAtMs === undefined &&
    endsAtMs === undefined;
}

/** Resolves what a process is started with. */
export function checkProcess(read: Partial<ProcessOptions>, store: FileStore): CheckedProcess {
  const { environment = [] } = read;
  const list = Array.isArray(environment) ? environment : [environment];
  return {
    request: requestOf(read),
    env: read.env ?? {},
    environments: list.map((handle) => {
      const entry = checkEnvironment(store.entryOf(handle, "environment"));
      store.checkInput(entry, "environment");
      return entry;
    }),
  };
}

/** What was stated, in bytes. */
export function requestOf(read: Partial<ProcessOptions>): ResourceRequest {
  const { cores, memory, disk, gpus, resources = {} } = read;
  return {
    ...(cores === undefined ? {} : { cores }),
    ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
    ...(disk === undefined ? {} : { diskBytes: Number(disk) }),
    ...(gpus === undefined ? {} : { gpus }),
    ...(Object.keys(resources).length === 0 ? {} : { custom: resources }),
  };
}

/** Resolves what tasks and calls have alike. */
export function checkCall(read: Partial<TaskOptions>, store: FileStore): CheckedCall {
  const inputs = mountsOf(read.inputs ?? {}, "input", store);
  const outputs = mountsOf(read.outputs ?? {}, "output", store);
  for (const { mount, entry } of inputs) store.checkInput(entry, `input "${mount}"`);
  for (const { mount, entry } of outputs) store.checkOutput(entry, `output "${mount}"`);
  if (outputs.length > 0) checkApart(inputs, outputs);
  checkTimes(read);
  return {
    inputs,
    outputs,
    tag: read.tag,
    category: read.category,
    priority: read.priority ?? 0,
    retry: checkRetries(read),
    workerLosses: read.workerLosses ?? WORKER_LOSSES_DEFAULT,
    timeoutMs: Number(read.timeout ?? 0),
    hasSeries: read.series ?? false,
    minTimeMs: Number(read.minTime ?? 0),
    startsAtMs: instantOf(read.startAfter),
    endsAtMs: instantOf(read.endBy),
    placement: read.placement,
    features: read.features ?? [],
  };
}

/** Throws of a task that would end before it may start. */
function checkTimes({ startAfter, endBy }: Partial<TaskOptions>): void {
  if (startAfter === undefined || endBy === undefined) return;
  const leftMs = Number(endBy) - Number(startAfter);
  if (leftMs > 0) return;
  throw new RangeError(
    `Cannot take endBy of a task that it keeps from running: it is ${formatDuration(-leftMs)} ` +
      "before its startAfter",
  );
}

/** The instant that lies so far ahead, as the core tells the time. */
function instantOf(aheadMs: Date | Duration | undefined): number | undefined {
  return aheadMs === undefined ? undefined : performance.now() + Number(aheadMs);
}

function checkEnvironment(entry: FileEntry): FileEntry {
  const { source } = entry;
  if (source.kind === "mini_task" && source.recipe.kind === "environment") return entry;
  throw new TypeError(
    `Cannot take ${source.kind} file ${entry.id} as an environment: ` +
      "declare it with manager.environment() first",
  );
}

/** Checks mounts, and looks their files up. */
export function mountsOf(
  files: Mounts<unknown>,
  side: "input" | "output",
  store: FileStore,
): CheckedMount[] {
  return Object.entries(files).map(([mount, given]) => {
    return mountOf(given, { side, mount: checkMount(mount, side), store });
  });
}

/** Returns what is a relative path that stays in the sandbox. */
export function checkMount(mount: unknown, side: string): string {
  try {
    return checkMountName(text(mount, side));
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new TypeError(`Cannot take ${side} "${show(mount)}" as a mount: ${found}`, {
      cause: error,
    });
  }
}

/** Nothing is written into an input, and nothing is made twice. */
function checkApart(
  inputs: CheckedCall["inputs"],
  outputs: CheckedCall["outputs"],
): void {
  const made = new Set<FileEntry>();
  for (const { mount, entry } of outputs) {
    if (made.has(entry)) {
      throw new TypeError(`Cannot take output "${mount}": its file is another output as well`);
    }
    made.add(entry);
    const other = inputs.find((input) => isWithin(mount, input.mount) || input.entry === entry);
    if (other !== undefined) {
      throw new TypeError(
        `Cannot take "${mount}" as an output: it is the input "${other.mount}" too`,
      );
    }
  }
}

/** True when one of two mounts is, or lies in, the other. */
export function isWithin(mount: string, other: string): boolean {
  return mount === other || mount.startsWith(`${other}/`) || other.startsWith(`${mount}/`);
}

/** Makes tasks for the core; tasks alike share one shape object. */
export class TaskMaker {
  readonly #templates: Map<string, TaskTemplate> = new Map();
  /** Of the newest call: of many calls in a row most are made of the same. */
  #last: {
    readonly call: CheckedCall;
    readonly library: string;
    readonly template: TaskTemplate;
  } | undefined;

  /** The definition of a checked task. */
  make(
    taskId: TaskId,
    { call, body, files = [] }: {
      readonly call: CheckedCall;
      readonly body: TaskBody;
      readonly files?: readonly FileEntry[];
    },
    runsIn: CheckedProcess | { readonly library: string },
  ): TaskDefinition {
    const { inputs, outputs, priority, retry, workerLosses, features } = call;
    const { startsAtMs, endsAtMs } = call;
    const environments = "library" in runsIn ? [] : runsIn.environments;
    const definition: { -readonly [Key in keyof TaskDefinition]: TaskDefinition[Key] } = {
      taskId,
      template: this.#templateFor(call, runsIn),
      // Most have none: these lists are shared, as there may be a million tasks.
      environments: environments.length === 0 ? NO_IDS : environments.map(({ id }) => id),
      features,
      body,
      inputs: files.length + inputs.length === 0
        ? NO_MOUNTS
        : files.map(toArgument).concat(inputs.map(toMount)),
      outputs: outputs.length === 0 ? NO_MOUNTS : outputs.map(toMount),
      priority,
      retries: retry.retries,
      workerLosses,
    };
    if (startsAtMs !== undefined) definition.startsAtMs = startsAtMs;
    if (endsAtMs !== undefined) definition.endsAtMs = endsAtMs;
    return definition;
  }

  #templateFor(
    call: CheckedCall,
    runsIn: CheckedProcess | { readonly library: string },
  ): TaskTemplate {
    if (!("library" in runsIn)) {
      return this.#templateOf(call, { process: runsIn, library: undefined });
    }
    const { library } = runsIn;
    if (this.#last?.call === call && this.#last.library === library) return this.#last.template;
    const template = this.#templateOf(call, { process: undefined, library });
    this.#last = { call, library, template };
    return template;
  }

  #templateOf(
    call: CheckedCall,
    { process, library }: {
      readonly process: CheckedProcess | undefined;
      readonly library: string | undefined;
    },
  ): TaskTemplate {
    const { timeoutMs, minTimeMs, placement, category: given, retry: { rule }, hasSeries } = call;
    const { env = {} } = process ?? {};
    const { request = {} } = process ?? call.own ?? {};
    const category = given ?? library ?? DEFAULT_CATEGORY;
    // Environments are named beside it, and yet tasks of one template have the same.
    const environments = process?.environments.map(({ id }) => id);
    const key = JSON.stringify([
      category,
      timeoutMs,
      minTimeMs,
      placement,
      library,
      request,
      env,
      environments,
      rule,
      hasSeries,
    ]);
    const known = this.#templates.get(key);
    if (known !== undefined) return known;
    if (this.#templates.size >= TEMPLATES_MAX) this.#templates.clear();
    const template: TaskTemplate = {
      request,
      category,
      env,
      timeoutMs,
      minTimeMs,
      ...(hasSeries ? { hasSeries } : {}),
      ...(rule === undefined ? {} : { retry: rule }),
      ...(placement === undefined ? {} : { placement }),
      ...(library === undefined ? {} : { library }),
    };
    this.#templates.set(key, template);
    return template;
  }
}

/** A mount as the core has it, which need not know what is watched. */
export function toMount({ mount, entry, isSymlink, isStrict, only }: CheckedMount): TaskMount {
  const fileId = entry.id;
  const isPlain = isSymlink === undefined && isStrict === undefined && only === undefined;
  if (isPlain) return { mount, fileId };
  return {
    mount,
    fileId,
    ...(isSymlink === true && { isSymlink }),
    ...(isStrict === true && { isStrict }),
    ...(only === "failure" && { only }),
  };
}

/** A file argument of a call has no mount: its index in the list is its place. */
export function toArgument({ id: fileId, pathName }: FileEntry): TaskMount {
  return pathName === undefined ? { mount: "", fileId } : { mount: "", fileId, pathName };
}
