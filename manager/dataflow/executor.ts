/**
 * Executors: where the tries of calls run. A plug point; each implementation passes the suite in
 * `tests/contract/executor.ts`.
 *
 * @module
 */

import type { AnyFunction, FunctionContext } from "../../shared/function_source.ts";
import type { TaskId } from "../../shared/ids.ts";
import type { Outcome } from "../../shared/task.ts";
import type { FileHandle } from "../file_handle.ts";
import type { LibraryCallOptions } from "../call_option.ts";
import type { Manager } from "../manager.ts";
import type { ProcessOptions } from "../task_definition.ts";
import type { TaskHandle } from "../task_handle.ts";
import type { File } from "./file.ts";
import type { PlacedFile } from "./placed_file.ts";
import type { StoredValue } from "./stored_value.ts";

/** What a try runs. The same object for all calls of one app. */
export type AppBody =
  /** A function by value, with what it uses by name. */
  | {
    readonly kind: "javascript";
    readonly code: "value";
    readonly function: string;
    readonly fn: AnyFunction;
    readonly context: FunctionContext;
  }
  /** An export of a module. */
  | {
    readonly kind: "javascript";
    readonly code: "module";
    readonly function: string;
    readonly module: string | URL;
    readonly from?: string | URL;
  }
  /** An export of a module that is this text, with absolute paths of what it imports. */
  | {
    readonly kind: "javascript";
    readonly code: "text";
    readonly function: string;
    readonly text: string;
  }
  | {
    readonly kind: "python";
    readonly function: string;
    /** As `LibraryOptions.python`. */
    readonly module: string | URL;
    readonly from?: string | URL;
  }
  /** The command itself is in the try. */
  | { readonly kind: "command"; readonly function: string };

/** What the process of a try has; the same object for all calls with the same options. */
export interface AppTarget {
  /** What runs. */
  readonly body: AppBody;
  /** Resources and variables. */
  readonly process: Omit<ProcessOptions, "environment">;
  /** Archives of software, or what was declared of them, the foremost first. */
  readonly environments: readonly (string | File | FileHandle)[];
  /** What calls and tasks have alike: priority, category, features and the like. */
  readonly call: LibraryCallOptions;
}

/** An output of a try. */
export interface TryOutput {
  /** Where the call leaves it, from its working directory. */
  readonly mount: string;
  /** Where it is to be when the try has succeeded; undefined leaves it where it was made. */
  readonly to?: File;
  /** Contents are added to what is there. */
  readonly isAppended?: boolean;
}

/** What a process writes, of its two streams. */
export type StreamName = "stdout" | "stderr";

/** What a try wrote, whole: in a file, or as text where that is all that is known of it. */
export type TryStreams = { readonly [Stream in StreamName]?: PlacedFile | string };

/** What a try is, whatever its arguments are. */
export interface TryWork {
  /** What it is to run. */
  readonly target: AppTarget;
  /** `{name: output}` */
  readonly outputs: { readonly [name: string]: TryOutput };
}

/** One try of a call; all that it depends on is there. */
export interface AppTry extends TryWork {
  /** Number of the call. */
  readonly callId: TaskId;
  /** From 1. */
  readonly try: number;
  /** The name of the app. */
  readonly app: string;
  /** Of the call, if it has one. */
  readonly label: string | undefined;
  /**
   * Of a function: plain values; at any depth `PlacedFile` for files, of which it has the absolute
   * path, and `StoredValue` for values of which `owns` was true.
   */
  readonly args: readonly unknown[];
  /** Of a command. */
  readonly command?: string;
  /** `{mount: file}`, read by the call under these names. */
  readonly inputs: { readonly [mount: string]: PlacedFile };
  /** Of these all that it writes is wanted, in `streams` of its end; undefined is none. */
  readonly streams?: readonly StreamName[];
}

/** What is known of where a try ran. */
export interface TryPlace {
  /** Of a manager's worker. */
  readonly workerId?: string | undefined;
  /** Name of the machine. */
  readonly host?: string | undefined;
}

/** Ways in which a try fails: those of tasks, and that the executor did not take it. */
export type FailureKind = Exclude<Outcome, "success"> | "refused";

/** Why a try failed. */
export interface TryFailure extends TryPlace {
  /** In which way. */
  readonly kind: FailureKind;
  /** One line. */
  readonly message: string;
  /** What the function threw, with its stack, or what refused the try. */
  readonly cause?: unknown;
  /** Of a process that ended by itself. */
  readonly exitCode?: number;
  /** `SIGKILL` and the like. */
  readonly signal?: string;
  /** The end of what it wrote. */
  readonly stdout?: string;
  /** As `stdout`, and apart from it. */
  readonly stderr?: string;
}

/** What a try wrote, where that was wanted. */
export interface TryWritten {
  /** Those of `AppTry.streams` of which something is known, also of a try that failed. */
  readonly streams?: TryStreams;
  /** Lets go of the files in `streams`; called once they were read. */
  readonly release?: () => void;
}

/** How a try ended; a try that was cancelled may end in any way. */
export type TryEnd =
  | TryPlace & TryWritten & {
    readonly kind: "done";
    readonly value: StoredValue;
    /** `{name: where it is}`, each of those that the try was to make. */
    readonly outputs: { readonly [name: string]: PlacedFile };
    /** How long it ran, if that is known. */
    readonly ranMs?: number;
  }
  | TryWritten & { readonly kind: "failed"; readonly failure: TryFailure };

/** A try under way. */
export interface RunningTry {
  /** The task of the manager that it is. */
  readonly task?: TaskHandle<unknown> | undefined;
  /** Ends it, with all that it has started; its `onEnd` is called then as well. */
  cancel(): void;
}

/** Who runs tries. */
export interface Executor {
  /** Unique in its flow. */
  readonly label: string;
  /** The manager whose tasks its tries are. */
  readonly manager?: Manager;
  /**
   * Why it does not take that, as the end of a sentence that its label begins: `does not take option
   * gpus`. Undefined of what it runs.
   */
  refusal(work: TryWork): string | undefined;
  /**
   * Whether outputs come to that place as part of their try. Others are left where they were made,
   * and brought there by a `Staging` once the try has succeeded. Default: none.
   */
  places?(file: File): boolean;
  /**
   * Whether it passes that value on by itself, as what it has made. Others are given to it as plain
   * values. Default: none.
   */
  owns?(value: StoredValue): boolean;
  /**
   * Begins a try, at once or later.
   *
   * @param onEnd Called once, never before `submit` has returned.
   * @throws {TypeError | RangeError} What cannot run: an argument that cannot travel, an option.
   */
  submit(aTry: AppTry, onEnd: (end: TryEnd) => void): RunningTry;
  /** Ends what runs, and all that it has started. */
  close(): Promise<void>;
}
