/**
 * Apps: functions whose calls give futures, and run wherever there is room.
 *
 * @module
 */

import { type AnyFunction, functionsModule } from "../../shared/function_source.ts";
import { show } from "../option.ts";
import {
  type AppOptions,
  type DeclareOptions,
  mergeOptions,
  type ValueOptions,
} from "./app_options.ts";
import { declaredName } from "./app_name.ts";
import type { App, Joined, PythonArguments, PythonResult } from "./app_type.ts";
import { currentFlow } from "./flow.ts";
import type { CommandValue } from "./manager_executor.ts";
import { type AppCode, recipeOf, valueBody } from "./recipe.ts";

/** Options of an app of one's own function. */
export type FunctionAppOptions<Outputs extends string> =
  & AppOptions<Outputs>
  & DeclareOptions
  & ValueOptions;

/** Options of a join: what it calls has the others. */
export type JoinAppOptions =
  & Pick<AppOptions<never>, "label" | "category" | "memoize">
  & DeclareOptions;

/** Options of an app of an export of a module. */
export interface ModuleAppOptions<Outputs extends string>
  extends AppOptions<Outputs>, DeclareOptions {
  /** What a relative path starts from: `import.meta.url`. Default: the folder of the script. */
  readonly from?: string | URL;
}

/**
 * Declares an app of a function, which travels as its source: it may use its arguments, what its
 * `context` gives it, and globals of the worker. It runs in a process that is kept for its calls.
 *
 * @returns What calls it.
 * @throws {TypeError} When the function uses what cannot travel; the message names it.
 *
 * @example
 * ```ts
 * await using flow = await load({ workers: 2 });
 * const add = app((a: number, b: number) => a + b);
 * console.log(await add(add(1, 2), 3)); // 6
 * ```
 */
export function app<A extends unknown[], R, Outputs extends string = never>(
  fn: (...args: A) => R,
  options?: FunctionAppOptions<Outputs>,
): App<A, Awaited<R>, Outputs>;
/**
 * Declares an app of the export `name` of a module, which is bundled with what it imports. At
 * workers the module is imported: what it does at its top level happens there too.
 *
 * @typeParam F The type of the function.
 * @param module Its path or url; `import.meta.url` for the module that says so.
 *
 * @example
 * ```ts
 * const align = app<typeof import("./align.ts").align>("./align.ts", "align");
 * ```
 */
export function app<F extends AnyFunction, Outputs extends string = never>(
  module: string | URL,
  name: string,
  options?: ModuleAppOptions<Outputs>,
): App<Parameters<F>, Awaited<ReturnType<F>>, Outputs>;
export function app(
  given: AnyFunction | string | URL,
  second: object | string = {},
  third: ModuleAppOptions<string> = {},
): App<unknown[], unknown, string> {
  if (typeof given !== "function") {
    return moduleApp("javascript", { module: given, name: second, options: third });
  }
  const { context = {}, name = nameOf(given, app), ...options } = second as FunctionAppOptions<
    string
  >;
  const exported = /^[A-Za-z_$][\w$]*$/.test(name) ? name : "run";
  // What cannot travel is said here, and not by the first call.
  functionsModule({ [exported]: given as never }, context, "context");
  return declare(valueBody(given, exported, context), name, options);
}

/**
 * Declares an app of a command: the function, which runs here, returns it as text. A file among its
 * arguments is, as text, the name by which the command finds it; the call gives what the command
 * wrote.
 *
 * @example
 * ```ts
 * const sort = shellApp((table: File) => `sort ${table} > sorted`, { outputs: { sorted: "sorted" } });
 * console.log(await sort(new File("names.txt")).outputs.sorted.text());
 * ```
 */
export function shellApp<A extends unknown[], Outputs extends string = never>(
  fn: (...args: A) => string | Promise<string>,
  options: AppOptions<Outputs> & DeclareOptions = {},
): App<A, CommandValue, Outputs> {
  checkFunction(fn, "shellApp");
  const { name = nameOf(fn, shellApp), ...others } = options;
  return declare({ kind: "command", function: name, make: fn as AnyFunction }, name, others);
}

/**
 * Declares an app of a function of Python: `python` is as that of libraries, the path of a module or
 * package, or source text.
 *
 * @typeParam T What it returns, or the type of the function.
 *
 * @example
 * ```ts
 * const area = pythonApp<number>("def area(width, height):\n    return width * height\n", "area");
 * console.log(await area(6, 7)); // 42
 * ```
 */
export function pythonApp<T = unknown, Outputs extends string = never>(
  python: string | URL,
  name: string,
  options: ModuleAppOptions<Outputs> = {},
): App<PythonArguments<T>, PythonResult<T>, Outputs> {
  return moduleApp("python", { module: python, name, options });
}

/**
 * Declares an app of a function that calls others: it runs here, and returns futures, alone or in
 * arrays and objects. A call of it gives their values.
 *
 * @example
 * ```ts
 * const tree = joinApp((depth: number): AppFuture<number> => depth === 0 ? leaf() : add(tree(depth - 1), 1));
 * ```
 */
export function joinApp<A extends unknown[], R>(
  fn: (...args: A) => R,
  options: JoinAppOptions = {},
): App<A, Joined<R>> {
  checkFunction(fn, "joinApp");
  const { name = nameOf(fn, joinApp), ...others } = options;
  return declare({ kind: "join", function: name, fn: fn as AnyFunction }, name, others);
}

function moduleApp<Called>(
  kind: "javascript" | "python",
  { module, name: called, options }: {
    readonly module: string | URL;
    readonly name: unknown;
    readonly options: ModuleAppOptions<string>;
  },
): Called {
  if (!(module instanceof URL) && typeof module !== "string") {
    throw new TypeError(
      `Cannot take "${show(module)}" as an app: expected a function, or a module`,
    );
  }
  if (typeof called !== "string" || called === "") {
    throw new TypeError(
      `Cannot take "${show(called)}" as the name of a function of "${module}": expected text`,
    );
  }
  const { from, name = called, ...others } = options;
  const place = { function: called, module, ...(from === undefined ? {} : { from }) };
  const code: AppCode = kind === "python" ? { kind, ...place } : { kind, code: "module", ...place };
  return declare<Called>(code, name, others);
}

/** What calls an app; its type is the caller's to say. */
function declare<Called>(code: AppCode, name: string, options: AppOptions): Called {
  const recipe = recipeOf(code, { name, options });
  const call = (...args: readonly unknown[]): unknown => currentFlow(name).call(recipe, args);
  const called = Object.assign(call, {
    appName: name,
    with: (more: AppOptions): Called => declare<Called>(code, name, mergeOptions(options, more)),
  });
  return called as Called;
}

function checkFunction(fn: unknown, owner: string): void {
  if (typeof fn === "function") return;
  throw new TypeError(`Cannot take "${show(fn)}" as the function of ${owner}: expected a function`);
}

function nameOf({ name }: AnyFunction, declaring: (...args: never[]) => unknown): string {
  return name === "" ? declaredName(declaring) : name;
}
