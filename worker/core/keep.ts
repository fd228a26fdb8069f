/**
 * Files that are kept beyond the workflow. The same bytes get another name, by their contents, which
 * stays whatever becomes of the first one. While both are here they take their room once; what is
 * found to be wrong with one of them is wrong with both.
 *
 * @module
 */

import type { CacheName } from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import { addFile } from "./cache.ts";
import type { WorkerEvent } from "./event.ts";
import { tell, type WorkerState } from "./state.ts";

type KeepEnd = Extract<WorkerEvent, { kind: "file_kept" }>;
type Kept = Extract<KeepEnd["outcome"], { kind: "kept" }>;

/** Has the shell keep a file, unless it is not here or the shell is at it already. */
export function keepFile(
  state: WorkerState,
  order: Extract<ManagerMessage, { kind: "keep" }>,
): void {
  const { keepId, name, generation } = order;
  // Told again after a break: one answer is enough.
  if (state.keeps.has(keepId)) return;
  if (state.cache.get(name)?.generation !== generation) {
    const message = `Cannot keep file "${name}": this worker does not have it any more`;
    return tell(state, { kind: "keep_failed", keepId, message });
  }
  state.keeps.add(keepId);
  state.instructions.push({ kind: "keep_file", order });
}

/** The shell has kept a file, or could not. */
export function endKeep(state: WorkerState, { keepId, outcome }: KeepEnd): void {
  if (outcome.kind === "kept") takeKept(state, outcome);
  // It was the wish of a manager that is gone: the next hello tells of the file.
  if (!state.keeps.delete(keepId)) return;
  if (outcome.kind === "failed") {
    return tell(state, { kind: "keep_failed", keepId, message: outcome.message });
  }
  const { file, level } = outcome;
  tell(state, { kind: "kept", keepId, file, level });
}

function takeKept(state: WorkerState, { file, level, isFound, source }: Kept): void {
  const known = state.cache.get(file.name);
  if (known !== undefined) {
    // The same contents, which are to last longer from now on.
    if (known.level !== level) state.cache.set(file.name, { ...known, level });
    return;
  }
  addFile(state, file, { level, isOwn: !isFound });
  if (source !== undefined) pair(state, source, file.name);
}

/** Two names of the same bytes: the first one has them. */
function pair(
  state: WorkerState,
  source: NonNullable<Kept["source"]>,
  name: CacheName,
): void {
  const [first, second] = [state.cache.get(source.name), state.cache.get(name)];
  if (first === undefined || second === undefined || first === second) return;
  if (first.generation !== source.generation || first.twin !== undefined) return;
  first.twin = name;
  second.twin = source.name;
  state.disk.cachedBytes -= second.ownBytes;
  second.ownBytes = 0;
}
