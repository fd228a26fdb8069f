/** What is told of files on their way to the manager or to a url. */

import type { DeliveryRecord, ManagerState } from "./state.ts";

/** The worker is told to send the file. */
export function tellStart(state: ManagerState, delivery: DeliveryRecord): void {
  const { transferId, goal, file, worker } = delivery;
  if (transferId === undefined || worker === undefined) return;
  state.facts.push({
    kind: "transfer_started",
    transferId,
    fileId: file.fileId,
    from: "worker",
    to: goal,
    workerId: worker.workerId,
    movedBytes: 0,
    message: "",
  });
}

/** It is where it was to go. */
export function tellEnd(state: ManagerState, delivery: DeliveryRecord): void {
  const { transferId, goal, file, worker, facts } = delivery;
  if (transferId === undefined || worker === undefined) return;
  state.facts.push({
    kind: "transfer_ended",
    transferId,
    fileId: file.fileId,
    from: "worker",
    to: goal,
    workerId: worker.workerId,
    movedBytes: facts.sizeBytes,
    message: "",
  });
}
