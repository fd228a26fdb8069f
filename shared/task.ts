/** What a task is on every side of the wire: what it asks for and how it can end. */

import type { CacheName, TaskId } from "./ids.ts";
import type { Resources } from "./resources.ts";

/** How a task, or one try of it, ended. */
export type Outcome =
  | "success"
  | "exit"
  | "signal"
  | "start_failed"
  | "input_missing"
  | "input_modified"
  | "output_missing"
  | "transfer_failed"
  | "timeout"
  | "expired"
  | "resources_exhausted"
  | "disk_full"
  | "worker_lost"
  | "library_failed"
  | "call_error"
  | "unsatisfiable"
  | "cancelled";

/** Every outcome, for checks at the edge. */
export const OUTCOMES: readonly Outcome[] = [
  "success",
  "exit",
  "signal",
  "start_failed",
  "input_missing",
  "input_modified",
  "output_missing",
  "transfer_failed",
  "timeout",
  "expired",
  "resources_exhausted",
  "disk_full",
  "worker_lost",
  "library_failed",
  "call_error",
  "unsatisfiable",
  "cancelled",
];

/** One attempt at a task; tries of a task are counted from 1. */
export interface TryId {
  /** The task that is tried. */
  readonly taskId: TaskId;
  /** Which attempt it is. */
  readonly try: number;
}

/** What many tasks have in common; sent once per message, referred to by its index. */
export interface TaskShape {
  /** What each of them is allocated of its worker. */
  readonly resources: Resources;
  /**
   * Amounts of these were not stated: they are shares of what the worker has, and no limits while
   * it has some left. A disk that is a share is not reserved either.
   */
  readonly shares?: readonly ("memory" | "disk")[];
  /** What a try uses is told as it changes, and not only at its most. */
  readonly hasSeries?: boolean;
  /** Variables added to the worker's own environment. */
  readonly env: { readonly [name: string]: string };
  /** Unpacked environments whose `bin` comes first in `PATH`, the first of them foremost. */
  readonly environments: readonly CacheName[];
  /** Wall time after which a try is stopped as `timeout`; 0 is none. */
  readonly timeoutMs: number;
  /** Name of the library whose function is called; absent for a command. */
  readonly library?: string;
  /**
   * Of calls: what the name of the file begins with that a value becomes which is too large for a
   * message; the number of its task follows, and its generation is that of the try.
   */
  readonly valuePrefix?: string;
}

/** What a try of the shape holds of its worker: a disk that is a share is not set apart for it. */
export function heldResources({ resources, shares = [] }: TaskShape): Resources {
  return shares.includes("disk") ? { ...resources, diskBytes: 0 } : resources;
}

/** A file as it appears in a task's sandbox; for a call, as its argument of that index. */
export interface InputMount {
  /** Path relative to the sandbox; empty for the files of a function call. */
  readonly mount: string;
  readonly name: CacheName;
  /** Which making of a temp or output; 0 for files that are not made by tasks. */
  readonly generation: number;
  /** One symbolic link, however it is mounted else. */
  readonly isSymlink?: boolean;
  /** Of a file of a function call: what its path is to end with. */
  readonly pathName?: string;
}

/** A file that a try leaves behind. */
export interface OutputMount {
  readonly mount: string;
  readonly name: CacheName;
  readonly generation: number;
  readonly level: CacheLevel;
  /** True when small contents should ride in the result, as they go to the manager anyway. */
  readonly isReturned: boolean;
  /** It is taken when the try failed and left it, and of no success. */
  readonly only?: "failure";
}

/** Levels of files that the next workflow may find. */
export type LastingLevel = Extract<CacheLevel, "worker" | "forever">;

/** How long workers keep a file; the README tells what each level means. */
export type CacheLevel = "task" | "workflow" | "worker" | "forever";

/** Every cache level, from the shortest life to the longest. */
export const CACHE_LEVELS: readonly CacheLevel[] = ["task", "workflow", "worker", "forever"];

/** What a try does once its inputs are in place. */
export type TaskBody =
  /** Run by `/bin/sh -c` in the sandbox. */
  | {
    readonly kind: "command";
    readonly command: string;
    /** Variables of this task alone, over those of its shape. */
    readonly env?: { readonly [name: string]: string };
  }
  /** Run by an instance of the shape's library; `arguments` is never decoded on the way. */
  | { readonly kind: "call"; readonly function: string; readonly arguments: Uint8Array };

