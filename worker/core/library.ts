/** Instances of libraries at this worker. */

import { assert } from "../../shared/assert.ts";
import type { InstanceId } from "../../shared/ids.ts";
import { filesOfLibrary, type ManagerMessage } from "../../shared/protocol.ts";
import type { TryResult } from "../../shared/task.ts";
import { ANY_GENERATION, awaitFiles, forgetWaiter, type Need } from "./cache.ts";
import { NO_DEVICES } from "./device.ts";
import type { WorkerEvent } from "./event.ts";
import { releaseInstance } from "./instance_use.ts";
import { awaitRoom, freeRoom } from "./room.ts";
import { type InstanceRecord, tell, type WorkerState } from "./state.ts";
import { endCalls } from "./task.ts";

const NO_BYTES = new Uint8Array(0);

/** Takes the order to start an instance when its files are here and there is room. */
export function takeInstance(
  state: WorkerState,
  order: Extract<ManagerMessage, { kind: "start_instance" }>,
): void {
  const { instanceId, library } = order;
  if (state.instances.has(instanceId)) return;
  const record: InstanceRecord = {
    kind: "instance",
    instanceId,
    library,
    order: state.orderCount++,
    state: { kind: "staging", missing: 0 },
    devices: NO_DEVICES,
    running: new Set(),
    writtenBytes: 0,
    memoryBytes: 0,
  };
  state.instances.set(instanceId, record);
  let instances = state.instancesByLibrary.get(library.name);
  if (instances === undefined) {
    state.instancesByLibrary.set(library.name, instances = new Set());
  }
  instances.add(record);
  const missing = awaitFiles(state, record, needsOf(record));
  if (missing > 0) record.state = { kind: "staging", missing };
  else enqueueInstance(state, record);
}

/** Queues an instance whose files are all here. */
export function enqueueInstance(state: WorkerState, record: InstanceRecord): void {
  record.state = { kind: "queued" };
  awaitRoom(state, record, { resources: record.library.resources });
}

/** Starts an instance whose room is held. */
export function startInstance(state: WorkerState, record: InstanceRecord): void {
  forgetWaiter(state, record, needsOf(record));
  record.state = { kind: "starting", sinceMs: state.nowMs };
  const { instanceId, library, devices } = record;
  state.instructions.push({ kind: "start_instance", instanceId, library, devices });
}

/** Its context is there: calls can go to it. */
export function readyInstance(state: WorkerState, instanceId: InstanceId): void {
  const record = state.instances.get(instanceId);
  if (record?.state.kind !== "starting") return;
  const startMs = Math.round(state.nowMs - record.state.sinceMs);
  record.state = { kind: "ready" };
  tell(state, { kind: "instance_ready", instanceId, startMs });
}

/** Stops an instance: with the calls in it or, where it retires, once these have ended. */
export function stopInstance(
  state: WorkerState,
  { instanceId, isRetiring = false }: {
    readonly instanceId: InstanceId;
    readonly isRetiring?: boolean;
  },
): void {
  const record = state.instances.get(instanceId);
  if (record === undefined) {
    tell(state, { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
    return;
  }
  switch (record.state.kind) {
    case "staging":
    case "queued":
      dropInstance(state, record);
      tell(state, { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
      return;
    case "starting":
    case "ready":
    case "retiring":
      if (isRetiring && record.running.size > 0) record.state = { kind: "retiring" };
      else orderStop(state, record);
      return;
    case "stopping":
      return;
  }
}

/** A call in the instance has ended: one that retires stops with the last. */
export function passRetiring(state: WorkerState, record: InstanceRecord): void {
  if (record.state.kind === "retiring" && record.running.size === 0) orderStop(state, record);
}

function orderStop(state: WorkerState, record: InstanceRecord): void {
  record.state = { kind: "stopping" };
  state.instructions.push({ kind: "stop_instance", instanceId: record.instanceId });
}

/** An instance is gone; what ran in it is lost with it. */
export function endInstance(
  state: WorkerState,
  event: Extract<WorkerEvent, { kind: "instance_gone" }>,
): void {
  const record = state.instances.get(event.instanceId);
  if (record === undefined) return;
  record.state = { kind: "stopping" };
  const { name, slots } = record.library;
  const message = event.message || `The instance of library "${name}" ended`;
  const ends = Array.from(record.running, ({ task: { taskId, try: number } }, index) => {
    const result: TryResult = {
      taskId,
      try: number,
      // Those behind the first ones waited in it for a slot: it is no doing of theirs.
      ...(index < slots
        ? { outcome: "library_failed", message, isAmbiguous: true }
        : { outcome: "cancelled", message: "" }),
      stdout: NO_BYTES,
      stderr: NO_BYTES,
      outputs: [],
      times: { startedAtMs: 0, stagedMs: 0, ranMs: 0 },
    };
    return { taskId, try: number, result };
  });
  endCalls(state, ends);
  dropInstance(state, record);
  const { instanceId, reason } = event;
  tell(state, { kind: "instance_gone", instanceId, reason, message: event.message });
}

function dropInstance(state: WorkerState, record: InstanceRecord): void {
  const { library, instanceId } = record;
  assert(record.running.size === 0, `Instance ${instanceId} must have no calls when it goes`);
  if (record.state.kind === "staging" || record.state.kind === "queued") {
    forgetWaiter(state, record, needsOf(record));
    // Its entry in the queue, if any, is stale by its state.
    record.state = { kind: "stopping" };
  } else {
    freeRoom(state, library.resources, record.devices);
    releaseInstance(state, record);
  }
  state.instances.delete(instanceId);
  const instances = state.instancesByLibrary.get(library.name);
  instances?.delete(record);
  if (instances?.size === 0) state.instancesByLibrary.delete(library.name);
}

/** Files without which an instance does not start, in the makings that it is to have. */
export function needsOf(record: InstanceRecord): Need[] {
  const { inputs } = record.library;
  return Array.from(new Set(filesOfLibrary(record.library)), (name) => {
    const input = inputs.find((each) => each.name === name);
    return { name, generation: input?.generation ?? ANY_GENERATION };
  });
}
