/** What is told of tries. */

import type { Fact } from "./fact.ts";
import type { ManagerState, TryRecord } from "./state.ts";

type Told = Extract<Fact, { kind: "try_ended" }>;

/** It is given to its worker. */
export function tellDispatch(state: ManagerState, attempt: TryRecord): void {
  const { taskId, try: number, worker: { workerId }, allocation } = attempt;
  const given = allocation === undefined ? {} : { allocated: allocation.resources };
  state.facts.push({ kind: "try_dispatched", taskId, try: number, workerId, ...given });
}

/** Its worker started it. */
export function tellStart(
  state: ManagerState,
  { taskId, try: number, worker: { workerId } }: TryRecord,
): void {
  state.facts.push({ kind: "try_started", taskId, try: number, workerId });
}

/** It comes back and has not started. */
export function tellReturn(
  state: ManagerState,
  { taskId, try: number, worker: { workerId } }: TryRecord,
): void {
  state.facts.push({ kind: "try_returned", taskId, try: number, workerId });
}

/** It is over, or has to be. */
export function tellEnd(
  state: ManagerState,
  { taskId, try: number, worker: { workerId } }: TryRecord,
  { outcome, message, result }: Pick<Told, "outcome" | "message" | "result">,
): void {
  const { facts } = state;
  const kind = "try_ended";
  // Without spreading: of short calls it is told tens of thousands of times a second.
  if (result !== undefined) {
    facts.push({ kind, taskId, try: number, workerId, outcome, result });
  } else if (message !== undefined) {
    facts.push({ kind, taskId, try: number, workerId, outcome, message });
  } else {
    facts.push({ kind, taskId, try: number, workerId, outcome });
  }
}
