/** Tasks of clients as the options that a script of the manager's own would give. */

import type { ClientFiles } from "./client_files.ts";
import type { ClientMount, ClientTask } from "./client_protocol.ts";
import type { FileHandle } from "./file_handle.ts";
import type { InputOptions, MountWishes, OutputOptions } from "./mount_option.ts";
import type { MiniTaskOptions } from "./mini_task.ts";
import type { TaskOptions } from "./task_definition.ts";

type FullMount = InputOptions & OutputOptions;
type Handles = Pick<ClientFiles, "handleOf">;

/** Options of a task. */
export function optionsOf(task: ClientTask, files: Handles): TaskOptions {
  const { command, env, cores, memoryBytes, diskBytes, gpus, timeoutMs } = task;
  const { placement, minTimeMs, startInMs, endInMs, retryDelayMs, retryOn, maxForsaken } = task;
  const { tag, category, priority, retries, workerLosses, features } = task;
  const options: { -readonly [Name in keyof TaskOptions]: TaskOptions[Name] | undefined } = {
    command,
    env,
    inputs: filesOf(task.inputs, files),
    outputs: filesOf(task.outputs, files),
    environment: task.environments.map((fileId) => files.handleOf(fileId)),
    cores,
    memory: memoryBytes,
    disk: diskBytes,
    gpus,
    timeout: timeoutMs,
    placement,
    minTime: minTimeMs,
    startAfter: startInMs,
    endBy: endInMs,
    tag,
    category,
    priority,
    retries,
    retryDelay: retryDelayMs,
    retryOn,
    maxForsaken,
    series: task.hasSeries,
    resources: task.custom,
    workerLosses,
    features,
  };
  // Options that are undefined are taken as left out.
  return options as TaskOptions;
}

/** Options of a mini task: what of a task makes sense there. */
export function miniOptionsOf(task: ClientTask, files: Handles): MiniTaskOptions {
  if (task.outputs.length > 0) {
    throw new TypeError("Cannot declare a mini task with outputs: it makes what is at its mount");
  }
  const { command, inputs, env, environment, cores, memory, disk, timeout } = optionsOf(
    task,
    files,
  );
  const options = { command, inputs, env, environment, cores, memory, disk, timeout };
  return options as MiniTaskOptions;
}

/** Mount name: file, with what is wished beside. */
export function filesOf(
  mounts: readonly ClientMount[],
  files: Handles,
): { readonly [mount: string]: FileHandle | FullMount } {
  const seen = new Set<string>();
  return Object.fromEntries(mounts.map(({ mount, fileId, ...wishes }) => {
    if (seen.has(mount)) throw new TypeError(`Cannot take "${mount}" as a mount of two files`);
    seen.add(mount);
    return [mount, optionOf(files.handleOf(fileId), wishes)];
  }));
}

/** What is wished of the wrong side is refused as in a script. */
function optionOf(file: FileHandle, wishes: MountWishes): FileHandle | FullMount {
  const { isSymlink: symlink, isStrict: strict, isWatched: watch, only } = wishes;
  const given = Object.entries({ symlink, strict, watch, only })
    .filter(([, value]) => value !== undefined);
  return given.length === 0 ? file : { file, ...Object.fromEntries(given) };
}
