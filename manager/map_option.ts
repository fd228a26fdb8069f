/** Options of `map`, `pair` and `treeReduce` of a manager, which ship a function by value. */

import type { FunctionContext } from "../shared/function_source.ts";
import {
  chunkSize,
  FAN_OUT_READERS,
  type FanOutOptions,
  ITEM_READERS,
  type ItemOptions,
} from "./fan_out.ts";
import { checkOptionNames, count, type Readers, readOptions } from "./option.ts";
import { functionContext, type RunOptions } from "./run_option.ts";
import { CALL_READERS, type CallOptions } from "./task_definition.ts";

/** Values that one task combines, at most. */
const ARITY_MAX = 10_000;

/** Items of one task, unless it is said. */
const CHUNK_SIZE = 1;

/** Values that one task combines, unless it is said. */
const ARITY = 2;

/** What each of the tasks is given. */
type EachTask = Omit<CallOptions, "inputs" | "outputs">;

const { inputs: _inputs, outputs: _outputs, ...EACH_READERS } = CALL_READERS;

/** What a function is shipped with. */
type ShippedOptions = Pick<RunOptions, "context">;

const SHIPPED_READERS: Readers<ShippedOptions> = { context: functionContext };

/** Options of `map` and `pair`. */
export interface MapOptions
  extends ItemOptions, Pick<RunOptions, "context">, Omit<CallOptions, "inputs" | "outputs"> {
  /** Items of one task: more of them where each takes little time. Default 1. */
  readonly chunkSize?: number;
}

/** Options of `treeReduce`. */
export interface ReduceOptions
  extends FanOutOptions, Pick<RunOptions, "context">, Omit<CallOptions, "inputs" | "outputs"> {
  /** Values that one task combines. Default 2. */
  readonly arity?: number;
}

/** What the options of a fan-out of a shipped function are, told apart. */
interface ReadShipped {
  /** What each of its tasks is given. */
  readonly call: EachTask;
  readonly context: FunctionContext;
}

/** Checks the options of `owner`; those of its tasks are checked as they are submitted. */
export function readMap(
  owner: string,
  options: MapOptions,
): ReadShipped & { readonly items: ItemOptions & { readonly chunkSize: number } } {
  type Own = ItemOptions & ShippedOptions & { readonly chunkSize?: number };
  const readers: Readers<Own> = { ...ITEM_READERS, ...SHIPPED_READERS, chunkSize };
  checkOptionNames(options, owner, { ...readers, ...EACH_READERS });
  const { signal, failures, context: names, chunkSize: size, ...call } = options;
  const given = { signal, failures, context: names, chunkSize: size };
  const { context = {}, ...read } = readOptions<Own>(given, owner, readers);
  return { items: { ...read, chunkSize: read.chunkSize ?? CHUNK_SIZE }, call, context };
}

/** Checks the options of `treeReduce`. */
export function readReduce(
  options: ReduceOptions,
): ReadShipped & { readonly tree: FanOutOptions & { readonly arity: number } } {
  type Own = FanOutOptions & ShippedOptions & { readonly arity?: number };
  const owner = "treeReduce";
  const readers: Readers<Own> = {
    ...FAN_OUT_READERS,
    ...SHIPPED_READERS,
    arity: count(2, ARITY_MAX),
  };
  checkOptionNames(options, owner, { ...readers, ...EACH_READERS });
  const { signal, arity, context: names, ...call } = options;
  const given = { signal, arity, context: names };
  const { context = {}, ...read } = readOptions<Own>(given, owner, readers);
  return { tree: { ...read, arity: read.arity ?? ARITY }, call, context };
}
