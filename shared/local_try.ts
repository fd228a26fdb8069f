/**
 * What goes over the pipes between an executor that runs tries on this machine and the process that
 * has theirs as children, as shared/pipe_frame.ts writes it.
 *
 * @module
 */

import type { LibraryProgram } from "./library.ts";
import type { Outcome } from "./task.ts";

/** A file as a command finds it. */
export interface LocalInput {
  readonly mount: string;
  /** Absolute. */
  readonly path: string;
}

/** A file that a try leaves behind. */
export interface LocalOutput {
  readonly mount: string;
  /** Where it goes, absolute. */
  readonly to: string;
  /** It is added to what is there. */
  readonly isAppended: boolean;
}

/** What all tries are ordered with. */
export interface LocalTry {
  /** Unique for the process that is told. */
  readonly tryId: number;
  /** Of the call of an app. */
  readonly callId: number;
  /** Number of the try of that call. */
  readonly try: number;
  /** Wall time after which it is stopped; 0 is none. */
  readonly timeoutMs: number;
  readonly inputs: readonly LocalInput[];
  readonly outputs: readonly LocalOutput[];
}

/** Code whose functions are called; its processes are kept. */
export interface LocalLibrary {
  readonly libraryId: number;
  /** Its module is named by its absolute path. */
  readonly program: Exclude<LibraryProgram<string>, { readonly kind: "command" }>;
  /** Of its processes, beside what they inherit. */
  readonly env: { readonly [name: string]: string };
  /** As each of its processes is told. */
  readonly cores: number;
}

/** A command, run by `/bin/sh -c` in a directory of its own. */
export interface LocalCommand extends LocalTry {
  readonly command: string;
  readonly env: { readonly [name: string]: string };
  readonly cores: number;
  /** Paths at which all that it writes is put, however it ends. */
  readonly streams: { readonly stdout?: string; readonly stderr?: string };
}

/** A call of a function of a library that was told of before. */
export interface LocalCall extends LocalTry {
  readonly libraryId: number;
  readonly function: string;
  /** As `encodeArguments` writes them. */
  readonly arguments: Uint8Array;
  /** Absolute paths of the files among them, by index. */
  readonly files: readonly string[];
  /** Where its value is put when it is too large for a message. */
  readonly valuePath: string;
}

/** What the process of tries is told. */
export type LocalOrder =
  | { readonly kind: "library"; readonly library: LocalLibrary }
  | { readonly kind: "command"; readonly command: LocalCommand }
  | { readonly kind: "call"; readonly call: LocalCall }
  /** Ends a try, with all that it has started; it is still answered. */
  | { readonly kind: "stop"; readonly tryId: number };

/** How a try ended: what the process of tries says. */
export interface LocalEnd {
  readonly tryId: number;
  readonly outcome: Outcome;
  /** Empty on success. */
  readonly message: string;
  readonly exitCode?: number;
  readonly signal?: string;
  /** The end of what it wrote. */
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** Of a call: what it returned, or as `encodeThrown` what it threw. */
  readonly value?: Uint8Array;
  /** True when what it returned is at its `valuePath`. */
  readonly hasValueFile?: boolean;
  readonly ranMs: number;
}
