/**
 * Which of several executors runs a try: a plug point, given to `load` as `chooseExecutor`.
 *
 * @module
 */

import type { TaskId } from "../../shared/ids.ts";
import type { AppKind } from "../core/fact.ts";
import type { AppTarget, Executor, TryFailure, TryWork } from "./executor.ts";

/** A call that needs an executor for its next try. */
export interface CallToPlace {
  /** Number of the call. */
  readonly id: TaskId;
  /** The name of the app. */
  readonly app: string;
  /** `"command"` and the like. */
  readonly kind: AppKind;
  /** Of the call, if it has one. */
  readonly label: string | undefined;
  /** Number of the try, from 1. */
  readonly try: number;
  /** Why the try before it failed. */
  readonly failure: TryFailure | undefined;
  /** Its resources and other options. */
  readonly target: AppTarget;
}

/** An executor that can run it. */
export interface ExecutorState {
  /** Of the executor. */
  readonly label: string;
  /** Tries of this flow that it has been given and that have not ended. */
  readonly openCount: number;
}

/** At least one. */
export type AbleExecutors = readonly [ExecutorState, ...ExecutorState[]];

/**
 * Chooses among the executors that can run a call, in the order in which the flow has them; asked for
 * calls of apps that name no executor, before each try.
 *
 * @returns The label of one of them.
 */
export type ExecutorChooser = (
  call: CallToPlace,
  executors: AbleExecutors,
) => string;

/** The first one: the order in which a flow has its executors says which is best. The default. */
export function firstExecutor(_call: CallToPlace, [first]: AbleExecutors): string {
  return first.label;
}

/** The one with the fewest open tries, of several the first. */
export function leastBusyExecutor(_call: CallToPlace, executors: AbleExecutors): string {
  return executors.reduce((best, one) => one.openCount < best.openCount ? one : best).label;
}

/** The executors that can run that, or an error with what each has against it. */
export function ableExecutors(
  work: TryWork,
  { name, executors }: { readonly name: string; readonly executors: readonly Executor[] },
): readonly [Executor, ...Executor[]] {
  const [only, another] = executors;
  // Most flows have one that takes all.
  if (only !== undefined && another === undefined && only.refusal(work) === undefined) {
    return [only];
  }
  const refusals: string[] = [];
  const [first, ...others] = executors.filter((one) => {
    const refusal = one.refusal(work);
    if (refusal !== undefined) refusals.push(`"${one.label}" ${refusal}`);
    return refusal === undefined;
  });
  if (first !== undefined) return [first, ...others];
  throw new TypeError(`Cannot run "${name}" on any executor of the flow: ${refusals.join("; ")}`);
}
