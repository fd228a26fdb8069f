/** What must be left of a manager's state when all is over: nothing. */

import type { ManagerState } from "../../manager/core/state.ts";

/** True once nothing is left to come: no worker is there, and no source is set aside for a while. */
export function isOver({ workers, managerSource, urlSources, nowMs }: ManagerState): boolean {
  const sources = [managerSource, ...urlSources.values()];
  return workers.size === 0 && sources.every(({ asideUntilMs }) => asideUntilMs <= nowMs);
}

/** Throws when a table holds something although all is undeclared and every worker gone. */
export function checkEmpty(state: ManagerState): void {
  const tables = {
    tasks: state.tasks.size,
    files: state.files.size,
    filesByName: state.filesByName.size,
    unclaimed: state.unclaimed.size,
    index: state.index.count,
    classes: state.classes.size,
    kinds: state.kinds.size,
    unplaceable: state.unplaceable.classes.size,
    reservations: state.reservations.size,
    strictFiles: state.strictFiles.size,
    resized: state.resized.size,
    ending: state.ending.size,
    outOfTime: state.outOfTime.size,
    shortOfTime: state.shortOfTime.size,
    calledOff: state.calledOff.tasks.length,
    busyClasses: state.busyClasses.size,
    changedWorkers: state.changedWorkers.size,
    recallable: state.recallable.size,
    hosting: state.hosting.size,
    spareServices: state.spareServices.size,
    shortLibraries: state.shortLibraries.size,
    claims: state.claims.size,
    transfers: state.transfers.size,
    keeps: state.keeps.size,
    keptWaits: state.keptWaits.untilMs.size + state.keptWaits.idle.size,
    deliveries: state.deliveries.size,
    deliveryQueue: state.deliveryQueue.size,
    collecting: state.collectingCount,
    outbox: state.outbox.size,
    wanted: state.managerSource.wanted.size,
    active: state.managerSource.active.size,
    urlSources: state.urlSources.size,
    unserving: state.unservingCount,
    stranded: state.stranded.size,
    lost: state.lost.size,
    spooled: state.spooled.size,
    spooledBytes: state.spooledBytes,
    reviews: state.upkeep.reviews.size,
    scarce: state.upkeep.scarce.reduce((sum, { size }) => sum + size, 0),
    receivers: state.upkeep.receivers.size,
    shifts: state.upkeep.shifts.size,
    fuller: state.upkeep.fuller.size,
    disks: state.disks.count,
    background: state.managerSource.background.size,
  };
  const left = Object.entries(tables).filter(([, size]) => size > 0);
  if (left.length > 0) throw new Error(`Tables are not empty at the end: ${left.join("; ")}`);
}
