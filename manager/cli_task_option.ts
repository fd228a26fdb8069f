/** What a task is given on the command line beside its command and its files. */

import { type CommandArguments, type OptionSpec, UsageError } from "../shared/command_line.ts";
import { OUTCOMES } from "../shared/task.ts";
import { readOptions } from "./option.ts";
import type { RemoteTaskOptions } from "./remote_task_options.ts";
import { TASK_READERS, type TaskOptions } from "./task_definition.ts";

/** Options of a task. */
export const TASK_OPTIONS: { readonly [name: string]: OptionSpec } = {
  env: { value: "NAME=VALUE", isMultiple: true, help: "a variable; repeatable" },
  cores: { value: "N", help: "cores of each task; default 1, or a share as of what is stated" },
  memory: { value: "SIZE", help: "as 2GB; with more it is stopped" },
  disk: { value: "SIZE", help: "as 10GB; with more it is stopped" },
  gpus: { value: "N", help: "whole devices" },
  resource: {
    value: "NAME=N",
    isMultiple: true,
    help: "what workers were given a name for, as license=1; repeatable",
  },
  priority: { value: "N", help: "larger first; default 0" },
  retries: { value: "N", help: "further tries of a task that fails; default 0" },
  "retry-delay": { value: "TIME", help: "as 5s: pause before another try, doubled each time" },
  "retry-on": {
    value: "OUTCOMES",
    values: OUTCOMES,
    help: "only these are repeated, as signal,timeout",
  },
  "worker-losses": { value: "N", help: "further tries after losing the worker; default 5" },
  "max-forsaken": { value: "N", help: "uncounted tries that workers may give up unstarted" },
  timeout: { value: "TIME", help: "as 10m: a try that takes longer is stopped" },
  "start-after": { value: "TIME", help: "as 2h, or 2026-05-01T06:00: it waits until then" },
  "end-by": { value: "TIME", help: "as 2h, or an instant: it ends as expired then" },
  "min-time": { value: "TIME", help: "only workers that are there for as long yet get it" },
  category: { value: "NAME", help: "tasks alike in resource use have the same" },
  tag: { value: "NAME", help: "a label, for wait and cancel" },
  feature: { value: "NAME", isMultiple: true, help: "what the worker must have; repeatable" },
};

/** {option: its name in `TaskOptions`}, of those that are one text there. */
const TEXTS = {
  memory: "memory",
  disk: "disk",
  timeout: "timeout",
  category: "category",
  tag: "tag",
  "min-time": "minTime",
  "retry-delay": "retryDelay",
} as const;

/** The same of those that are a number. */
const NUMBERS = {
  cores: "cores",
  gpus: "gpus",
  priority: "priority",
  retries: "retries",
  "worker-losses": "workerLosses",
  "max-forsaken": "maxForsaken",
} as const;

/** The same of instants. */
const TIMES = { "start-after": "startAfter", "end-by": "endBy" } as const;

/** What of a task is neither its command nor a file, checked as for scripts. */
export function readTaskOptions(given: CommandArguments): Omit<RemoteTaskOptions, "command"> {
  const times = pick(given, TIMES);
  const options: Record<string, unknown> = {
    env: Object.fromEntries(readPairs(given, "env")),
    ...pick(given, TEXTS),
    ...times,
  };
  const features = given.texts("feature");
  if (features.length > 0) options["features"] = features;
  const resources = readPairs(given, "resource");
  if (resources.length > 0) {
    options["resources"] = Object.fromEntries(
      resources.map(([name, amount]) => [name, readNumber(amount, `resource ${name}`)]),
    );
  }
  const outcomes = given.text("retry-on");
  if (outcomes !== undefined) options["retryOn"] = outcomes.split(",");
  for (const [option, text] of Object.entries(pick(given, NUMBERS))) {
    options[option] = readNumber(text, option);
  }
  try {
    const { inputs: _, outputs: __, environment: ___, retry: ____, ...read } = readOptions<
      TaskOptions
    >(options, "submit", TASK_READERS);
    // They count from when the tasks are submitted, not from now.
    return { ...read, ...times };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Values of a repeatable option, as `NAME=VALUE`; each name once. */
export function readPairs(
  given: CommandArguments,
  option: "env" | "resource" | "input" | "output",
): [name: string, value: string][] {
  const pairs = new Map<string, string>();
  for (const text of given.texts(option)) {
    const at = text.indexOf("=");
    const [name, value] = [text.slice(0, at), text.slice(at + 1)];
    if (at < 1 || (value === "" && option !== "env")) {
      throw new UsageError(`Cannot read --${option} "${text}": expected ${WANTED[option]}`);
    }
    if (pairs.has(name)) throw new UsageError(`Cannot take --${option} "${name}" twice`);
    pairs.set(name, value);
  }
  return [...pairs];
}

const WANTED = {
  env: "NAME=VALUE",
  resource: "NAME=N",
  input: "NAME=PATH",
  output: "NAME=PATH",
} as const;

function pick(
  given: CommandArguments,
  names: { readonly [option: string]: string },
): { readonly [name: string]: string } {
  return Object.fromEntries(
    Object.entries(names).flatMap(([option, name]) => {
      const text = given.text(option);
      return text === undefined ? [] : [[name, text]];
    }),
  );
}

function readNumber(text: string, option: string): number {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new UsageError(`Cannot read --${option} "${text}" as a number`);
}
