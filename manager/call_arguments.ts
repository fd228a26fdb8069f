/** The arguments of a function call, made ready to travel. */

import type { TaskId } from "../shared/ids.ts";
import { VALUE_BYTES_MAX } from "../shared/protocol.ts";
import type { TaskBody } from "../shared/task.ts";
import {
  closeGaps,
  encodeArguments,
  ENCODED_BYTES_MAX,
  encodeValue,
  encodeValueFile,
} from "../shared/value.ts";
import type { FileEntry } from "./file_entry.ts";
import { FileHandle } from "./file_handle.ts";
import type { FileStore } from "./file_store.ts";
import { show } from "./option.ts";
import { TaskHandle, type TaskOwner } from "./task_handle.ts";

/** Longest name of a library or function that travels. */
const NAME_CHARS_MAX = 256;

/** The value of a function that returned nothing. */
const UNDEFINED: Uint8Array = encodeValue(undefined);

/** What is called with what, before the values of tasks are put in. */
export interface OpenArguments {
  readonly function: string;
  readonly bytes: Uint8Array;
  /** Files among the arguments, in the order of their indexes. */
  readonly files: readonly FileEntry[];
  /** Where the values of which tasks are missing, by ascending offset. */
  readonly gaps: readonly { readonly offset: number; readonly handle: TaskHandle<unknown> }[];
}

/** What a call is made of, before it is a task. */
export interface CallBody {
  readonly body: TaskBody;
  /** Its arguments, where they are too long for a message: the last of its files. */
  readonly long?: FileEntry;
}

/**
 * Reads the arguments of a call.
 *
 * @throws {TypeError} When one cannot travel, or is a file or handle of another manager.
 */
export function readArguments(
  name: string,
  args: readonly unknown[],
  { store, owner }: { readonly store: FileStore; readonly owner: TaskOwner },
): OpenArguments {
  checkName(name, "function");
  const { bytes, files, gaps } = encodeArguments<FileEntry, TaskHandle<unknown>>(args, {
    onFile: (value) =>
      value instanceof FileHandle ? store.entryOf(value, "an argument") : undefined,
    onHandle: (value) => {
      if (!(value instanceof TaskHandle)) return undefined;
      if (value.isOf(owner)) return value;
      throw new TypeError(
        `Cannot take task ${value.id} as an argument: it is of another manager`,
      );
    },
  });
  for (const file of files) store.checkInput(file, `file ${file.id}`);
  return { function: name, bytes, files, gaps };
}

/**
 * What the call is, now that all its handles have succeeded.
 *
 * @param valueFiles `{task: index of the file that its value is}`.
 * @param fileCount Files that the call has: its own, and those values.
 * @param keep Makes a file of arguments that are too long for a message.
 * @throws {RangeError} When they are too large together.
 */
export function closeArguments(
  open: OpenArguments,
  { valueFiles, fileCount, keep }: {
    readonly valueFiles: ReadonlyMap<TaskId, number>;
    readonly fileCount: number;
    readonly keep: (bytes: Uint8Array) => FileEntry;
  },
): CallBody {
  const { function: name } = open;
  const bytes = open.gaps.length === 0 ? open.bytes : fillGaps(open, valueFiles);
  if (bytes.length <= VALUE_BYTES_MAX) {
    return { body: { kind: "call", function: name, arguments: bytes } };
  }
  return {
    body: { kind: "call", function: name, arguments: encodeValueFile(fileCount) },
    long: keep(bytes),
  };
}

/** Refuses a name of a library or function that cannot travel. */
export function checkName(name: unknown, what: string): void {
  if (typeof name !== "string") {
    throw new TypeError(`Cannot take "${show(name)}" as the name of a ${what}: expected text`);
  }
  if (name !== "" && name.length <= NAME_CHARS_MAX) return;
  throw new RangeError(
    `Cannot take "${show(name)}" as the name of a ${what}: ` +
      `expected 1 to ${NAME_CHARS_MAX} characters`,
  );
}

function fillGaps(open: OpenArguments, valueFiles: ReadonlyMap<TaskId, number>): Uint8Array {
  let sizeBytes = open.bytes.length;
  const values = open.gaps.map(({ handle }) => {
    const index = valueFiles.get(handle.id);
    const value = index === undefined ? valueBytes(handle) : encodeValueFile(index);
    sizeBytes += value.length;
    return value;
  });
  if (sizeBytes <= ENCODED_BYTES_MAX) return closeGaps(open, values);
  throw new RangeError(
    `Cannot call "${open.function}": with the values of the tasks among them its arguments have ` +
      `${sizeBytes} bytes, and at most ${ENCODED_BYTES_MAX} travel`,
  );
}

/** The value of a task that succeeded, as it stands in the arguments of another one. */
function valueBytes(handle: TaskHandle<unknown>): Uint8Array {
  if (handle.isCall) return handle.ended?.result?.value ?? UNDEFINED;
  const result = handle.peek();
  if (result === undefined) return UNDEFINED;
  const { id, tag, outcome, exitCode, stdout, stderr, workerId, host } = result;
  return encodeValue({ id, tag, outcome, exitCode, stdout, stderr, workerId, host });
}
