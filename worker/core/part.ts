/** Parts of files whose transfers failed: how long they are held for the next attempts. */

import type { CacheName } from "../../shared/ids.ts";
import type { WorkerState } from "./state.ts";

/** Parts held at a time; the oldest goes first. */
const PARTS_MAX = 16;

/** An attempt that has not come by then comes no more, or begins anew. */
const PART_MS = 120_000;

/** A transfer failed and left `bytes` of its file on the disk. */
export function keepPart(state: WorkerState, name: CacheName, bytes: number): void {
  releasePart(state, name);
  state.disk.parts.set(name, { bytes, untilMs: state.nowMs + PART_MS });
  state.disk.keptBytes += bytes;
  if (state.disk.parts.size > PARTS_MAX) forgetOldestPart(state);
}

/** Bytes that are held of the file. */
export function partBytes({ disk }: WorkerState, name: CacheName): number {
  return disk.parts.get(name)?.bytes ?? 0;
}

/** The part is a transfer's again, or is no more. */
export function releasePart({ disk }: WorkerState, name: CacheName): void {
  disk.keptBytes -= disk.parts.get(name)?.bytes ?? 0;
  disk.parts.delete(name);
}

/** The file is here by another way, or nobody wants it. */
export function forgetPart(state: WorkerState, name: CacheName): void {
  if (!state.disk.parts.has(name)) return;
  releasePart(state, name);
  state.instructions.push({ kind: "forget_part", name });
}

/** Removes the part that is the oldest, but not that of `except`; false when there is none. */
export function forgetOldestPart(state: WorkerState, except?: CacheName): boolean {
  for (const name of state.disk.parts.keys()) {
    if (name === except) continue;
    forgetPart(state, name);
    return true;
  }
  return false;
}

/** Removes parts that nobody has come for. */
export function expireParts(state: WorkerState): void {
  for (const [name, { untilMs }] of state.disk.parts) {
    if (untilMs > state.nowMs) return;
    forgetPart(state, name);
  }
}

/** When the next part is removed. */
export function partWakeAtMs({ disk }: WorkerState): number | undefined {
  const [oldest] = disk.parts.values();
  return oldest?.untilMs;
}
