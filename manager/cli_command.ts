/** What a command of the manager's side is made of; manager/cli.ts runs it. */

import process from "node:process";

import type { CommandArguments, CommandSpec } from "../shared/command_line.ts";
import { plainJson } from "../shared/plain_text.ts";

/** What a script imports as "tendril". */
export type ScriptLibrary = Readonly<Record<string, unknown>>;

/** One command. */
export interface Command {
  readonly spec: CommandSpec;
  /** Resolves to the exit code. */
  readonly run: (call: Call) => Promise<number>;
}

/** One run of a command. */
export interface Call {
  readonly spec: CommandSpec;
  readonly given: CommandArguments;
  readonly library: ScriptLibrary;
}

/** Exit code when nobody reads the output any more: 128 and the number of SIGPIPE, as of `cat`. */
export const EXIT_BROKEN_PIPE = 141;

/** True of what `print` throws when nobody reads any more, as after `| head`. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}

/** Whoever prints is told of an error; the stream would tell everybody. */
const noticed = (): void => {};

/** Writes to standard output, at the pace of whoever reads it; succeeds as a command. */
export async function print(output: string | Uint8Array): Promise<0> {
  if (output.length === 0) return 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  if (!process.stdout.listeners("error").includes(noticed)) process.stdout.on("error", noticed);
  process.stdout.write(output, (error) => error ? reject(error) : resolve());
  await promise;
  return 0;
}

/** Prints one JSON document. */
export async function printJson(document: object): Promise<0> {
  return await print(`${plainJson(document, 2)}\n`);
}
