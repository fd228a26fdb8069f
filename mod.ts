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
export { libraryContext } from "./shared/library_context.ts";
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
export type { ByteCounts, ManagerStatus, TaskCounts, WorkerCounts } from "./manager/status.ts";
export type { CallOptions, ProcessOptions, TaskOptions } from "./manager/task_definition.ts";
export type { TaskStateName } from "./manager/task_handle.ts";
export type { TaskResult, TaskTimes } from "./manager/task_result.ts";
export type { CacheName, FileId, TaskId, TransferId, WorkerId } from "./shared/ids.ts";
export type { Resources } from "./shared/resources.ts";
export type { CacheLevel, FileFacts, Outcome } from "./shared/task.ts";

if (import.meta.main) {
  // Not an exit: what a script left running goes on.
  process.exitCode = await main(process.argv.slice(2));
}

/** Loads the parts of the program by need: a child of a worker starts in no time. */
async function main([name = "help", ...args]: string[]): Promise<number> {
  if (name === "version" || name === "--version") return print(`${VERSION}\n`);
  if (name === "worker" || name.startsWith("internal-")) {
    const { runInternalCommand, runWorkerCommand } = await import("./worker/cli.ts");
    if (name === "worker") process.exit(await runWorkerCommand(args));
    const running = runInternalCommand(name, { args, loadTendril: () => Promise.resolve(library) });
    if (running !== undefined) process.exit(await running);
  }
  const { managerHelp, runManagerCommand } = await import("./manager/cli.ts");
  const running = runManagerCommand(name, { args, library });
  if (running !== undefined) return await running;
  if (name === "help" || name === "--help") return print(helpText(managerHelp()));
  process.stderr.write(`tendril: Cannot run "${name}" as a command: see "tendril help"\n`);
  return 2;
}

function helpText(managerLines: readonly string[]): string {
  const lines = [
    ...managerLines,
    `${"tendril worker [options]".padEnd(42)} run tasks for a manager`,
    `${"tendril version".padEnd(42)} print the version`,
    `${"tendril help".padEnd(42)} show this text`,
  ];
  const indented = lines.map((line) => `  ${line}`).join("\n");
  return `tendril ${VERSION}: data-intensive workflows on clusters\n\n${indented}\n\n` +
    `"tendril COMMAND --help" tells the options of a command.\n`;
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
