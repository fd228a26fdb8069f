/** What a simulated host needs of the rest of its world, and what it is told of its tries. */

import type { TransferId } from "../../shared/ids.ts";
import type { DispatchedTask } from "../../shared/protocol.ts";
import type { RandomState } from "../../shared/random.ts";
import type { FileFacts, Outcome, TaskShape } from "../../shared/task.ts";
import type { WorkerInstruction } from "../../worker/core/instruction.ts";
import type { Clock } from "./clock.ts";
import type { Connection } from "./network.ts";
import type { SimWorker } from "./sim_worker.ts";
import type { ReadFile, Truth } from "./truth.ts";

/** How a try goes if nothing disturbs it. One that ends as `input_modified` writes to an input. */
export interface TryPlan {
  readonly outcome: Outcome;
  readonly ranMs: number;
  /** Found in the sandbox halfway. */
  readonly writtenBytes?: number;
  /** Memory that it has at its end, growing evenly; one that is limited to less ends before. */
  readonly peakBytes?: number;
}

/** What a try was given and what it used. */
export interface UseEnd {
  readonly shape: TaskShape;
  readonly ranMs: number;
  readonly peakBytes: number;
  readonly isDone: boolean;
}

/** What a simulated host needs of the rest of the world. */
export interface World {
  readonly clock: Clock;
  readonly random: RandomState;
  readonly truth: Truth;
  /** Connects this host; undefined while the manager cannot be reached. */
  connect(worker: SimWorker): Connection | undefined;
  /** What the source of a fetch serves, if it is there and `reader` can reach it now. */
  read(
    order: Extract<WorkerInstruction, { kind: "fetch" }>["order"],
    reader: SimWorker,
  ): ReadFile | "unreachable" | undefined;
  /** The manager received a PUT of `file`. */
  put(transferId: TransferId, file: FileFacts | undefined): void;
  /** The url of `file` has it. */
  store(file: FileFacts): void;
  /** How a try of this task ends if nothing disturbs it, and after how long. */
  run(task: DispatchedTask): TryPlan;
  /** Whether a transfer is damaged on its way. */
  readonly isFlipped: () => boolean;
  /** Whether a transfer finds the disk full. */
  readonly isDiskFull: () => boolean;
  /** Whether a transfer brings nothing for as long as its worker waits for it. */
  readonly isStalled: () => boolean;
  /** Whether a transfer takes minutes. */
  readonly isSlow: () => boolean;
  /** Chance that a transfer, an instance or a call fails. */
  readonly faultChance: () => number;
  /** How an instance of the library starts at the worker. */
  startPlan(
    library: string,
    worker: SimWorker,
  ): { readonly ranMs: number; readonly isBad: boolean };
  /** A try with a known use of memory has ended. */
  used(end: UseEnd): void;
  /** The process of this host ended. */
  exited(worker: SimWorker): void;
}
