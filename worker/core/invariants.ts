/** Every relation between the worker's tables. Linear in their size: for tests and simulation. */

import { assert } from "../../shared/assert.ts";
import type { CacheName } from "../../shared/ids.ts";
import { amountOf } from "../../shared/resources.ts";
import { ANY_GENERATION, isCached, type Need } from "./cache.ts";
import { NO_DEVICES } from "./device.ts";
import { needsOf } from "./library.ts";
import { heldBytes } from "./overflow.ts";
import type { WorkerState } from "./state.ts";
import { CALLS_PER_SLOT_MAX } from "./task.ts";

/** Throws an AssertionError that names the relation that does not hold. */
export function checkInvariants(state: WorkerState): void {
  let cores = 0;
  for (const [key, record] of state.tries) {
    assert(record.key === key && !record.isGone, `Try ${key} must be under its key`);
    const { kind } = record.state;
    if (kind === "running") cores += record.shape.resources.cores;
    else assert(record.devices === NO_DEVICES, `Try ${key} must hold nothing before it runs`);
    if (kind === "staging" && state.leaving === undefined) {
      const { missing } = record.state as { missing: number };
      const absent = record.task.inputs.filter((input) => !isCached(state, input)).length +
        record.shape.environments.filter((name) => !isCached(state, anyOf(name))).length;
      assert(missing === absent, `Try ${key} must miss ${absent} files, not ${missing}`);
    }
    assert(!state.results.has(key), `Try ${key} must not have ended`);
  }
  for (const instance of state.instances.values()) {
    const { kind } = instance.state;
    const { slots, resources } = instance.library;
    const isStarted = kind !== "staging" && kind !== "queued";
    if (isStarted) cores += resources.cores;
    const { size } = instance.running;
    assert(isStarted || size === 0, `Instance ${instance.instanceId} must start before its calls`);
    if (instance.state.kind === "staging" && state.leaving === undefined) {
      const { missing } = instance.state;
      const absent = needsOf(instance).filter((need) => !isCached(state, need)).length;
      assert(missing === absent, `Instance ${instance.instanceId} must miss ${absent} files`);
    }
    const isDone = kind === "retiring" && size === 0;
    assert(!isDone, `Instance ${instance.instanceId} must stop with the last of its calls`);
    const most = slots * CALLS_PER_SLOT_MAX;
    assert(instance.running.size <= most, `Instance ${instance.instanceId} must keep its slots`);
  }
  for (const { held } of state.transfers.values()) cores += held.cores;
  const { used, identity } = state;
  assert(Math.abs(used.cores - cores) < 1e-3, `${cores} cores must be used, not ${used.cores}`);
  assert(cores <= identity.resources.cores + 1e-3, `${cores} cores are more than there are`);
  let memoryBytes = 0;
  for (const record of state.tries.values()) memoryBytes += record.memoryBytes;
  for (const record of state.instances.values()) memoryBytes += record.memoryBytes;
  assert(state.memoryBytes === memoryBytes, `What runs must use ${memoryBytes} bytes of memory`);
  checkDevices(state);
  checkDisk(state);
  for (const [name, waiters] of state.waiters) {
    assert(waiters.size > 0, `Somebody must wait for ${name}`);
  }
  for (const transfer of state.transfers.values()) {
    const { name } = transfer.order;
    assert(state.transfersByName.get(name) === transfer, `One transfer must bring ${name}`);
    if (!transfer.isActive) continue;
    assert(!state.makes.has(transfer), `What makes ${name} must not wait for room and run`);
  }
}

function anyOf(name: CacheName): Need {
  return { name, generation: ANY_GENERATION };
}

/** No GPU is held twice, and what is held is within what there is. */
function checkDevices({ tries, instances, transfers, devices, used, identity }: WorkerState): void {
  const gpus = new Set<string>();
  let cores = 0;
  for (const record of [...tries.values(), ...instances.values(), ...transfers.values()]) {
    const { gpus: ids, cpus } = record.devices;
    cores += cpus.length;
    for (const id of ids) {
      assert(!gpus.has(id), `GPU ${id} must be held once`);
      gpus.add(id);
    }
  }
  assert(gpus.size === devices.takenGpus.size, `${gpus.size} GPUs must be taken`);
  assert(gpus.size === used.gpus, `${gpus.size} GPUs must be used, not ${used.gpus}`);
  const loads = [...devices.cpuLoads.values()];
  assert(cores > 0 || loads.every((load) => load === 0), "Nothing must be on any processor");
  for (const [name, amount] of Object.entries(used.custom ?? {})) {
    const total = amountOf(identity.resources, name);
    assert(amount <= total, `${amount} of ${name} are more than the ${total} that there are`);
  }
}

/** What is held of the disk is what the files, the transfers, the tries and the instances hold. */
function checkDisk({ disk, cache, transfers, tries, instances }: WorkerState): void {
  let cachedBytes = 0;
  for (const { ownBytes } of cache.values()) cachedBytes += ownBytes;
  for (const [name, { twin }] of cache) {
    const isTwin = twin === undefined || cache.get(twin)?.twin === name;
    assert(isTwin, `${name} and ${twin} must have the same bytes`);
  }
  let comingBytes = 0;
  for (const { reservedBytes } of transfers.values()) comingBytes += reservedBytes;
  let runningBytes = 0;
  for (const record of tries.values()) runningBytes += heldBytes(record);
  for (const { writtenBytes } of instances.values()) runningBytes += writtenBytes;
  assert(disk.cachedBytes === cachedBytes, `${cachedBytes} bytes must be in the cache`);
  assert(disk.comingBytes === comingBytes, `${comingBytes} bytes must be on their way`);
  assert(disk.runningBytes === runningBytes, `${runningBytes} bytes must be held by what runs`);
  let keptBytes = 0;
  for (const [name, { bytes }] of disk.parts) {
    keptBytes += bytes;
    assert(!cache.has(name), `A part must be of a file that is not here: ${name}`);
    const isTaken = [...transfers.values()].some(({ order, isActive }) => {
      return isActive && order.name === name;
    });
    assert(!isTaken, `A part must not be held beside what goes on with it: ${name}`);
  }
  assert(disk.keptBytes === keptBytes, `${keptBytes} bytes must be held for next attempts`);
  for (const record of disk.waiting) {
    const { name } = record.order;
    assert(!record.isActive, `What waits for room must not be under way: ${name}`);
    assert(transfers.get(record.order.transferId) === record, `A transfer must bring ${name}`);
  }
}
