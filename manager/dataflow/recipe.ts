/** What an app is made of: all that its calls have alike. */

import type { AnyFunction, FunctionContext } from "../../shared/function_source.ts";
import type { AppKind } from "../core/fact.ts";
import {
  type AppInputs,
  type AppOptions,
  type CheckedRetry,
  type MemoOptions,
  readApp,
} from "./app_options.ts";
import type { AppBody, AppTarget, TryOutput } from "./executor.ts";
import type { StagingMode } from "./staging.ts";
import type { CheckedStreams } from "./stream_option.ts";

/** What an app runs. */
export type AppCode =
  | AppBody
  /** Makes the command, here. */
  | { readonly kind: "command"; readonly function: string; readonly make: AnyFunction }
  /** Returns futures, here. */
  | { readonly kind: "join"; readonly function: string; readonly fn: AnyFunction };

/** A declared app with the options of a call. */
export interface Recipe {
  readonly name: string;
  readonly kind: AppKind;
  /** What executors run; undefined of a join. */
  readonly target: AppTarget | undefined;
  /** What runs here: makes the command, or returns futures. */
  readonly fn: AnyFunction | undefined;
  readonly outputs: { readonly [name: string]: TryOutput };
  /** Labels; empty leaves it to the flow. */
  readonly executors: readonly string[];
  readonly memoize: boolean | MemoOptions | undefined;
  readonly label: string | undefined;
  readonly category: string | undefined;
  readonly retry: CheckedRetry;
  /** Files that are there under these names; undefined where there are none. */
  readonly inputs: AppInputs | undefined;
  /** Where what it writes goes; undefined where nobody has asked. */
  readonly streams: CheckedStreams | undefined;
  /** How its files come to it that do not say so themselves. */
  readonly staging: StagingMode | undefined;
}

/**
 * Makes a recipe.
 *
 * @throws {TypeError | RangeError} When an option is wrong, or does not fit the app.
 */
export function recipeOf(
  code: AppCode,
  { name, options }: { readonly name: string; readonly options: AppOptions },
): Recipe {
  const { environments, process, call, ...checked } = readApp(options, `app "${name}"`);
  const common = { name, ...checked, category: call.category ?? name };
  switch (code.kind) {
    case "join":
      checkJoin(name, options);
      return { ...common, kind: code.kind, fn: code.fn, target: undefined };
    case "command": {
      const body = { kind: "command", function: code.function } as const;
      const target: AppTarget = { body, process, environments, call: withCategory(call, name) };
      return { ...common, kind: code.kind, fn: "make" in code ? code.make : undefined, target };
    }
    default: {
      const target: AppTarget = {
        body: code,
        process,
        environments,
        call: withCategory(call, name),
      };
      return { ...common, kind: code.kind, fn: undefined, target };
    }
  }
}

/** A function by value, as a body. */
export function valueBody(fn: AnyFunction, name: string, context: FunctionContext): AppBody {
  return { kind: "javascript", code: "value", function: name, fn, context };
}

/** What joins have no use for is refused, as nothing of them runs elsewhere. */
const JOIN_OPTIONS: ReadonlySet<string> = new Set(["label", "category", "memoize"]);

function checkJoin(name: string, options: object): void {
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined || JOIN_OPTIONS.has(option)) continue;
    throw new TypeError(
      `Cannot take ${option} as an option of join "${name}": its function runs here, and the ` +
        "calls that it makes have such options",
    );
  }
}

/** Tasks of one app are alike in what they use. */
function withCategory<Call extends { readonly category?: string }>(call: Call, name: string): Call {
  return call.category === undefined ? { ...call, category: name } : call;
}
