/**
 * What a call has left whose process died in it: a program may send the output of each call into
 * the files `stdout` and `stderr` of its directory, where it outlives the process, and may have begun
 * to write a large value.
 *
 * @module
 */

import { closeSync, constants, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "@std/path";

import { STREAM_KEPT_BYTES } from "../../shared/protocol.ts";
import { valueFileName } from "./call_protocol.ts";
import type { CallOutput } from "./output_capture.ts";

/** Whatever has these names is the function's to make: nothing but a file is read, nor waited for. */
const READ_FLAGS: number = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Returns the ends of the two files; undefined when the process keeps none. */
export function readCapturedOutput(directory: string): CallOutput | undefined {
  const stdout = readEnd(join(directory, "stdout"));
  const stderr = readEnd(join(directory, "stderr"));
  return stdout === undefined || stderr === undefined ? undefined : { stdout, stderr };
}

/** Removes the file that a host keeps the value of a call in, which nobody will take any more. */
export function removeValueFile(directory: string, callId: number): void {
  try {
    rmSync(join(directory, valueFileName(callId)), { force: true });
  } catch {
    // The function made something else of it: that goes with the instance.
  }
}

function readEnd(path: string): Uint8Array | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, READ_FLAGS);
    const found = fstatSync(descriptor);
    if (!found.isFile()) return undefined;
    const bytes = new Uint8Array(Math.min(found.size, STREAM_KEPT_BYTES));
    const count = readSync(descriptor, bytes, 0, bytes.length, found.size - bytes.length);
    return bytes.subarray(0, count);
  } catch {
    // It is not there, or not to be read: what the process printed else is all that is known.
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
