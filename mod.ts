/**
 * Tendril: data-intensive workflows on clusters. This module is the library and, started by itself,
 * the command line.
 *
 * @module
 */

import process from "node:process";

import * as library from "./mod.ts";
import { EXIT_USAGE } from "./shared/command_line.ts";
import type { CompletedCommand } from "./shared/completion.ts";
import { VERSION } from "./shared/version.ts";

export { VERSION };
export { ClientError } from "./manager/client_error.ts";
export { FileHandle } from "./manager/file_handle.ts";
export { Library } from "./manager/library.ts";
export { Manager } from "./manager/manager.ts";
export { RemoteFile } from "./manager/remote_file.ts";
export { RemoteManager } from "./manager/remote_manager.ts";
export { RemoteTask } from "./manager/remote_task.ts";
export { NdArray, Pickle } from "./shared/nd_array.ts";
export { libraryContext } from "./shared/library_context.ts";
export { TaskHandle } from "./manager/task_handle.ts";
export { describeExplanation } from "./manager/explanation_text.ts";
export { TaskError } from "./manager/task_result.ts";
export {
  AppError,
  CancelledError,
  DependencyError,
  JoinError,
} from "./manager/dataflow/app_error.ts";
export { inProcess, type InProcessOptions } from "./manager/dataflow/in_process.ts";
export { localProcesses, type LocalProcessesOptions } from "./manager/dataflow/local_processes.ts";
export { managed } from "./manager/dataflow/manager_executor.ts";
export { jsonLines, type Monitor } from "./manager/dataflow/monitor.ts";
export {
  type AnySerializer,
  errorSerializer,
  type Serializer,
  urlSerializer,
} from "./manager/dataflow/serializer.ts";
export { constantCost, retryByKind } from "./manager/dataflow/retry_cost.ts";
export { firstExecutor, leastBusyExecutor } from "./manager/dataflow/executor_choice.ts";
export { app, joinApp, pythonApp, shellApp } from "./manager/dataflow/app.ts";
export { memoKey, ownMemoKey } from "./manager/dataflow/memo_key.ts";
export { DEEP_RESOLVER, SHALLOW_RESOLVER } from "./manager/dataflow/dependency.ts";
export { type MadeFacts, PlacedFile } from "./manager/dataflow/placed_file.ts";
export { type StoredContent, StoredValue } from "./manager/dataflow/stored_value.ts";
export { File, MountedFile } from "./manager/dataflow/file.ts";
export { LOCAL_STAGING } from "./manager/dataflow/local_staging.ts";
export { DEFAULT_NAMING } from "./manager/dataflow/output_name.ts";
export { StagingError } from "./manager/dataflow/staging.ts";
export { AUTO } from "./manager/dataflow/stream_option.ts";
export { URL_STAGING } from "./manager/dataflow/url_staging.ts";
export { ZIP_STAGING } from "./manager/dataflow/zip_staging.ts";
export { Flow, load } from "./manager/dataflow/flow.ts";
export { AppFuture, DataFile, DataFuture } from "./manager/dataflow/future.ts";

