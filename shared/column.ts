/**
 * Calls and their ends as columns: one list for each field of many, not one map for each of them,
 * and the bytes of all of them in a row. Of a call that does nothing most of what it costs is the
 * keys and the small objects of its messages; lean_message.ts packs what is plain, and the shapes
 * unpack and check it.
 *
 * Numbers that grow are told as steps from the one before, which mostly take a byte.
 *
 * @module
 */

import { copyPart } from "./byte_part.ts";
import type { TaskId } from "./ids.ts";
import { type DispatchedTask, VALUE_BYTES_MAX } from "./protocol.ts";
import type { OutputFacts, TryId, TryResult } from "./task.ts";

/** Numbers of tries. */
export interface TryColumns {
  /** The first number of a task, then steps. */
  readonly taskIds: readonly number[];
  /** Absent where all are first tries. */
  readonly tries?: readonly number[];
}

/** What many calls have in common. */
export interface CallSort {
  /** Index into the message's `shapes`. */
  readonly shape: number;
  readonly function: string;
  /** Absent when it is 0. */
  readonly priority?: number;
}

/** Calls without files. */
export interface CallColumns extends TryColumns {
  readonly sorts: readonly CallSort[];
  /** `{call: index into sorts}`; absent where all are of the first. */
  readonly sortIndexes?: readonly number[];
  /** Of the arguments of each. */
  readonly sizes: readonly number[];
  readonly arguments: Uint8Array;
}

/** Tasks of which many are plain calls. */
export interface TaskColumns {
  readonly calls: CallColumns;
  /** All others, in order. */
  readonly others: readonly DispatchedTask[];
}

/** Ends of calls that succeeded and said nothing. */
export interface ResultColumns extends TryColumns {
  /** Of the value of each. */
  readonly sizes: readonly number[];
  readonly values: Uint8Array;
  /** Epoch microseconds: the first start, then steps. */
  readonly startedAtUs: readonly number[];
  readonly ranUs: readonly number[];
}

/** A plain call. */
type CallTask = DispatchedTask & {
  readonly body: Extract<DispatchedTask["body"], { kind: "call" }>;
};

/** A plain end of a call. */
type ValueResult = TryResult & { readonly value: Uint8Array };

type MoreOfTask = Omit<
  DispatchedTask,
  keyof TryId | "shape" | "priority" | "body" | "inputs" | "outputs"
>;

type MoreOfResult = Omit<
  TryResult,
  keyof TryId | "outcome" | "message" | "stdout" | "stderr" | "value" | "outputs" | "times"
>;

/** A Date holds no more: ECMA-262, 21.4.1.1. */
const INSTANT_US_MAX: number = 8.64e15;

const NO_BYTES = new Uint8Array(0);
const NO_OUTPUTS: readonly OutputFacts[] = Object.freeze([]);
const NO_MOUNTS: readonly never[] = Object.freeze([]);

/** Fields that no plain call has; one that is in neither list does not compile. */
const MORE_OF_TASK: readonly (keyof MoreOfTask)[] = keysOf<MoreOfTask>({
  hasOwnInputs: true,
  hasValueFile: true,
});

/** Fields that no plain result has. */
const MORE_OF_RESULT: readonly (keyof MoreOfResult)[] = keysOf<MoreOfResult>({
  exitCode: true,
  signal: true,
  mount: true,
  isAmbiguous: true,
  valueFile: true,
  used: true,
  exceeded: true,
  series: true,
});

/** Of longer arguments and values a copy costs more than the keys of a map: they stay apart. */
const COLUMN_BYTES_MAX: number = 16 * 1024;

/** True of a call that columns can hold, and are to. */
export function isPlainCall(task: DispatchedTask): task is CallTask {
  if (task.body.kind !== "call" || task.body.arguments.length > COLUMN_BYTES_MAX) return false;
  if (task.inputs.length + task.outputs.length > 0) return false;
  for (const key of MORE_OF_TASK) if (task[key] !== undefined) return false;
  return true;
}

