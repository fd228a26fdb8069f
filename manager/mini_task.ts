/** Mini tasks as scripts declare them, checked and made into what the store keeps. */

import { statedResources } from "../shared/resources.ts";
import type { RecipeSpec } from "./core/event.ts";
import type { FileEntry, MiniTaskSource } from "./file_entry.ts";
import { type FileOptions, readFileOptions } from "./file_options.ts";
import type { FileSpec, FileStore } from "./file_store.ts";
import { type Readers, readOptions } from "./option.ts";
import {
  checkLength,
  checkMount,
  checkProcess,
  isWithin,
  mountsOf,
  TASK_READERS,
  type TaskOptions,
} from "./task_definition.ts";

/** Files made of one another: longer chains are better written as tasks. */
const DEPTH_MAX = 16;

/** A command whose output is a file; `TaskOptions` has the meanings. */
export type MiniTaskOptions = Pick<
  TaskOptions,
  "command" | "inputs" | "env" | "environment" | "cores" | "memory" | "disk" | "timeout"
>;

/** Checks of a mini task. */
export const MINI_TASK_READERS: Readers<MiniTaskOptions> = pickReaders(TASK_READERS);

/** What a command leaves at `mount` when a worker needs it. */
export function miniTaskSpec(
  task: { readonly options: MiniTaskOptions; readonly mount: unknown },
  options: FileOptions,
  store: FileStore,
): FileSpec {
  const owner = "miniTask";
  const read = readOptions<Required<MiniTaskOptions>>(task.options, owner, MINI_TASK_READERS);
  const { command } = read;
  if (command === undefined) {
    throw new TypeError('Cannot declare a mini task without a command: expected { command: "…" }');
  }
  checkLength(command, read.env ?? {});
  const mount = checkMount(task.mount, "mount of the mini task");
  const inputs = mountsOf(read.inputs ?? {}, "input", store);
  const special = inputs.find(({ isSymlink, isStrict }) => isSymlink ?? isStrict ?? false);
  if (special !== undefined) {
    throw new TypeError(
      `Cannot mount input "${special.mount}" of a mini task as symlink or strict: expected a file`,
    );
  }
  const other = inputs.find((input) => isWithin(mount, input.mount));
  if (other !== undefined) {
    throw new TypeError(
      `Cannot take "${mount}" as what the mini task makes: it is the input "${other.mount}" too`,
    );
  }
  const { request, env, environments } = checkProcess(read, store);
  const recipe: RecipeSpec = {
    kind: "command",
    command,
    env,
    resources: statedResources(request),
    timeoutMs: Number(read.timeout ?? 0),
    mount,
    inputs: inputs.map(({ mount, entry }) => ({ mount, fileId: entry.id })),
    environments: environments.map(({ id }) => id),
  };
  const files = [...inputs.map(({ entry }) => entry), ...environments];
  const common = readFileOptions(options, owner);
  return {
    ...common,
    source: madeOf(recipe, files),
    peerTransfer: options.peerTransfer ?? false,
  };
}

/** What the worker that needs it makes of an archive; it is not passed on. */
export function recipeSpec(
  kind: "unpack" | "environment",
  input: FileEntry,
  options: FileOptions,
): FileSpec {
  return {
    ...readFileOptions(options, kind),
    source: madeOf({ kind }, [input]),
    peerTransfer: false,
  };
}

function madeOf(recipe: RecipeSpec, files: readonly FileEntry[]): MiniTaskSource {
  const inputs = [...new Set(files)];
  const depths = inputs.map(({ source }) => source.kind === "mini_task" ? source.depth : 0);
  const depth = 1 + Math.max(0, ...depths);
  if (depth <= DEPTH_MAX) return { kind: "mini_task", recipe, inputs, depth };
  throw new RangeError(
    `Cannot declare a file that is made of ${depth} others in turn: at most ${DEPTH_MAX}; ` +
      "make one of them by a task, as a temp",
  );
}

function pickReaders(readers: Readers<TaskOptions>): Readers<MiniTaskOptions> {
  const { command, inputs, env, environment, cores, memory, disk, timeout } = readers;
  return { command, inputs, env, environment, cores, memory, disk, timeout };
}