export type { LogLevel } from "./shared/log.ts";
export type { RetryRule } from "./manager/core/retry.ts";
export type { Placement, Policies } from "./manager/core/policy.ts";
export type { TaskEnd } from "./manager/core/instruction.ts";
export type {
  BoundFile,
  CategoryChange,
  CategorySpec,
  CommandSpec,
  FileOrigin,
  LibrarySpec,
  RecipeSpec,
  TaskDefinition,
  TaskMount,
  TaskTemplate,
} from "./manager/core/event.ts";
export type { CategoryLimits, CategoryOptions } from "./manager/category.ts";
export type { ClientErrorCode } from "./manager/client_error.ts";
export type {
  FileRow,
  LibraryRow,
  TaskLogs,
  TaskRow,
  WorkerRow,
} from "./manager/client_protocol.ts";
export type {
  Duration,
  LocalWorkersOptions,
  ManagerOptions,
  PolicyOptions,
  Size,
  TlsOptions,
} from "./manager/config.ts";
export type {
  CopySource,
  Explanation,
  InputReason,
  NeededFile,
  OfWorkers,
  PassedWorker,
  PlaceReason,
  Producer,
  Reason,
  TryReason,
} from "./manager/core/explanation.ts";
export type { CategoryMode } from "./manager/core/category.ts";
export type { AppFact, AppKind, AppState, Fact } from "./manager/core/fact.ts";
export type { Missing, UnplaceableTasks } from "./manager/core/unplaceable.ts";
export type { FileKind } from "./manager/file_entry.ts";
export type { FileOptions, LocalOptions, TempOptions, UrlOptions } from "./manager/file_options.ts";
export type { FindOptions, KeepOptions, KeptFile } from "./manager/kept_file.ts";
export type { FollowTarget } from "./manager/follow_text.ts";
export type {
  AppEnvironment,
  AppInput,
  AppOptions,
  AppOutput,
  AppRetryHandler,
  AppRetryOptions,
  DeclareOptions,
  MemoOptions,
  RetriedCall,
  RetryAnswer,
  ValueOptions,
} from "./manager/dataflow/app_options.ts";
export type {
  App,
  AppCallOptions,
  Given,
  GivenArguments,
  GivenItems,
  Joined,
  PythonArguments,
  PythonResult,
} from "./manager/dataflow/app_type.ts";
export type {
  FunctionAppOptions,
  JoinAppOptions,
  ModuleAppOptions,
} from "./manager/dataflow/app.ts";
export type { FailedCall } from "./manager/dataflow/app_error.ts";
export type { Reference } from "./shared/canonical_cbor.ts";
export type { CheckpointMode } from "./manager/dataflow/checkpoint.ts";
export type {
  MemoCall,
  MemoCode,
  MemoKeyer,
  MemoParts,
  OwnKey,
} from "./manager/dataflow/memo_key.ts";
export type {
  KeptPlace,
  MemoEntry,
  MemoFilter,
  MemoPlace,
  MemoStore,
  MemoSummary,
  MemoValue,
  PlacedContents,
  RememberedDigest,
} from "./manager/dataflow/memo_store.ts";
export type {
  AbleExecutors,
  CallToPlace,
  ExecutorChooser,
  ExecutorState,
} from "./manager/dataflow/executor_choice.ts";
export type { DependencyResolver } from "./manager/dataflow/dependency.ts";
export type {
  AppBody,
  AppTarget,
  AppTry,
  Executor,
  FailureKind,
  RunningTry,
  StreamName,
  TryEnd,
  TryFailure,
  TryOutput,
  TryPlace,
  TryStreams,
  TryWork,
  TryWritten,
} from "./manager/dataflow/executor.ts";
export type { FlowOptions, OwnFlowOptions } from "./manager/dataflow/flow_options.ts";
export type { CommandValue } from "./manager/dataflow/manager_executor.ts";
export type { FilePlacement } from "./manager/dataflow/placed_file.ts";
export type { FileStagingOptions } from "./manager/dataflow/file.ts";
export type { NamedCall, OutputNaming } from "./manager/dataflow/output_name.ts";
export type {
  Staging,
  StagingFiles,
  StagingMode,
  StagingSite,
} from "./manager/dataflow/staging.ts";
export type { StreamOption, StreamPath } from "./manager/dataflow/stream_option.ts";
export type { BlockOptions } from "./manager/host_change.ts";
export type { LibraryMode, LibraryProgram } from "./shared/library.ts";
export type { FunctionLibraryOptions, LibraryOptions } from "./manager/library_option.ts";
export type { ManagerFiles } from "./manager/manager_files.ts";
export type { FanOutOptions, ItemOptions } from "./manager/fan_out.ts";
export type { MapOptions, ReduceOptions } from "./manager/map_option.ts";
export type { RecordsOptions } from "./manager/records_option.ts";
export type { RunOptions } from "./manager/run_option.ts";
export type { RetryHandler, RetryOptions } from "./manager/retry_option.ts";
export type { MiniTaskOptions } from "./manager/mini_task.ts";
export type {
  InputMountOption,
  InputOptions,
  OutputMountOption,
  OutputOptions,
} from "./manager/mount_option.ts";
export type { CancelOptions, WaitOptions } from "./manager/result_filter.ts";
export type { AppRow } from "./manager/dashboard/call_api.ts";
export type { ByteCounts, ManagerStatus, TaskCounts, WorkerCounts } from "./manager/status.ts";
export type { RefusalCounts, RefusalKind } from "./manager/refusal.ts";
export type {
  ConnectOptions,
  RemoteFileOptions,
  RemoteUrlOptions,
} from "./manager/remote_manager.ts";
export type { RemoteResult } from "./manager/remote_task.ts";
export type {
  RemoteMember,
  RemoteMiniTaskOptions,
  RemoteTaskOptions,
} from "./manager/remote_task_options.ts";
export type { LibraryCallOptions } from "./manager/call_option.ts";
export type { CallOptions, ProcessOptions, TaskOptions } from "./manager/task_definition.ts";
export type {
  CallFunction,
  CallMapOptions,
  FunctionName,
  ItemFunctionName,
  MapFunction,
  PairFunctionName,
  Passed,
  PassedArguments,
  PassedItems,
  PassedWhole,
  ReduceFunction,
  ReturnedBy,
  TakenBy,
} from "./manager/typed_call.ts";
export type { AnyFunction, FunctionContext, NamedFunctions } from "./shared/function_source.ts";
export type { TaskStateName } from "./manager/task_handle.ts";
export type { TaskResult, TaskTimes } from "./manager/task_result.ts";
export type { CacheName, FileId, InstanceId, TaskId, TransferId, WorkerId } from "./shared/ids.ts";
export type { NdData } from "./shared/nd_array.ts";
export type { CustomResources, ResourceRequest, Resources } from "./shared/resources.ts";
export type {
  CacheLevel,
  Exceeded,
  FileFacts,
  LastingLevel,
  Outcome,
  OutputFacts,
  TaskBody,
  TryId,
  TryResult,
  TryTimes,
  Usage,
  UsageSample,
} from "./shared/task.ts";

