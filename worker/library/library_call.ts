/** A call as an instance of a library has it, and how it ends. */

import { encodeThrown, type Thrown, thrownOf } from "../../shared/thrown.ts";
import type { InstanceStop } from "../core/instance_use.ts";
import {
  ARGUMENT_BYTES_MAX,
  type CallMessage,
  isCallPath,
  isFunctionName,
  PATHS_BYTES_MAX,
} from "./call_protocol.ts";

/** One call. */
export interface LibraryCall extends Omit<CallMessage, "kind"> {
  /** Wall time of the function alone after which it is stopped; 0 is none. */
  readonly timeoutMs: number;
  /** It is told in which process it runs. */
  readonly isMetered?: boolean;
}

/** How one call ended. */
export type CallEnd =
  | { readonly kind: "ok"; readonly value: Uint8Array }
  /** The value is in this file of the instance's directory, which is the receiver's now. */
  | { readonly kind: "ok_file"; readonly path: string }
  /** The function threw; `value` is `thrown` for `decodeThrown`. */
  | { readonly kind: "error"; readonly thrown: Thrown; readonly value: Uint8Array }
  /** Its process died; `isAmbiguous` where that was not, or not surely, the doing of the call. */
  | { readonly kind: "lost"; readonly message: string; readonly isAmbiguous?: true }
  /** It ran in the instance when that was stopped for what it used. */
  | { readonly kind: "stopped"; readonly stop: InstanceStop }
  | { readonly kind: "cancelled" | "timeout" };

/** The end of a call. */
export interface CallResult {
  readonly callId: number;
  readonly end: CallEnd;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** When the function started, epoch milliseconds; 0 when it never did. */
  readonly startedAtMs: number;
  readonly ranMs: number;
}

/** The end of a call whose function threw. */
export function errorEnd(thrown: Thrown): CallEnd {
  return { kind: "error", thrown, value: encodeThrown(thrown) };
}

/** The end of a call whose process died; `isAmbiguous` when it may be none of the call's doing. */
export function lostEnd(
  call: Pick<LibraryCall, "function">,
  reason: string,
  { isAmbiguous = false }: { readonly isAmbiguous?: boolean } = {},
): CallEnd {
  const message = `The process of function "${call.function}" died: ${reason}`;
  return { kind: "lost", message, ...(isAmbiguous ? { isAmbiguous } : {}) };
}

/** Bytes that the directory and the files of a call take in a message. */
export function pathsSizeOf({ directory, files }: LibraryCall): number {
  if (files.length === 0 && directory === "") return 0;
  return [directory, ...files].reduce((sum, path) => sum + Buffer.byteLength(path) + 1, 0);
}

/** Why a call cannot be written as a message, if it cannot. */
export function refusalOf(call: LibraryCall): Thrown | undefined {
  if (!isFunctionName(call.function)) {
    return thrownOf(new TypeError(`Cannot call "${call.function}" as a function: no such name`));
  }
  if (call.arguments.length > ARGUMENT_BYTES_MAX) {
    const found = `more than ${ARGUMENT_BYTES_MAX} bytes`;
    return thrownOf(new RangeError(`Cannot send arguments to "${call.function}": ${found}`));
  }
  if (pathsSizeOf(call) > PATHS_BYTES_MAX) {
    const found = `more than ${PATHS_BYTES_MAX} bytes`;
    return thrownOf(
      new RangeError(`Cannot send the paths of files to "${call.function}": ${found}`),
    );
  }
  const path = [call.directory, ...call.files].find((each) => !isCallPath(each));
  if (path === undefined) return undefined;
  return thrownOf(new TypeError(`Cannot send "${path}" as a path: it has a line break`));
}
