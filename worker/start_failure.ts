/** Says why a command could not be started, so that its author knows what to change. */

import type { Environment } from "./task_environment.ts";

/**
 * Longest single argument or `NAME=value` Linux passes to a program, with the zero
 * byte at its end: 32 pages (MAX_ARG_STRLEN of linux/binfmts.h).
 */
const TEXT_BYTES_MAX: number = 128 * 1024;

/** A command that did not start. */
export interface StartFailure {
  readonly command: string;
  readonly env: Environment;
  /** What the attempt threw. */
  readonly error: unknown;
}

/** One line that names what was too large, or what the system answered. */
export function describeStartFailure(failure: StartFailure): string {
  const { command, env, error } = failure;
  if ((error as NodeJS.ErrnoException).code !== "E2BIG") {
    return `Cannot start the command: ${error instanceof Error ? error.message : String(error)}`;
  }
  const limitBytes = TEXT_BYTES_MAX - 1;
  const commandBytes = Buffer.byteLength(command);
  if (commandBytes > limitBytes) {
    return `Cannot start the command: it has ${commandBytes} bytes, ` +
      `the system takes at most ${limitBytes}`;
  }
  let totalBytes = commandBytes;
  for (const [name, value] of Object.entries(env)) {
    const bytes = Buffer.byteLength(`${name}=${value}`);
    if (bytes > limitBytes) {
      return `Cannot pass variable "${name}" to the command: with its name it has ${bytes} ` +
        `bytes, the system takes at most ${limitBytes}`;
    }
    totalBytes += bytes + 1;
  }
  return `Cannot start the command: it and its ${Object.keys(env).length} variables have ` +
    `${totalBytes} bytes, more than the system takes`;
}
