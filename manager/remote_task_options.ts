/** A task as clients describe it, checked and made into what the manager is asked. */

import type { ClientMount, ClientTask } from "./client_protocol.ts";
import { readOptions } from "./option.ts";
import type { RemoteFile, RemoteFiles } from "./remote_file.ts";
import { TASK_READERS, type TaskOptions } from "./task_definition.ts";

/** A command for a manager elsewhere: as `TaskOptions`, with files of that manager. */
export interface RemoteTaskOptions extends Omit<TaskOptions, "inputs" | "outputs" | "environment"> {
  /** Mount name: file. A task finds its inputs under these names in its sandbox. */
  readonly inputs?: { readonly [mount: string]: RemoteFile };
  /** Mount name: file that the task leaves there. */
  readonly outputs?: { readonly [mount: string]: RemoteFile };
  /** Unpacked software whose `bin` comes first in `PATH`; of several the first is foremost. */
  readonly environment?: RemoteFile | readonly RemoteFile[];
}

/** A checked task of a client. */
export interface RemoteDefinition {
  readonly tag: string | undefined;
  readonly outputs: readonly RemoteFile[];
  /** Declares its files, sends the inputs, and gives what the manager is asked. */
  toClientTask(): Promise<ClientTask>;
}

type Mounts = readonly (readonly [mount: string, file: RemoteFile])[];

/** Checks a task; the manager checks the rest, as it does for scripts of its own. */
export function readRemoteTask(task: RemoteTaskOptions, files: RemoteFiles): RemoteDefinition {
  const { inputs = {}, outputs = {}, environment = [], ...others } = task;
  const read = readOptions<TaskOptions>(others, "submit", TASK_READERS);
  const { command } = read;
  if (command === undefined) {
    throw new TypeError('Cannot submit a task without a command: expected { command: "…" }');
  }
  const mounts = (side: string, given: { readonly [mount: string]: RemoteFile }): Mounts =>
    Object.entries(given).map(([mount, file]) => [mount, files.check(file, `${side} "${mount}"`)]);
  const checked = { inputs: mounts("input", inputs), outputs: mounts("output", outputs) };
  const environments = (Array.isArray(environment) ? environment : [environment])
    .map((file) => files.check(file, "environment"));
  const plain = toPlain(read);
  return {
    tag: read.tag,
    outputs: checked.outputs.map(([, file]) => file),
    toClientTask: async () => ({
      ...plain,
      command,
      inputs: await toMounts(checked.inputs, (file) => files.input(file)),
      outputs: await toMounts(checked.outputs, (file) => files.output(file)),
      environments: await Promise.all(environments.map((file) => files.input(file))),
    }),
  };
}

async function toMounts(
  mounts: Mounts,
  idOf: (file: RemoteFile) => Promise<ClientMount["fileId"]>,
): Promise<ClientMount[]> {
  return await Promise.all(
    mounts.map(async ([mount, file]) => ({ mount, fileId: await idOf(file) })),
  );
}

/** What of a task is neither its command nor a file, under the names of the wire. */
function toPlain(
  read: Partial<TaskOptions>,
): Omit<ClientTask, "command" | "inputs" | "outputs" | "environments"> {
  const { env = {}, cores, memory, disk, gpus, tag, category, priority, retries } = read;
  const { workerLosses, timeout, features } = read;
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
    features,
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as ReturnType<typeof toPlain>;
}