if (import.meta.main) {
  // Not an exit: what a script left running goes on.
  process.exitCode = await main(process.argv.slice(2));
}

/** Loads the parts of the program by need: a child of a worker starts in no time. */
async function main([name = "help", ...args]: string[]): Promise<number> {
  if (name === "internal-records") {
    const { runRecordCommand } = await import("./manager/monitoring/record_command.ts");
    process.exit(await runRecordCommand());
  }
  if (name === "internal-memo") {
    const { runMemoCommand } = await import("./manager/dataflow/memo_command.ts");
    process.exit(await runMemoCommand());
  }
  if (name === "internal-digest") {
    const { runDigestCommand } = await import("./manager/dataflow/digest_command.ts");
    process.exit(await runDigestCommand());
  }
  if (name === "worker" || name.startsWith("internal-")) {
    const { runInternalCommand, runWorkerCommand } = await import("./worker/cli.ts");
    if (name === "worker") process.exit(await runWorkerCommand(args));
    const running = runInternalCommand(name, { args, loadTendril: () => Promise.resolve(library) });
    if (running !== undefined) process.exit(await running);
  }
  if (name === "cache") {
    const { runCacheCommand } = await import("./worker/cli_cache.ts");
    return await runCacheCommand(args, process.env);
  }
  if (name === "pack") {
    const { runPackCommand } = await import("./worker/cli_pack.ts");
    return await runPackCommand(args, process.env);
  }
  if (name === "internal-complete") {
    const { runComplete } = await import("./manager/cli_completions.ts");
    return await runComplete(await commands(), args);
  }
  if (["version", "--version", "-v"].includes(name)) return printAlone("version", args, VERSION);
  if (["help", "--help", "-h"].includes(name)) {
    const [command, ...others] = args;
    // "help run" is "run --help".
    if (command !== undefined && !command.startsWith("-")) {
      return main([command, "--help", ...others]);
    }
    return printAlone("help", args, await helpText());
  }
  const { runManagerCommand } = await import("./manager/cli.ts");
  const running = runManagerCommand(name, { args, library });
  if (running !== undefined) return await running;
  const names = (await commands()).map((command) => command.name);
  return refuse(`Cannot run "${name}" as a command: expected ${names.join(", ")}`);
}

/** Every command, in the order of the help. */
async function commands(): Promise<CompletedCommand[]> {
  const { MANAGER_COMMANDS } = await import("./manager/cli.ts");
  const { WORKER_COMMAND } = await import("./worker/cli.ts");
  const { CACHE_COMMAND } = await import("./worker/cli_cache.ts");
  const { PACK_COMMAND } = await import("./worker/cli_pack.ts");
  return [
    ...MANAGER_COMMANDS,
    WORKER_COMMAND,
    CACHE_COMMAND,
    PACK_COMMAND,
    { name: "version", summary: "print the version" },
    {
      name: "help",
      summary: "show this text, or a command's",
      operands: { completes: "commands" },
    },
  ];
}

async function helpText(): Promise<string> {
  const lines = (await commands()).map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`);
  return [
    `tendril ${VERSION}: data-intensive workflows on clusters`,
    "",
    "Usage: tendril COMMAND [OPTIONS] [ARGUMENTS]",
    "",
    ...lines,
    "",
    'Start with "tendril init"; "tendril COMMAND --help" shows the options of a command.',
  ].join("\n");
}

/** What takes no arguments prints its text; `--help` is no reason to refuse. */
function printAlone(name: string, args: readonly string[], text: string): number {
  const extra = args.find((argument) => !["--help", "-h"].includes(argument));
  if (extra !== undefined) {
    return refuse(`Cannot take "${extra}" as an argument of ${name}: it takes none`);
  }
  process.stdout.write(`${text}\n`);
  return 0;
}

function refuse(message: string): number {
  process.stderr.write(`tendril: ${message}\n`);
  return EXIT_USAGE;
}
