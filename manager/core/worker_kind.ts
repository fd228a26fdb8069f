/** Kinds of workers: those that have as much and the same features, of which there are few. */

import { NO_RESOURCES, type Resources } from "../../shared/resources.ts";
import { modeOf, resize } from "./category.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";
import { reviewUnplaceable } from "./unplaceable.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Workers alike in all that decides which tasks they could ever run. */
export interface WorkerKind {
  readonly key: string;
  readonly resources: Resources;
  readonly features: ReadonlySet<string>;
  /** Those that are there and stay; at least 1. */
  workerCount: number;
}

/** The kind of workers with that much; it is counted once the worker has joined. */
export function kindOf(
  { kinds }: ManagerState,
  { resources, features }: {
    readonly resources: Resources;
    readonly features: readonly string[];
  },
): WorkerKind {
  const key = JSON.stringify([resources, features.toSorted()]);
  const known = kinds.get(key);
  return known ?? { key, resources, features: new Set(features), workerCount: 0 };
}

/** The worker is there. */
export function joinKind(state: ManagerState, { kind }: WorkerRecord): void {
  kind.workerCount += 1;
  if (kind.workerCount > 1) return;
  state.kinds.set(kind.key, kind);
  noteChange(state);
  setMost(state, larger(state.most, kind.resources));
}

/** The worker leaves, or is gone. */
export function leaveKind(state: ManagerState, { kind }: WorkerRecord): void {
  kind.workerCount -= 1;
  if (kind.workerCount > 0) return;
  state.kinds.delete(kind.key);
  for (const { allocations } of state.classes.values()) allocations.delete(kind.resources);
  noteChange(state);
  let most = NO_RESOURCES;
  for (const { resources } of state.kinds.values()) most = larger(most, resources);
  setMost(state, most);
}

function noteChange(state: ManagerState): void {
  state.kindsChange += 1;
  reviewUnplaceable(state);
}

/** Guesses are never of more than any worker has. */
function setMost(state: ManagerState, most: Resources): void {
  if (larger(state.most, most) === state.most && larger(most, state.most) === most) return;
  state.most = most;
  for (const category of state.categories.values()) {
    const isGuessed = modeOf(state, category) !== "fixed" ||
      Object.keys(category.spec.first).length > 0;
    if (isGuessed) resize(state, category);
  }
  // The scheduling pass may be over, when a worker is let go.
  wakeUpkeep(state, state.nowMs);
}

/** The larger of each; `a` itself where it has no less of anything. */
function larger(a: Resources, b: Resources): Resources {
  const { cores, memoryBytes, diskBytes, gpus } = a;
  const isNoLess = cores >= b.cores && memoryBytes >= b.memoryBytes &&
    diskBytes >= b.diskBytes && gpus >= b.gpus;
  if (isNoLess) return a;
  return {
    cores: Math.max(cores, b.cores),
    memoryBytes: Math.max(memoryBytes, b.memoryBytes),
    diskBytes: Math.max(diskBytes, b.diskBytes),
    gpus: Math.max(gpus, b.gpus),
  };
}
