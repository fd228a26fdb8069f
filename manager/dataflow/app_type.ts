/** Types of apps: what may be given for an argument, and what a call gives. */

import type { FileHandle } from "../file_handle.ts";
import type { TaskHandle } from "../task_handle.ts";
import type { PassedWhole } from "../typed_call.ts";
import type { AppOptions, AppOutput } from "./app_options.ts";
import type { File } from "./file.ts";
import type { AppFuture, DataFile, DataFuture } from "./future.ts";

/**
 * What may be given where a function takes `T`: a `T`; a future or promise of one; a file where it
 * takes a text, which is then its path; and such things in arrays and plain objects.
 */
export type Given<T> =
  | T
  | PromiseLike<T>
  | TaskHandle<T>
  | (string extends T ? File | DataFuture | FileHandle : never)
  | (File extends T ? DataFuture | FileHandle : never)
  | (T extends PassedWhole | File ? never
    : T extends readonly (infer Item)[] ? GivenItems<Item>
    : T extends object ? { readonly [Key in keyof T]: Given<T[Key]> }
    : never);

/** What may be given for an array; an interface, which types that contain themselves may name. */
export interface GivenItems<Item> extends ReadonlyArray<Given<Item>> {}

/** What may be given for each of these arguments. */
export type GivenArguments<Arguments extends readonly unknown[]> = {
  [Index in keyof Arguments]: Given<Arguments[Index]>;
};

/** What a join gives whose function returns `T`: the values of the futures in their places. */
export type Joined<T> = T extends AppFuture<infer Value, string> ? Value
  : T extends DataFuture ? DataFile
  : T extends PromiseLike<infer Value> ? Joined<Value>
  : T extends PassedWhole | File ? T
  : T extends readonly unknown[] ? { -readonly [Index in keyof T]: Joined<T[Index]> }
  : T extends object ? { [Key in keyof T]: Joined<T[Key]> }
  : T;

/** Options of calls: those of apps, and where some of the files go that the app has declared. */
export type AppCallOptions<Outputs extends string> =
  & Omit<AppOptions<Outputs>, "outputs">
  & {
    /** By the names of the app's own. */
    readonly outputs?: [Outputs] extends [never] ? never
      : { readonly [Name in Outputs]?: AppOutput };
  };

/** A declared app: calling it gives a future at once. */
export interface App<
  Arguments extends readonly unknown[],
  Result,
  Outputs extends string = never,
> {
  (...args: GivenArguments<Arguments>): AppFuture<Result, Outputs>;
  /** How it is called where it is shown. */
  readonly appName: string;
  /**
   * The same app with other options for the calls made through what this returns.
   *
   * @throws {TypeError | RangeError} When one is wrong.
   *
   * @example
   * ```ts
   * await simulate.with({ cores: 4, retries: 3 })(seed);
   * ```
   */
  with(options: AppCallOptions<Outputs>): App<Arguments, Result, Outputs>;
}

/** What a function of Python takes and returns, or what it returns alone. */
export type PythonArguments<T> = T extends (...args: infer A) => unknown ? A : unknown[];

/** See `PythonArguments`. */
export type PythonResult<T> = T extends (...args: never[]) => infer R ? Awaited<R> : T;
