/** Mounts as scripts give them: a file, or a file with how it is to be mounted. */

import type { FileEntry } from "./file_entry.ts";
import { FileHandle } from "./file_handle.ts";
import type { FileStore } from "./file_store.ts";
import { flag, oneOf, type Readers, readOptions, show } from "./option.ts";

/** An input with how it is to be mounted; `File` is the kind of handle. */
export interface InputOptions<File = FileHandle> {
  /** The file. */
  readonly file: File;
  /**
   * A symbolic link to the worker's copy instead of links or copies of its files: a large tree is
   * mounted in no time, and its directories cannot be written to. Default false.
   */
  readonly symlink?: boolean;
  /** The task runs only where the file is already. Default false. */
  readonly strict?: boolean;
}

/** An output with when it comes back; `File` is the kind of handle. */
export interface OutputOptions<File = FileHandle> {
  /** A file that the task makes. */
  readonly file: File;
  /**
   * What the file gains is appended to the local file, or is seen of the buffer, while the task
   * runs. Each try begins with an empty file. Default false.
   */
  readonly watch?: boolean;
  /**
   * `"failure"`: it comes only of a last try that failed, if that left it there. Default
   * `"success"`.
   */
  readonly only?: "success" | "failure";
}

/** A mount of a task's inputs. */
export type InputMountOption<File = FileHandle> = File | InputOptions<File>;

/** A mount of a task's outputs. */
export type OutputMountOption<File = FileHandle> = File | OutputOptions<File>;

/** What of a mount is not its file, as the parts of the manager name it. */
export interface MountWishes {
  readonly isSymlink?: boolean;
  readonly isStrict?: boolean;
  readonly isWatched?: boolean;
  readonly only?: "success" | "failure";
}

/** A checked mount. */
export interface CheckedMount extends MountWishes {
  readonly mount: string;
  readonly entry: FileEntry;
}

const fileItself = <File>(value: unknown): File => value as File;

const INPUT_READERS: Readers<InputOptions<unknown>> = {
  file: fileItself,
  symlink: flag,
  strict: flag,
};

const OUTPUT_READERS: Readers<OutputOptions<unknown>> = {
  file: fileItself,
  watch: flag,
  only: oneOf("success", "failure"),
};

/** The file of a mount, and what is wished beside; `isFile` tells a handle from options. */
export function readMount<File>(
  given: unknown,
  { side, mount, isFile }: {
    readonly side: "input" | "output";
    readonly mount: string;
    readonly isFile: (value: unknown) => value is File;
  },
): { readonly file: unknown; readonly wishes: MountWishes } {
  const isOptions = typeof given === "object" && given !== null && !isFile(given) &&
    "file" in given;
  if (!isOptions) return { file: given, wishes: {} };
  const owner = `${side} "${mount}"`;
  if (side === "input") {
    const { file, symlink = false, strict = false } = readOptions(given, owner, INPUT_READERS);
    const wishes = { ...(symlink && { isSymlink: true }), ...(strict && { isStrict: true }) };
    return { file, wishes };
  }
  const { file, watch = false, only } = readOptions(given, owner, OUTPUT_READERS);
  const wishes = {
    ...(watch && { isWatched: true }),
    ...(only === "failure" && { only }),
  };
  return { file, wishes };
}

/** Looks the file of a mount up, and checks what is wished of it. */
export function mountOf(
  given: unknown,
  { side, mount, store }: {
    readonly side: "input" | "output";
    readonly mount: string;
    readonly store: FileStore;
  },
): CheckedMount {
  const isFile = (value: unknown): value is FileHandle => value instanceof FileHandle;
  const { file, wishes } = readMount(given, { side, mount, isFile });
  const entry = store.entryOf(file, `${side} "${mount}"`);
  const { kind } = entry.source;
  if (wishes.isWatched === true && kind !== "local" && kind !== "buffer") {
    throw new TypeError(
      `Cannot watch output "${mount}" as a ${kind} file: expected a local file or a buffer`,
    );
  }
  if (wishes.only === "failure" && kind !== "local" && kind !== "buffer") {
    throw new TypeError(
      `Cannot take output "${mount}" as one of a failure: expected a local file or a buffer, ` +
        `found ${show(kind)}`,
    );
  }
  return { mount, entry, ...wishes };
}
