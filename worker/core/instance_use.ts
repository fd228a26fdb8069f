/**
 * What instances of libraries use beside the tries: it counts for the worker's memory and disk, and
 * an instance is stopped as a try is, by its own limits (limit.ts) or because there is none left.
 *
 * What its calls do is not told apart, but for those that state memory or disk (call_meter.ts), which
 * is theirs beside what the library states. Those that run in it when it is stopped share its end; those
 * that only wait in it, and after `isAmbiguous` all of them, are repeated elsewhere.
 *
 * @module
 */

import type { Resources } from "../../shared/resources.ts";
import { type Exceeded, madeFiles, type TryResult } from "../../shared/task.ts";
import type { WorkerEvent } from "./event.ts";
import { describeExceeded } from "./limit.ts";
import { stopOverdrawn } from "./memory.ts";
import { stopWhoeverHasAll } from "./overflow.ts";
import { type InstanceRecord, isStopping, type WorkerState } from "./state.ts";

/** Why an instance is stopped, and how the calls that run in it end. */
export interface InstanceStop {
  readonly outcome: "disk_full" | "resources_exhausted";
  /** Names the library. */
  readonly message: string;
  /** Of `resources_exhausted`. */
  readonly exceeded?: Exceeded;
  /** Not because of a limit of its own: the calls may be repeated without counting. */
  readonly isAmbiguous: boolean;
}

/** Takes in what was found of an instance, and stops what is too much for the worker. */
export function measureInstance(
  state: WorkerState,
  { instanceId, resource, bytes }: Extract<WorkerEvent, { kind: "instance_measured" }>,
): void {
  const record = state.instances.get(instanceId);
  // It may have ended while it was looked at.
  if (record === undefined || !hasStarted(record)) return;
  if (resource === "memory") {
    state.memoryBytes += bytes - record.memoryBytes;
    record.memoryBytes = bytes;
    return stopOverdrawn(state);
  }
  state.disk.runningBytes += bytes - record.writtenBytes;
  record.writtenBytes = bytes;
  stopWhoeverHasAll(state, bytes);
}

/** Stops an instance that is beyond a limit of its own. */
export function stopExceeding(
  state: WorkerState,
  { instanceId, exceeded }: Extract<WorkerEvent, { kind: "instance_exceeded" }>,
): void {
  const record = state.instances.get(instanceId);
  if (record === undefined || !hasStarted(record) || isStopping(record)) return;
  failInstance(state, record, exhaustionOf(record.library.name, exceeded, { isShare: false }));
}

/** What a call has made is in the cache now, and in the directory of its instance no more. */
export function takeFromInstance(
  state: WorkerState,
  record: InstanceRecord,
  result: TryResult,
): void {
  const outputs = madeFiles(result);
  if (outputs.length === 0) return;
  const outputBytes = outputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const takenBytes = Math.min(record.writtenBytes, outputBytes);
  record.writtenBytes -= takenBytes;
  state.disk.runningBytes -= takenBytes;
}

/** What an ended instance had is free. */
export function releaseInstance(state: WorkerState, record: InstanceRecord): void {
  state.memoryBytes -= record.memoryBytes;
  state.disk.runningBytes -= record.writtenBytes;
  record.memoryBytes = 0;
  record.writtenBytes = 0;
}

/** Stops an instance for what it uses; the manager is told that it has failed. */
export function failInstance(
  state: WorkerState,
  record: InstanceRecord,
  stop: InstanceStop,
): void {
  record.state = { kind: "stopping" };
  const { instanceId } = record;
  state.instructions.push({ kind: "stop_instance", instanceId, stop });
}

/** How the calls of an instance end that is beyond a limit, of its own unless `isShare`. */
export function exhaustionOf(
  library: string,
  exceeded: Exceeded,
  { isShare }: { readonly isShare: boolean },
): InstanceStop {
  const message = describeExceeded(exceeded, { isShare, of: library });
  return { outcome: "resources_exhausted", message, exceeded, isAmbiguous: isShare };
}

/** Memory that an instance may expect: what its library states, or else as its cores of the worker. */
export function memoryShare(all: Resources, { memoryBytes, cores }: Resources): number {
  if (memoryBytes > 0 || all.cores === 0) return memoryBytes;
  return all.memoryBytes * Math.min(1, cores / all.cores);
}

/** What calls in an instance state beside what its library does. */
export function statedByCalls(
  { running }: InstanceRecord,
  field: "memoryBytes" | "diskBytes",
): number {
  let bytes = 0;
  for (const { shape: { resources } } of running) bytes += resources[field];
  return bytes;
}

function hasStarted({ state: { kind } }: InstanceRecord): boolean {
  return kind !== "staging" && kind !== "queued";
}
