/** What is told of files on their way to the manager or to a url. */

import type { Fact } from "./fact.ts";
import type { DeliveryRecord, ManagerState } from "./state.ts";

/** What is said of one whose worker has connected anew. */
export const ORDERED_AGAIN = "It was ordered again";

/** The worker is told to send the file, or will be when it is back. */
export function tellStart(state: ManagerState, delivery: DeliveryRecord): void {
  push(state, delivery, { kind: "transfer_started" });
}

/** It is where it was to go. */
export function tellEnd(state: ManagerState, delivery: DeliveryRecord): void {
  const movedBytes = delivery.facts.sizeBytes;
  push(state, delivery, { kind: "transfer_ended", movedBytes });
}

/** It did not come there. */
export function tellFailure(state: ManagerState, delivery: DeliveryRecord, message: string): void {
  push(state, delivery, { kind: "transfer_failed", message });
}

/** Nobody waits for it there any more. */
export function tellCallOff(state: ManagerState, delivery: DeliveryRecord): void {
  push(state, delivery, { kind: "transfer_called_off" });
}

function push(
  state: ManagerState,
  delivery: DeliveryRecord,
  { kind, movedBytes = 0, message = "" }: {
    readonly kind: Extract<Fact["kind"], `transfer_${string}`>;
    readonly movedBytes?: number;
    readonly message?: string;
  },
): void {
  const { transferId, goal, file, worker } = delivery;
  // The contents of some ride in results: these are no transfers.
  if (transferId === undefined || worker === undefined) return;
  const isMoving = kind === "transfer_started";
  if (delivery.isMoving === isMoving) return;
  delivery.isMoving = isMoving;
  state.facts.push({
    kind,
    transferId,
    fileId: file.fileId,
    from: "worker",
    to: goal,
    workerId: worker.workerId,
    movedBytes,
    message,
  });
}
