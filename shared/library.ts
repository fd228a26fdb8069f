/** What a library is on every side of the wire: what runs its instances, and how they serve calls. */

import type { CacheName } from "./ids.ts";

/**
 * What runs in the processes of an instance; all of them speak the call protocol with the worker.
 * `File` is how the side that has it names files.
 */
export type LibraryProgram<File = CacheName> =
  /** A bundled module. */
  | { readonly kind: "javascript"; readonly module: File }
  | {
    readonly kind: "python";
    /** A source file; or, as a directory, a package. */
    readonly module: File;
    /** What it is imported as. */
    readonly moduleName: string;
    /** What is no value in a result travels as pickle. */
    readonly isPickling?: boolean;
  }
  /** Run by `/bin/sh -c` in the directory of the process. */
  | { readonly kind: "command"; readonly command: string };

/**
 * `direct`: an instance has a process for each slot, which serves one call at a time. `fork`: it has
 * one process, which serves as many calls at a time as the instance has slots.
 */
export type LibraryMode = "direct" | "fork";

/** Every mode, for checks at the edge. */
export const LIBRARY_MODES: readonly LibraryMode[] = ["direct", "fork"];

/**
 * Of a library whose calls take less than this in the mean a worker says nothing of a call's start,
 * but after a moment; the manager takes one that it loses until then for started.
 */
export const QUIET_CALL_MS = 5;

/**
 * Before the name of a function: our hosts call it once for each item. The arguments are the list of
 * those of each call, and whether to stop at the first failure; the value is what `batchModule` of
 * function_source.ts says. No export of a module or name in Python begins so.
 */
export const BATCH_PREFIX = "*";

/** The arguments of a context function that is given none: an empty array of shared/value.ts. */
export const NO_ARGUMENTS: Uint8Array = Uint8Array.of(0x80);

/** The file that a program is made of, if it is made of one. */
export function moduleFiles<File>(program: LibraryProgram<File>): readonly File[] {
  return program.kind === "command" ? [] : [program.module];
}
