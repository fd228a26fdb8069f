/**
 * Types of calls: which functions a module exports, and what may be passed for their arguments.
 * `unknown` as the module stands for functions of any name that take and return anything.
 *
 * @module
 */

import type { NdArray, Pickle } from "../shared/nd_array.ts";
import type { FanOutOptions, ItemOptions } from "./fan_out.ts";
import type { FileHandle } from "./file_handle.ts";
import type { TaskHandle } from "./task_handle.ts";

/** Objects that are passed as they are: nothing in them stands for something else. */
export type PassedWhole =
  | ((...args: never[]) => unknown)
  | ArrayBufferView
  | Date
  | FileHandle
  | NdArray
  | Pickle
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | TaskHandle<unknown>;

/**
 * What may be passed where a function takes `T`: a `T`; the handle of a call or task that gives one;
 * for a text a file, of which the function has the absolute path; and such things in arrays and plain
 * objects.
 */
export type Passed<T> =
  | T
  | TaskHandle<T>
  | (string extends T ? FileHandle : never)
  | (T extends PassedWhole ? never
    : T extends readonly (infer Item)[] ? PassedItems<Item>
    : T extends object ? { [Key in keyof T]: Passed<T[Key]> }
    : never);

/** What may be passed for an array; an interface, which types that contain themselves may name. */
export interface PassedItems<Item> extends ReadonlyArray<Passed<Item>> {}

/** What may be passed for each of these arguments. */
export type PassedArguments<Arguments extends readonly unknown[]> = {
  [Index in keyof Arguments]: Passed<Arguments[Index]>;
};

/** Names of the functions that a module exports. */
export type FunctionName<Module> =
  & {
    [Name in keyof Module]: Module[Name] extends (...args: never[]) => unknown ? Name : never;
  }[keyof Module]
  & string;

/** Names of those that take one argument. */
export type ItemFunctionName<Module> =
  & { [Name in keyof Module]: Module[Name] extends (item: never) => unknown ? Name : never }[
    keyof Module
  ]
  & string;

/** Names of those that make one value of two, or a promise of it. */
export type PairFunctionName<Module> =
  & {
    [Name in keyof Module]: Module[Name] extends (a: infer T, b: infer T) => infer R
      ? Awaited<R> extends T ? Name : never
      : never;
  }[keyof Module]
  & string;

/** What a call of this function gives. */
export type ReturnedBy<Function> = Function extends (...args: never[]) => infer R ? Awaited<R>
  : never;

/** What a call of this function takes. */
export type TakenBy<Function> = Function extends (...args: infer A) => unknown ? A : never;

/** `Library.call` of a library that is made of `Module`. */
export type CallFunction<Module> = unknown extends Module
  ? <T = unknown>(name: string, ...args: readonly unknown[]) => TaskHandle<T>
  : <Name extends FunctionName<Module>>(
    name: Name,
    ...args: PassedArguments<TakenBy<Module[Name]>>
  ) => TaskHandle<ReturnedBy<Module[Name]>>;

/** How `Library.map` calls a function. */
export interface CallMapOptions extends ItemOptions {
  /**
   * Items of one call: more of them where each takes little time. Not of commands, which have no
   * call for many. Default 1.
   */
  readonly chunk?: number;
}

/** `Library.map` of a library that is made of `Module`. */
export type MapFunction<Module> = unknown extends Module ? <T = unknown>(
    name: string,
    items: Iterable<unknown>,
    options?: CallMapOptions,
  ) => Promise<T[]>
  : <Name extends ItemFunctionName<Module>>(
    name: Name,
    items: Iterable<Passed<TakenBy<Module[Name]>[0]>>,
    options?: CallMapOptions,
  ) => Promise<ReturnedBy<Module[Name]>[]>;

/** `Library.treeReduce` of a library that is made of `Module`. */
export type ReduceFunction<Module> = unknown extends Module ? <T = unknown>(
    name: string,
    items: Iterable<unknown>,
    options?: FanOutOptions,
  ) => Promise<T>
  : <Name extends PairFunctionName<Module>>(
    name: Name,
    items: Iterable<Passed<TakenBy<Module[Name]>[0]>>,
    options?: FanOutOptions,
  ) => Promise<ReturnedBy<Module[Name]>>;
