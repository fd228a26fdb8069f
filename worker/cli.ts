/** The `worker` command, and the hidden commands that a worker starts its children with. */

import { statfsSync } from "node:fs";

import { commandHelp, EXIT_FAILURE, EXIT_USAGE, UsageError } from "../shared/command_line.ts";
import { guardProcess, limitCoreFiles } from "../shared/runtime/process_guard.ts";
import { formatDuration } from "../shared/units.ts";
import { plainText } from "../shared/plain_text.ts";
import { runLibraryHost } from "./library/library_host.ts";
import { detectOffer } from "./detection.ts";
import { ManagerFinder } from "./manager_finder.ts";
import { parseWorkerArguments, WORKER_COMMAND, type WorkerCommandOptions } from "./options.ts";
import { HASH_SUBCOMMAND, runHashCommand } from "./hash_tree.ts";
import { runUnpackCommand, UNPACK_SUBCOMMAND } from "./unpack.ts";
import { runWatchCommand } from "./watcher.ts";
import { readTimeLimit } from "./time_limit.ts";
import { startWorker, type Worker, type WorkerOptions } from "./worker.ts";
import { openWorkspace, workspaceName } from "./workspace.ts";

export { WORKER_COMMAND };

/** Characters of one message; a part of it may be what a manager said. */
const MESSAGE_CHARS_MAX = 2000;

/** A worker that was told to leave and has not by then is ended. */
const LEAVE_LIMIT_MS = 4_800;

/** Runs `tendril worker` with the arguments after that word; resolves to its exit code. */
export async function runWorkerCommand(argv: readonly string[]): Promise<number> {
  let options: WorkerCommandOptions | "help";
  try {
    options = parseWorkerArguments(argv, process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return fail(error.message, EXIT_USAGE);
  }
  if (options === "help") {
    process.stdout.write(commandHelp(WORKER_COMMAND));
    return 0;
  }
  try {
    return await work(options);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error), EXIT_FAILURE);
  }
}

/**
 * Runs the hidden command `name`, one of those that a worker starts its own program with;
 * undefined when it is none. `loadTendril` gives libraries what they import as "tendril".
 */
export function runInternalCommand(
  name: string,
  { args, loadTendril }: { args: readonly string[]; loadTendril: () => Promise<object> },
): Promise<number> | undefined {
  switch (name) {
    case "internal-watch":
      return runWatchCommand(args).then(() => 0);
    case HASH_SUBCOMMAND:
      return runHashCommand(args);
    case "internal-tries":
      return import("./local/try_host.ts").then(({ runTryHost }) => runTryHost(args));
    case UNPACK_SUBCOMMAND:
      return runUnpackCommand(args);
    case "internal-library-host": {
      const [module = "", context = "", contextCall = ""] = args;
      // It goes on serving after this, and ends its own process.
      return runLibraryHost({ module, context, contextCall, loadTendril }).then(() =>
        new Promise(() => {})
      );
    }
    default:
      return undefined;
  }
}

async function work(options: WorkerCommandOptions): Promise<number> {
  // Before there is a secret in memory; where it cannot be had, a worker is as others are.
  await guardProcess();
  await limitCoreFiles();
  const finder = await ManagerFinder.open(options.target);
  const workspace = await openWorkspace({
    name: workspaceName(finder.name),
    env: process.env,
    ...(options.workspace === undefined ? {} : { directory: options.workspace }),
  });
  const isTalkative = options.isVerbose || process.stderr.isTTY === true;
  const start = async () =>
    await startWorker({
      workspace,
      finder,
      peers: options.peers,
      waiting: (reason) => {
        const limit = formatDuration(options.idleTimeoutMs);
        tell(`waiting for ${finder.manager}, ${limit} at most: ${reason}`);
      },
      ...await offer(options, workspace.path),
      idleTimeoutMs: options.idleTimeoutMs,
      isSingle: options.isSingle,
      hasCleanEnvironment: options.hasCleanEnvironment,
      ...(options.logPath === undefined ? {} : { logPath: options.logPath }),
      logLevel: options.logLevel,
      ...(isTalkative ? { say: (line: string) => void process.stderr.write(`${line}\n`) } : {}),
    });
  const worker = await start().catch(async (error: unknown) => {
    await workspace.close();
    throw error;
  });
  const release = leaveOnSignals(worker);
  const end = await worker.ended;
  release();
  // Without a manager in all its time it has done nothing: whoever started it has to know. One
  // that outlived its manager has ended as it should.
  if (end.kind === "left") return 0;
  tell(end.message);
  return end.kind === "gone" ? 0 : EXIT_FAILURE;
}

/** What it offers, and for how long; with `--verbose` it says where that comes from. */
async function offer(
  options: WorkerCommandOptions,
  workspace: string,
): Promise<
  Pick<WorkerOptions, "resources" | "features" | "gpuIds" | "gpuVariable" | "cpus" | "timeLimit">
> {
  const { resources: stated, share, hasPinnedCores, wallTimeMs, isVerbose } = options;
  const say = (line: string) => isVerbose && tell(line);
  const { env } = process;
  const { bavail, bsize } = statfsSync(workspace);
  const { models, sources, ignored, ...offered } = await detectOffer({
    stated,
    ...(share === undefined ? {} : { share }),
    hasPinnedCores,
    env,
    freeDiskBytes: bavail * bsize,
  });
  const timeLimit = readTimeLimit({ wallTimeMs, env, nowMs: Date.now() }, say);
  for (const line of ignored) say(line);
  const features = [...new Set([...options.features, ...models])];
  say(timeLimit === undefined ? sources : `${sources}, for ${formatDuration(timeLimit.leftMs)}`);
  return { ...offered, features, ...(timeLimit === undefined ? {} : { timeLimit }) };
}

/** SIGTERM and SIGINT have it leave; a second SIGINT, or no end in time, ends it at once. */
function leaveOnSignals(worker: Worker): () => void {
  let limit: ReturnType<typeof setTimeout> | undefined;
  const end = () => process.exit(EXIT_FAILURE);
  const leave = (signal: NodeJS.Signals) => {
    if (limit !== undefined) {
      // The watcher ends what runs and removes the sandboxes.
      if (signal === "SIGINT") end();
      return;
    }
    limit = setTimeout(end, LEAVE_LIMIT_MS);
    worker.leave(`it got ${signal}`);
  };
  const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, leave);
  return () => {
    clearTimeout(limit);
    for (const signal of signals) process.off(signal, leave);
  };
}

function fail(message: string, exitCode: number): number {
  tell(message);
  return exitCode;
}

function tell(message: string): void {
  process.stderr.write(`tendril worker: ${plainText(message, MESSAGE_CHARS_MAX)}\n`);
}