/** True of a result that columns can hold, and are to: those of most calls. */
export function isPlainResult(result: TryResult): result is ValueResult {
  const { outcome, value, message, stdout, stderr, outputs, times } = result;
  if (outcome !== "success" || value === undefined || message !== "") return false;
  if (value.length > COLUMN_BYTES_MAX) return false;
  if (stdout.length + stderr.length + outputs.length > 0 || times.stagedMs !== 0) return false;
  for (const key of MORE_OF_RESULT) if (result[key] !== undefined) return false;
  return true;
}

/** Packs the numbers of tries. */
export function packTries(ids: readonly TryId[]): TryColumns {
  const taskIds = new Array<number>(ids.length);
  let tries: number[] | undefined;
  let before = 0;
  for (let index = 0; index < ids.length; index++) {
    const id = ids[index] as TryId;
    taskIds[index] = id.taskId - before;
    before = id.taskId;
    if (id.try !== 1) tries ??= ids.map((each) => each.try);
  }
  return tries === undefined ? { taskIds } : { taskIds, tries };
}

/** Unpacks the numbers of tries, or says what is wrong with them. */
export function unpackTries(columns: TryColumns): TryId[] | string {
  const fault = faultOfTries(columns);
  if (fault !== undefined) return fault;
  const { taskIds, tries } = columns;
  let taskId = 0;
  return taskIds.map((step, index) => {
    taskId += step;
    return { taskId: taskId as TaskId, try: tries?.[index] ?? 1 };
  });
}

/** Packs plain calls. */
export function packCalls(tasks: readonly CallTask[]): CallColumns {
  const sorts: CallSort[] = [];
  const known = new Map<string, number>();
  let sortIndexes: number[] | undefined;
  let last: CallTask | undefined;
  let sort = 0;
  const parts = new Array<Uint8Array>(tasks.length);
  for (let index = 0; index < tasks.length; index++) {
    const task = tasks[index] as CallTask;
    const { shape, priority, body } = task;
    parts[index] = body.arguments;
    const isAlike = last !== undefined && last.shape === shape && last.priority === priority &&
      last.body.function === body.function;
    if (!isAlike) {
      const key = `${shape} ${priority} ${body.function}`;
      sort = known.get(key) ?? sorts.length;
      if (sort === sorts.length) {
        known.set(key, sort);
        const { function: name } = body;
        sorts.push(
          priority === 0 ? { shape, function: name } : { shape, function: name, priority },
        );
      }
      if (sort > 0) sortIndexes ??= new Array<number>(index).fill(0);
    }
    last = task;
    sortIndexes?.push(sort);
  }
  return {
    ...packTries(tasks),
    sorts,
    ...(sortIndexes === undefined ? {} : { sortIndexes }),
    sizes: parts.map((part) => part.length),
    arguments: joinParts(parts),
  };
}

/** Unpacks plain calls, or says what is wrong with them. */
export function unpackCalls(columns: CallColumns): DispatchedTask[] | string {
  const { taskIds, tries, sorts, sortIndexes, sizes, arguments: bytes } = columns;
  const fault = faultOfTries(columns) ??
    (sizes.length === taskIds.length ? undefined : ".sizes are not one for each task") ??
    faultOfSizes(sizes, bytes.length) ??
    faultOfSorts(columns);
  if (fault !== undefined) return fault;
  let taskId = 0;
  let at = 0;
  return taskIds.map((step, index): DispatchedTask => {
    taskId += step;
    // They are within the lists, as was looked at above.
    const { shape, function: name, priority = 0 } = sorts[sortIndexes?.[index] ?? 0] as CallSort;
    const size = sizes[index] as number;
    const from = at;
    at += size;
    return {
      taskId: taskId as TaskId,
      try: tries?.[index] ?? 1,
      shape,
      priority,
      body: { kind: "call", function: name, arguments: copyPart(bytes, from, size) },
      inputs: NO_MOUNTS,
      outputs: NO_MOUNTS,
    };
  });
}