/** Contents of one file as a worker knows them. */
export interface FileFacts {
  /** Its name in every cache. */
  readonly name: CacheName;
  /** Which making of it; 0 when no task makes it. */
  readonly generation: number;
  /** Of a directory: of its canonical tar stream. */
  readonly sizeBytes: number;
  /** SHA-256 of the file, or of the canonical tar stream, in hexadecimal; empty when not taken. */
  readonly digest: string;
  /** Else it is a file. */
  readonly isDirectory: boolean;
  /** True of a file that may be run; absent of all others. */
  readonly isExecutable?: boolean;
}

/** An output as a result reports it. */
export interface OutputFacts extends FileFacts {
  /** The contents, when the mount asked for them and they are small. */
  readonly content?: Uint8Array;
}

/** How one try ended, as the worker tells it. */
export interface TryResult extends TryId {
  /** How it ended. */
  readonly outcome: Outcome;
  /** One line for a person. Empty on success. */
  readonly message: string;
  /** Status of its process, when it had one. */
  readonly exitCode?: number;
  /** `SIGKILL` and the like. */
  readonly signal?: string;
  /** The mount that the outcome is about: of a missing output or a modified input. */
  readonly mount?: string;
  /** The end of what the try wrote, at most `STREAM_KEPT_BYTES` each. */
  readonly stdout: Uint8Array;
  /** As `stdout`, and apart from it. */
  readonly stderr: Uint8Array;
  /** Value that a function call returned, or the error it threw, encoded. */
  readonly value?: Uint8Array;
  /** Where the value is, of one that is too large for a message. */
  readonly valueFile?: FileFacts;
  /** Files that it left behind, as its mounts asked. */
  readonly outputs: readonly OutputFacts[];
  /** Where its time went. */
  readonly times: TryTimes;
  /** Absent of calls, and of what never started. */
  readonly used?: Usage;
  /** Of `resources_exhausted`: what it had too little of, as users name it. */
  readonly exceeded?: Exceeded;
  /** At most `SERIES_SAMPLES_MAX`, evenly spread, when its shape asks for it. */
  readonly series?: readonly UsageSample[];
  /** The failure is not, or not surely, this try's own: it may be repeated without counting. */
  readonly isAmbiguous?: boolean;
}

/** All files that a try has made: its outputs, and its value where that is one. */
export function madeFiles(
  { outputs, valueFile }: Pick<TryResult, "outputs" | "valueFile">,
): readonly OutputFacts[] {
  return valueFile === undefined ? outputs : [...outputs, valueFile];
}

/** The same result without the files that the try has made. */
export function withoutFiles({ valueFile: _valueFile, ...result }: TryResult): TryResult {
  return { ...result, outputs: [] };
}

/** Where the time of a try went, on the worker's clock. */
export interface TryTimes {
  /** When the process or call started, epoch milliseconds; 0 when it never did. */
  readonly startedAtMs: number;
  /** From the arrival of the dispatch until the start: inputs and waiting for room. */
  readonly stagedMs: number;
  /** From the start until the end of the process or call. */
  readonly ranMs: number;
}

/** What the processes of a try used together, at most at one time. */
export interface Usage {
  /** Mean number of cores that were busy while it ran. */
  readonly cores: number;
  /** What its processes had in memory, pages that they share counted once. */
  readonly memoryBytes: number;
  /** What its sandbox held beside what was linked into it. */
  readonly diskBytes: number;
  /** All of them, and those that they started. */
  readonly processCount: number;
  /** Processor time of all processes together. */
  readonly cpuMs: number;
}

/** What a try used at one instant. */
export interface UsageSample {
  /** Since its start. */
  readonly atMs: number;
  /** So far. */
  readonly cpuMs: number;
  /** As of `Usage`, at that instant. */
  readonly memoryBytes: number;
  /** As of `Usage`, when its sandbox was looked at last. */
  readonly diskBytes: number;
  /** As of `Usage`, at that instant. */
  readonly processCount: number;
}

/** A limit that a try went beyond. */
export interface Exceeded {
  /** As users name it. */
  readonly resource: "memory" | "disk";
  /** In the unit of the resource: what it was allocated, or all that was left at its worker. */
  readonly limit: number;
  /** When it was stopped. */
  readonly used: number;
}
