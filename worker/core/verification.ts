/**
 * Files whose bytes are looked at again: one that a receiver found other bytes in, or that an
 * earlier process or workflow has left. Nothing starts that reads one before that is done; what
 * reads a damaged one already does not count.
 *
 * @module
 */

import type { CacheName } from "../../shared/ids.ts";
import { holdBack, letRead } from "./cache.ts";
import type { WorkerEvent } from "./event.ts";
import { tell, type WorkerState } from "./state.ts";
import { dropDamaged } from "./task.ts";

/** Has the bytes of a file looked at. */
export function verifyFile(
  state: WorkerState,
  { name, generation }: { readonly name: CacheName; readonly generation: number },
): void {
  const record = state.cache.get(name);
  if (record === undefined || record.generation !== generation) {
    return tell(state, { kind: "replica_gone", name, generation });
  }
  // One look answers all who asked.
  if (record.isUnverified) return;
  holdBack(state, record);
  state.instructions.push({ kind: "verify_file", name, generation });
}

/** The bytes were looked at, asked or not. */
export function endVerification(
  state: WorkerState,
  { name, generation, isIntact }: Extract<WorkerEvent, { kind: "file_verified" }>,
): void {
  const record = state.cache.get(name);
  // Deleted since, and answered so.
  if (record === undefined || record.generation !== generation) return;
  if (isIntact) {
    letRead(state, record);
    return tell(state, { kind: "replica_verified", name, generation });
  }
  dropDamaged(state, record);
}
