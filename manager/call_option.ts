/** Options of a call of a library: what tasks can be given, and resources beside its instance's. */

import type { FileStore } from "./file_store.ts";
import { type Readers, readOptions, show } from "./option.ts";
import {
  CALL_READERS,
  type CallOptions,
  checkCall,
  type CheckedCall,
  PROCESS_READERS,
  type ProcessOptions,
  requestOf,
} from "./task_definition.ts";

/**
 * What a call can be given. Resources are what it holds of its worker beside what its instance does,
 * while it runs; those that are not stated it holds none of. What is stated of memory and disk is a
 * limit: beyond it the call alone ends, as `resources_exhausted`. In a library of mode `direct` the
 * memory is that of the process of its slot, the library's own included; in one of mode `fork` that
 * of the forked process, without what it shares with its instance.
 */
export interface LibraryCallOptions
  extends CallOptions, Pick<ProcessOptions, "cores" | "memory" | "disk" | "resources"> {}

const { cores, memory, disk, resources } = PROCESS_READERS;

const LIBRARY_CALL_READERS: Readers<LibraryCallOptions> = {
  ...CALL_READERS,
  cores,
  memory,
  disk,
  resources,
};

/** Options of libraries that calls cannot have, and what is said of them. */
const OF_LIBRARIES: { readonly [name: string]: string } = {
  gpus: "an instance of the library has its devices, which its calls use",
  env: "its process has the variables of the library",
  environment: "its process runs in that of the library",
  slots: "state it of the library",
  mode: "state it of the library",
  context: "state it of the library",
  instances: "state it of the library",
  series: "what it uses is told at its end",
  command: "a call has a function",
};

/** Checks the options of `library.with`. */
export function readCall(options: LibraryCallOptions, store: FileStore): CheckedCall {
  checkMeant(options);
  const read = readOptions<Required<LibraryCallOptions>>(options, "a call", LIBRARY_CALL_READERS);
  const call = checkCall(read, store);
  const request = requestOf(read);
  return Object.keys(request).length === 0 ? call : { ...call, own: { request } };
}

/** Throws of options that are for libraries, or tasks of commands. */
function checkMeant(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    const why = Object.hasOwn(OF_LIBRARIES, name) ? OF_LIBRARIES[name] : undefined;
    if (why === undefined || value === undefined) continue;
    throw new TypeError(`Cannot take ${name} "${show(value)}" as an option of a call: ${why}`);
  }
}