/** Packs plain ends. */
export function packResults(results: readonly ValueResult[]): ResultColumns {
  let before = 0;
  return {
    ...packTries(results),
    sizes: results.map(({ value }) => value.length),
    values: joinParts(results.map(({ value }) => value)),
    startedAtUs: results.map(({ times: { startedAtMs } }) => {
      const startedAtUs = Math.round(startedAtMs * 1000);
      const step = startedAtUs - before;
      before = startedAtUs;
      return step;
    }),
    ranUs: results.map(({ times: { ranMs } }) => Math.round(ranMs * 1000)),
  };
}

/** Unpacks plain ends, or says what is wrong with them. */
export function unpackResults(columns: ResultColumns): TryResult[] | string {
  const { taskIds, tries, sizes, values, startedAtUs, ranUs } = columns;
  const count = taskIds.length;
  const isEven = sizes.length === count && startedAtUs.length === count && ranUs.length === count;
  const fault = faultOfTries(columns) ??
    (isEven ? undefined : " has columns of other lengths than .taskIds") ??
    faultOfSizes(sizes, values.length) ??
    faultOfSums(startedAtUs, { name: "startedAtUs", least: 0, most: INSTANT_US_MAX });
  if (fault !== undefined) return fault;
  let taskId = 0;
  let at = 0;
  let startUs = 0;
  return taskIds.map((step, index): TryResult => {
    taskId += step;
    startUs += startedAtUs[index] as number;
    const size = sizes[index] as number;
    const from = at;
    at += size;
    return {
      taskId: taskId as TaskId,
      try: tries?.[index] ?? 1,
      outcome: "success",
      message: "",
      stdout: NO_BYTES,
      stderr: NO_BYTES,
      value: copyPart(values, from, size),
      outputs: NO_OUTPUTS,
      times: {
        startedAtMs: startUs / 1000,
        stagedMs: 0,
        ranMs: (ranUs[index] as number) / 1000,
      },
    };
  });
}

/** The names of all fields of `T`, each stated once. */
function keysOf<T>(all: { readonly [Key in keyof T]-?: true }): readonly (keyof T)[] {
  return Object.keys(all) as (keyof T)[];
}

function faultOfTries({ taskIds, tries }: TryColumns): string | undefined {
  if (tries !== undefined && tries.length !== taskIds.length) {
    return ".tries are not one for each task";
  }
  return faultOfSums(taskIds, { name: "taskIds", least: 1, most: Number.MAX_SAFE_INTEGER });
}

/** Steps lead from one number to another within bounds. */
function faultOfSums(
  steps: readonly number[],
  { name, least, most }: { readonly name: string; readonly least: number; readonly most: number },
): string | undefined {
  let sum = 0;
  for (const step of steps) {
    sum += step;
    if (sum < least || sum > most) return `.${name} lead beyond ${least} to ${most}`;
  }
  return undefined;
}

function faultOfSizes(sizes: readonly number[], byteCount: number): string | undefined {
  let sum = 0;
  for (const size of sizes) {
    if (size > VALUE_BYTES_MAX) return `.sizes has one above ${VALUE_BYTES_MAX} bytes`;
    sum += size;
  }
  return sum === byteCount ? undefined : ".sizes are not those of the bytes";
}

function faultOfSorts({ taskIds, sorts, sortIndexes }: CallColumns): string | undefined {
  if (sortIndexes === undefined) {
    return sorts.length > 0 || taskIds.length === 0 ? undefined : ".sorts is empty";
  }
  if (sortIndexes.length !== taskIds.length) return ".sortIndexes are not one for each task";
  const isWithin = sortIndexes.every((index) => index < sorts.length);
  return isWithin ? undefined : ".sortIndexes has one that is not an index of sorts";
}

function joinParts(parts: readonly Uint8Array[]): Uint8Array {
  let sizeBytes = 0;
  for (const part of parts) sizeBytes += part.length;
  const joined = new Uint8Array(sizeBytes);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
