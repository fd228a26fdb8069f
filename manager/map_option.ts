/** Options of `map`, `pair` and `treeReduce` of a manager, which ship a function by value. */

import {
  chunkSize,
  FAN_OUT_READERS,
  type FanOutOptions,
  ITEM_READERS,
  type ItemOptions,
} from "./fan_out.ts";
import { checkOptionNames, count, type Readers, readOptions } from "./option.ts";
import { CALL_READERS, type CallOptions } from "./task_definition.ts";

/** Values that one task combines, at most. */
const ARITY_MAX = 10_000;

/** Items of one task, unless it is said. */
const CHUNK_SIZE = 1;

/** Values that one task combines, unless it is said. */
const ARITY = 2;

/** What each of the tasks is given. */
type EachTask = Omit<CallOptions, "outputs">;

const { outputs: _, ...EACH_READERS } = CALL_READERS;

/** Options of `map` and `pair`. */
export interface MapOptions extends ItemOptions, Omit<CallOptions, "outputs"> {
  /** Items of one task: more of them where each takes little time. Default 1. */
  readonly chunkSize?: number;
}

/** Options of `treeReduce`. */
export interface ReduceOptions extends FanOutOptions, Omit<CallOptions, "outputs"> {
  /** Values that one task combines. Default 2. */
  readonly arity?: number;
}

/** Checks the options of `owner`; those of its tasks are checked as they are submitted. */
export function readMap(
  owner: string,
  options: MapOptions,
): { readonly items: ItemOptions & { readonly chunkSize: number }; readonly call: EachTask } {
  const readers: Readers<ItemOptions & { chunkSize?: number }> = { ...ITEM_READERS, chunkSize };
  checkOptionNames(options, owner, { ...readers, ...EACH_READERS });
  const { signal, failures, chunkSize: size, ...call } = options;
  const given = { signal, failures, chunkSize: size };
  const read = readOptions<ItemOptions & { chunkSize?: number }>(given, owner, readers);
  return { items: { ...read, chunkSize: read.chunkSize ?? CHUNK_SIZE }, call };
}

/** Checks the options of `treeReduce`. */
export function readReduce(
  options: ReduceOptions,
): { readonly tree: FanOutOptions & { readonly arity: number }; readonly call: EachTask } {
  const owner = "treeReduce";
  const readers = { ...FAN_OUT_READERS, arity: count(2, ARITY_MAX) };
  checkOptionNames(options, owner, { ...readers, ...EACH_READERS });
  const { signal, arity, ...call } = options;
  const read = readOptions<FanOutOptions & { arity?: number }>({ signal, arity }, owner, readers);
  return { tree: { ...read, arity: read.arity ?? ARITY }, call };
}
