/**
 * Tendril: data-intensive workflows on clusters. This module is the library and, started by itself,
 * the command line.
 *
 * @module
 */

import process from "node:process";

import * as library from "./mod.ts";
import { VERSION } from "./shared/version.ts";

export { VERSION };
export { FileHandle } from "./manager/file_handle.ts";
export { Library } from "./manager/library.ts";
export { Manager } from "./manager/manager.ts";
export { TaskHandle } from "./manager/task_handle.ts";
export { TaskError } from "./manager/task_result.ts";

export type {
  Duration,
  LocalWorkersOptions,
  ManagerOptions,
  PolicyOptions,
  Size,
} from "./manager/config.ts";
export type { Fact } from "./manager/core/instruction.ts";
export type { FileKind } from "./manager/file_entry.ts";
export type { FileOptions } from "./manager/file_options.ts";
export type { LibraryOptions } from "./manager/library.ts";
export type { CancelOptions, WaitOptions } from "./manager/manager.ts";
export type { ManagerStatus } from "./manager/status.ts";
export type { CallOptions, ProcessOptions, TaskOptions } from "./manager/task_definition.ts";
export type { TaskStateName } from "./manager/task_handle.ts";
export type { TaskResult, TaskTimes } from "./manager/task_result.ts";
export type { CacheLevel, Outcome } from "./shared/task.ts";

const HELP = `tendril ${VERSION}: data-intensive workflows on clusters

  tendril run SCRIPT [ARGS...]   run a workflow script as manager
  tendril worker                 run tasks for a manager
  tendril init [DIR]             a starter workflow with the library and its types
  tendril version                the version
  tendril help                   this text
`;

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

async function main([command = "help", ...args]: string[]): Promise<number> {
  switch (command) {
    case "run":
      return await run(args);
    case "init":
      return await init(args[0] ?? ".");
    case "version":
    case "--version":
      return print(`${VERSION}\n`);
    case "help":
    case "--help":
      return print(HELP);
    case "worker": {
      const { runWorkerCommand } = await import("./worker/cli.ts");
      return await runWorkerCommand(args);
    }
    default: {
      const { runInternalCommand } = await import("./worker/cli.ts");
      const loadTendril = () => Promise.resolve(library);
      const ended = runInternalCommand(command, { args, loadTendril });
      return await ended ?? fail(`Cannot run command "${command}": see "tendril help"`, 2);
    }
  }
}

async function run([script, ...args]: string[]): Promise<number> {
  if (script === undefined) return fail(`Cannot run a workflow: "tendril run" needs a SCRIPT`, 2);
  const { runScript, ScriptError } = await import("./shared/runtime/script.ts");
  try {
    await runScript(script, args, library);
    return 0;
  } catch (error) {
    if (error instanceof ScriptError) return fail(error.message, 2);
    throw error;
  }
}

async function init(directory: string): Promise<number> {
  const { initDirectory } = await import("./manager/cli_init.ts");
  const { embeddedLibrary } = await import("./manager/embedded.ts");
  const embedded = embeddedLibrary();
  if (!embedded) return fail(`Cannot write the library: build it with "scripts/build"`, 1);
  try {
    const names = initDirectory(directory, embedded);
    return print(names.map((name) => `wrote ${name}\n`).join("") || "nothing to write\n");
  } catch (error) {
    return fail((error as Error).message, 1);
  }
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function fail(message: string, exitCode: number): number {
  process.stderr.write(`error: ${message}\n`);
  return exitCode;
}
