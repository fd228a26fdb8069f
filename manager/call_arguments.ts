/** The arguments of a function call, made ready to travel. */

import { VALUE_BYTES_MAX } from "../shared/protocol.ts";
import { encodeArguments, encodeValueFile } from "../shared/value.ts";
import type { FileEntry } from "./file_entry.ts";
import { FileHandle } from "./file_handle.ts";
import type { FileStore } from "./file_store.ts";
import { TaskHandle } from "./task_handle.ts";

/** Longest name of a library or function that travels. */
const NAME_CHARS_MAX = 256;

/** What a call is made of, before it is a task. */
export interface CallBody {
  readonly function: string;
  readonly arguments: Uint8Array;
  /** Files among the arguments, in the order of their indexes. */
  readonly files: readonly FileEntry[];
}

/** Makes the arguments of a call travel; long ones as a file of their own, made by `keep`. */
export function encodeCall(
  name: string,
  args: readonly unknown[],
  { store, keep }: {
    readonly store: FileStore;
    readonly keep: (bytes: Uint8Array) => FileHandle;
  },
): CallBody {
  checkName(name, "function");
  const { bytes, files } = encodeArguments<FileEntry, never>(args, {
    onFile: (value) =>
      value instanceof FileHandle ? store.entryOf(value, "an argument") : undefined,
    onHandle: (value) => {
      if (!(value instanceof TaskHandle)) return undefined;
      throw new TypeError(
        `Cannot pass task ${value.id} as an argument: await its value() and pass that`,
      );
    },
  });
  for (const file of files) store.checkInput(file, `file ${file.id}`);
  if (bytes.length <= VALUE_BYTES_MAX) return { function: name, arguments: bytes, files };
  const kept = store.entryOf(keep(bytes), "arguments");
  return {
    function: name,
    arguments: encodeValueFile(files.length),
    files: [...files, kept],
  };
}

/** Refuses a name of a library or function that cannot travel. */
export function checkName(name: string, what: string): void {
  if (name !== "" && name.length <= NAME_CHARS_MAX) return;
  throw new RangeError(
    `Cannot take "${name.slice(0, 60)}" as the name of a ${what}: ` +
      `expected up to ${NAME_CHARS_MAX} characters`,
  );
}
