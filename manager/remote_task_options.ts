/** A task as clients describe it, checked and made into what the manager is asked. */

import type { ClientFile, ClientMember, ClientMount, ClientTask } from "./client_protocol.ts";
import { MINI_TASK_READERS, type MiniTaskOptions } from "./mini_task.ts";
import {
  type InputMountOption,
  type MountWishes,
  type OutputMountOption,
  readMount,
} from "./mount_option.ts";
import { checkOptionNames, readOptions } from "./option.ts";
import { RemoteFile, type RemoteFiles } from "./remote_file.ts";
import { checkMount, TASK_READERS, type TaskOptions } from "./task_definition.ts";

/** A command for a manager elsewhere: as `TaskOptions`, with files of that manager. */
export interface RemoteTaskOptions
  extends Omit<TaskOptions, "inputs" | "outputs" | "environment" | "retry"> {
  /** Mount name: file. A task finds its inputs under these names in its sandbox. */
  readonly inputs?: { readonly [mount: string]: InputMountOption<RemoteFile> };
  /** Mount name: file that the task leaves there. */
  readonly outputs?: { readonly [mount: string]: OutputMountOption<RemoteFile> };
  /** Unpacked software whose `bin` comes first in `PATH`; of several the first is foremost. */
  readonly environment?: RemoteFile | readonly RemoteFile[];
}

/** A mini task for a manager elsewhere: as `MiniTaskOptions`, with files of that manager. */
export type RemoteMiniTaskOptions = Pick<RemoteTaskOptions, keyof MiniTaskOptions>;

/** What one task of `submitArray` has of its own. */
export interface RemoteMember {
  /** Added to the variables of all. */
  readonly env?: { readonly [name: string]: string };
  /** Added to the outputs of all; one on another host than the manager is not written here. */
  readonly outputs?: { readonly [mount: string]: OutputMountOption<RemoteFile> };
}

/** A checked task of a client. */
export interface RemoteDefinition {
  readonly tag: string | undefined;
  readonly outputs: readonly RemoteFile[];
  /** Declares its files, sends the inputs, and gives what the manager is asked. */
  toClientTask(): Promise<ClientTask>;
}

type Mounts = readonly {
  readonly mount: string;
  readonly file: RemoteFile;
  readonly wishes: MountWishes;
}[];

/** Checks a task; the manager checks the rest, as it does for scripts of its own. */
export function readRemoteTask(task: RemoteTaskOptions, files: RemoteFiles): RemoteDefinition {
  const { inputs = {}, outputs = {}, environment = [], ...others } = task;
  const read = readOptions<TaskOptions>(others, "submit", TASK_READERS);
  if (read.retry !== undefined) {
    throw new TypeError(
      "Cannot take a retry function to a manager elsewhere: expected retryOn and retryDelay",
    );
  }
  const { command } = read;
  if (command === undefined) {
    throw new TypeError('Cannot submit a task without a command: expected { command: "…" }');
  }
  const checked = {
    inputs: checkMounts(inputs, "input", files),
    outputs: checkMounts(outputs, "output", files),
  };
  const environments = (Array.isArray(environment) ? environment : [environment])
    .map((file) => files.check(file, "environment"));
  const plain = toPlain(read);
  const readAtMs = performance.now();
  return {
    tag: read.tag,
    outputs: checked.outputs.map(({ file }) => file),
    toClientTask: async () => ({
      ...plain,
      ...toTimes(read, readAtMs),
      command,
      inputs: await toMounts(checked.inputs, (file) => files.input(file)),
      outputs: await toMounts(checked.outputs, (file) => files.output(file)),
      environments: await Promise.all(environments.map((file) => files.input(file))),
    }),
  };
}

/** Checks a mini task; what is returned declares its files. */
export function readRemoteMiniTask(
  task: RemoteMiniTaskOptions,
  { mount, files }: { readonly mount: string; readonly files: RemoteFiles },
): () => Promise<ClientFile> {
  checkOptionNames(task, "miniTask", MINI_TASK_READERS);
  const place = checkMount(mount, "mount of the mini task");
  const definition = readRemoteTask(task, files);
  return async () => ({
    kind: "mini_task",
    task: await definition.toClientTask(),
    mount: place,
  });
}

/** Checks a member; what is returned declares its files. */
export function readRemoteMember(
  { env = {}, outputs = {} }: RemoteMember,
  files: RemoteFiles,
): () => Promise<ClientMember> {
  const mounts = checkMounts(outputs, "output", files);
  return async () => ({ env, outputs: await toMounts(mounts, (file) => files.output(file)) });
}

function checkMounts(
  given: { readonly [mount: string]: unknown },
  side: "input" | "output",
  files: RemoteFiles,
): Mounts {
  const isFile = (value: unknown): value is RemoteFile => value instanceof RemoteFile;
  return Object.entries(given).map(([mount, value]) => {
    const { file, wishes } = readMount(value, { side, mount, isFile });
    return { mount, file: files.check(file, `${side} "${mount}"`), wishes };
  });
}

async function toMounts(
  mounts: Mounts,
  idOf: (file: RemoteFile) => Promise<ClientMount["fileId"]>,
): Promise<ClientMount[]> {
  return await Promise.all(
    mounts.map(async ({ mount, file, wishes }) => {
      return { mount, fileId: await idOf(file), ...wishes };
    }),
  );
}

/** What of a task is neither its command nor a file, under the names of the wire. */
function toPlain(
  read: Partial<TaskOptions>,
): Omit<ClientTask, "command" | "inputs" | "outputs" | "environments"> {
  const { env = {}, cores, memory, disk, gpus, tag, category, priority, retries } = read;
  const { placement, workerLosses, timeout, minTime, features, series, resources } = read;
  const { retryDelay, retryOn, maxForsaken } = read;
  const fields = {
    env,
    cores,
    // The readers have made numbers of them.
    memoryBytes: memory as number | undefined,
    diskBytes: disk as number | undefined,
    gpus,
    tag,
    category,
    priority,
    retries,
    workerLosses,
    timeoutMs: timeout as number | undefined,
    placement,
    minTimeMs: minTime as number | undefined,
    retryDelayMs: retryDelay as number | undefined,
    retryOn,
    maxForsaken,
    hasSeries: series,
    custom: resources,
    features,
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as ReturnType<typeof toPlain>;
}

/** Instants as the time that is left to them now: clocks of hosts differ, and files took theirs. */
function toTimes(
  { startAfter, endBy }: Partial<TaskOptions>,
  readAtMs: number,
): Pick<ClientTask, "startInMs" | "endInMs"> {
  const passedMs = performance.now() - readAtMs;
  const left = (aheadMs: number) => Math.max(0, aheadMs - passedMs);
  return {
    // The readers have made numbers of them.
    ...(startAfter === undefined ? {} : { startInMs: left(startAfter as number) }),
    ...(endBy === undefined ? {} : { endInMs: left(endBy as number) }),
  };
}
