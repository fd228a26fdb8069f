/** Relations between the tables of files that are kept. For tests and simulation. */

import { assert } from "../../shared/assert.ts";
import type { ManagerState } from "./state.ts";

/** Throws an AssertionError that names the relation that does not hold. */
export function checkKeeps(state: ManagerState): void {
  for (const [keepId, keep] of state.keeps) {
    assert(keep.keepId === keepId, `Wish ${keepId} must be under its number`);
    assert(keep.workers.size > 0, `Somebody must have to answer wish ${keepId}`);
    for (const worker of keep.workers.keys()) {
      const isKnown = state.workers.get(worker.workerId) === worker;
      assert(isKnown && worker.keeps.has(keep), `${worker.workerId} must know wish ${keepId}`);
    }
  }
  for (const { workerId, keeps } of state.workers.values()) {
    for (const keep of keeps) {
      assert(
        state.keeps.get(keep.keepId) === keep,
        `Wish ${keep.keepId} of ${workerId} must stand`,
      );
    }
  }
  const { untilMs, idle } = state.keptWaits;
  for (const file of [...untilMs.keys(), ...idle]) {
    const isMissing = file.origin.kind === "kept" && !file.isAvailable;
    assert(isMissing, `File ${file.fileId} must be kept, and at no worker`);
    assert(state.files.get(file.fileId) === file, `File ${file.fileId} must be declared`);
    const isTwice = untilMs.has(file) && idle.has(file);
    assert(!isTwice, `File ${file.fileId} must be waited for in one way`);
  }
}
