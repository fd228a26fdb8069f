/** What keeps a task that is not at a worker from being scheduled. */

import type { SessionId, TaskId } from "../../shared/ids.ts";
import type { Failure } from "./failure_output.ts";
import type { TryRecord } from "./state.ts";

/** Why a task is not scheduled, whether its inputs are there or not. */
export type Hold =
  /** Its user wants it no sooner, or its last try failed a moment ago. */
  | { readonly kind: "start_after" | "back_off"; readonly untilMs: number }
  /** No worker that has its strict inputs has room for it; strict_input.ts. */
  | { readonly kind: "strict_input" }
  /** Its user is asked whether the try that failed is to be repeated. */
  | {
    readonly kind: "retry_asked";
    readonly untilMs: number;
    readonly attempt: TryRecord;
    readonly failure: Failure;
    /** Of its worker: what the try left there is there as long as it is the same. */
    readonly session: SessionId;
  }
  /** Its arguments hold values of tasks that have not ended; argument.ts. */
  | { readonly kind: "arguments"; readonly awaits: readonly TaskId[] }
  /** Its user has called it off: it ends as soon as it is its turn. */
  | { readonly kind: "called_off" };
