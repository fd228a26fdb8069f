/** What the kernel asks of the memory of a flow. */

import type { CallEnd, CallRecord } from "./call.ts";
import type { TryEnd } from "./executor.ts";
import type { Recipe } from "./recipe.ts";

/** Remembers results of calls. */
export interface CallMemory {
  /** Whether results of calls of this app are remembered. */
  isFor(recipe: Recipe): boolean;
  /**
   * What an earlier call like it gave, or one that is under way gives; undefined when it is to run,
   * which `keep` or `ended` tells the end of.
   */
  recall(call: CallRecord): Promise<CallEnd | undefined>;
  /** Remembers what a call gave; resolves when that is as safe as it was to be. */
  keep(call: CallRecord, end: Extract<TryEnd, { kind: "done" }>): Promise<void>;
  /** A call is over, in whatever way: calls that are the same go on. */
  ended(call: CallRecord): void;
  /**
   * Sees to it that what was remembered of a call that has ended is there, or that the call runs
   * again; undefined when there is nothing to do.
   */
  ensure(call: CallRecord): Promise<void> | undefined;
}
