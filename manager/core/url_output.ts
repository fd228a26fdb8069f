/**
 * Outputs on their way from workers to urls. A host takes as many at a time as may be fetched from
 * it, and both share its slots: those that finish a task come first.
 *
 * @module
 */

import { AssertionError } from "../../shared/assert.ts";
import type { TransferId } from "../../shared/ids.ts";
import { ORDERED_AGAIN, tellFailure, tellStart } from "./delivery_fact.ts";
import type { FileOrigin } from "./event.ts";
import { hasSlot, keepUrlSource, releaseUrlSource, urlSource } from "./source.ts";
import { type DeliveryRecord, type ManagerState, nextId, type Source, tell } from "./state.ts";
import { offerSlots } from "./transfer.ts";

/** Has an output stored when its host has a free slot. */
export function queueStore(state: ManagerState, delivery: DeliveryRecord): void {
  const source = urlSource(state, targetOf(delivery).host);
  keepUrlSource(state, source);
  source.storeQueue.add(delivery);
  startStores(state, source);
}

/** Starts as many as there are slots for. */
export function startStores(state: ManagerState, source: Source): void {
  for (const delivery of source.storeQueue) {
    if (!hasSlot(state, source)) return;
    source.storeQueue.delete(delivery);
    source.stores.add(delivery);
    orderStore(state, delivery);
  }
}

/** Tells the worker, unless it is away: `reconcile` repeats it then. */
export function orderStore(state: ManagerState, delivery: DeliveryRecord): void {
  const { worker, facts: { name, generation } } = delivery;
  const { url, mode } = targetOf(delivery);
  tellFailure(state, delivery, ORDERED_AGAIN);
  const transferId = nextId(state) as TransferId;
  delivery.transferId = transferId;
  if (worker === undefined) return;
  const to = { kind: "url", url, ...(mode === undefined ? {} : { mode }) } as const;
  tell(state, worker, { kind: "send", transferId, name, generation, to });
  tellStart(state, delivery);
}

/** Has the worker stop what nobody waits for. */
export function stopStore(state: ManagerState, { worker, transferId }: DeliveryRecord): void {
  if (worker === undefined || transferId === undefined) return;
  tell(state, worker, { kind: "stop_send", transferId });
}

/** Takes an output off the tables of its host; `offerStore` gives its slot to others. */
export function leaveStore(state: ManagerState, delivery: DeliveryRecord): void {
  const source = urlSource(state, targetOf(delivery).host);
  source.storeQueue.delete(delivery);
  source.stores.delete(delivery);
  releaseUrlSource(state, source);
}

/** Lets others have the slot of an output that is off the tables. */
export function offerStore(state: ManagerState, delivery: DeliveryRecord): void {
  if (delivery.goal !== "url") return;
  const source = state.urlSources.get(targetOf(delivery).host);
  if (source === undefined) return;
  offerSlots(state, source);
  releaseUrlSource(state, source);
}

function targetOf({ file }: DeliveryRecord): Extract<FileOrigin, { kind: "url" }> {
  if (file.origin.kind === "url") return file.origin;
  throw new AssertionError(`File ${file.fileId} must have a url to be stored at`);
}
