/**
 * Instances that nothing has used for the time of the policy `libraryIdleTimeout`: they end, but for
 * as many as are kept of their library. Calls come and go by the thousand: each costs a comparison,
 * and a service is looked at once in such a time.
 *
 * @module
 */

import { planLook } from "./deadline.ts";
import { isActive, retireInstance } from "./library.ts";
import type { InstanceRecord, ServiceRecord } from "./library_record.ts";
import type { ManagerState } from "./state.ts";

/** Notes whether the service has an instance more than its calls need. */
export function noteSpare(state: ManagerState, service: ServiceRecord): void {
  const { slotCount, callCount, library: { spec: { slots } } } = service;
  if (slotCount === 0 || slotCount - callCount < slots) return endSpare(state, service);
  if (service.spareSinceMs !== undefined) {
    if (callCount > service.peakCount) service.peakCount = callCount;
    return;
  }
  state.spareServices.add(service);
  beginSpare(state, service);
}

/** What was idle until now is not, or what comes has to be idle for as long as anything. */
export function endSpare(state: ManagerState, service: ServiceRecord): void {
  if (service.spareSinceMs === undefined) return;
  service.spareSinceMs = undefined;
  state.spareServices.delete(service);
}

/** Ends what was idle for too long, by the time that a service is looked at. */
export function passIdle(state: ManagerState, service: ServiceRecord): void {
  const { spareSinceMs, library, worker, slotCount, peakCount } = service;
  // Of another look than the one that is planned by now.
  if (service.idleLookAtMs > state.nowMs) return;
  service.idleLookAtMs = 0;
  const { libraryIdleTimeoutMs } = state.policies;
  if (spareSinceMs === undefined || worker.services.get(library) !== service) return;
  if (libraryIdleTimeoutMs === 0) return;
  if (spareSinceMs + libraryIdleTimeoutMs > state.nowMs) return planIdle(state, service);
  const { slots, instanceCount } = library.spec;
  const unkeptCount = library.activeCount - instanceCount;
  const idleCount = Math.floor((slotCount - peakCount) / slots);
  beginSpare(state, service);
  for (const instance of newestInstances(service).slice(0, Math.min(idleCount, unkeptCount))) {
    retireInstance(state, instance);
  }
}

/** The policy is another one. */
export function reviewIdle(state: ManagerState): void {
  for (const service of state.spareServices) planIdle(state, service);
}

/** Those of a service that take calls, the newest first: it is the last that its worker gives some. */
export function newestInstances({ worker, library }: ServiceRecord): InstanceRecord[] {
  const found: InstanceRecord[] = [];
  for (const instance of worker.instances.values()) {
    if (instance.library === library && isActive(instance)) found.push(instance);
  }
  return found.reverse();
}

function beginSpare(state: ManagerState, service: ServiceRecord): void {
  service.spareSinceMs = state.nowMs;
  service.peakCount = service.callCount;
  if (service.idleLookAtMs === 0) planIdle(state, service);
}

function planIdle(state: ManagerState, service: ServiceRecord): void {
  const { libraryIdleTimeoutMs } = state.policies;
  if (libraryIdleTimeoutMs === 0) return;
  const atMs = (service.spareSinceMs ?? state.nowMs) + libraryIdleTimeoutMs;
  service.idleLookAtMs = atMs;
  planLook(state, { atMs, kind: "instance_idle", service });
}
