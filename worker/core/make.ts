/**
 * Files that are made here of others: by unpacking an archive, or by a command, which takes room
 * as a task does.
 *
 * What waits for the file cannot go on without it, so that a command comes before all tries, and
 * none of those starts while one waits for room. It need not wait for what may never end: what
 * instances hold it does without, and after a while it takes what there is instead of all that it
 * asked for.
 *
 * @module
 */

import type { CacheName } from "../../shared/ids.ts";
import type { ManagerMessage, Recipe } from "../../shared/protocol.ts";
import {
  addResources,
  fitsWithin,
  leastResources,
  NO_RESOURCES,
  type Resources,
  subtractResources,
} from "../../shared/resources.ts";
import {
  addTransfer,
  adoptTransfer,
  ANY_GENERATION,
  awaitFiles,
  dropTransfer,
  forgetWaiter,
  isCached,
  type Need,
  newTransfer,
} from "./cache.ts";
import { NO_DEVICES } from "./device.ts";
import { awaitDisk, bytesToFill, startTransfersThatFit } from "./disk.ts";
import { freeRoom, holdRoom } from "./room.ts";
import { tell, type TransferRecord, type WorkerState } from "./state.ts";

/** After so long a command takes what cores are free, though it asked for more. */
const FULL_ROOM_WAIT_MS = 10_000;

type MakeOrder = Extract<ManagerMessage, { kind: "make" }>;

/** The files that a recipe needs, each once. */
export function recipeNeeds(recipe: Recipe): Need[] {
  return Array.from(recipeNames(recipe), (name) => ({ name, generation: ANY_GENERATION }));
}

/** The names of what a recipe needs. */
export function recipeNames(recipe: Recipe): ReadonlySet<CacheName> {
  if (recipe.kind !== "command") return new Set([recipe.input]);
  return new Set([...recipe.inputs.map(({ name }) => name), ...recipe.environments]);
}

/** Starts a recipe once its inputs are here, unless its file is here or being made. */
export function startMake(state: WorkerState, order: MakeOrder): void {
  const cached = state.cache.get(order.name);
  if (cached !== undefined) {
    const { transferId } = order;
    return tell(state, { kind: "replica_ready", transferId, file: cached.facts, movedBytes: 0 });
  }
  if (adoptTransfer(state, order)) return;
  const record = newTransfer(order);
  addTransfer(state, record);
  record.missing = awaitFiles(state, record, recipeNeeds(order.recipe));
  if (record.missing === 0) activateMake(state, record);
}

/** All that the recipe needs is here. */
export function activateMake(state: WorkerState, record: TransferRecord): void {
  if (record.order.kind !== "make") return;
  forgetWaiter(state, record, recipeNeeds(record.order.recipe));
  awaitDisk(state, record);
  startTransfersThatFit(state);
}

/** Begins a recipe whose disk is held; a command waits for room. */
export function beginMake(state: WorkerState, record: TransferRecord): void {
  if (record.order.kind !== "make") return;
  if (record.order.recipe.kind !== "command") return runMake(state, record, record.order);
  record.queuedAtMs = state.nowMs;
  state.makes.add(record);
}

/** Starts the commands that fit; true while one waits for room. */
export function startMakes(state: WorkerState): boolean {
  for (const record of state.makes) {
    const { order } = record;
    if (order.kind !== "make" || order.recipe.kind !== "command") continue;
    const room = roomFor(state, order.recipe.resources, record.queuedAtMs);
    if (room === undefined) continue;
    state.makes.delete(record);
    if (!recipeNeeds(order.recipe).every((need) => isCached(state, need))) {
      loseInput(state, record);
      continue;
    }
    record.held = room;
    record.devices = holdRoom(state, room);
    // Whatever is free for it, its limits are what it states.
    const { memoryBytes, diskBytes } = order.recipe.resources;
    const resources = { ...room, memoryBytes, diskBytes };
    runMake(state, record, { ...order, recipe: { ...order.recipe, resources } });
  }
  return state.makes.size > 0;
}

/** When a command that waits for room takes what there is. */
export function makeWakeAtMs(state: WorkerState): number | undefined {
  let atMs: number | undefined;
  for (const { queuedAtMs } of state.makes) {
    const untilMs = queuedAtMs + FULL_ROOM_WAIT_MS;
    if (untilMs > state.nowMs) atMs = Math.min(atMs ?? Infinity, untilMs);
  }
  return atMs;
}

/** The transfer is off the tables: gives back what it held, and reads its inputs no more. */
export function leaveMake(state: WorkerState, record: TransferRecord): void {
  state.makes.delete(record);
  freeRoom(state, record.held, record.devices);
  record.held = NO_RESOURCES;
  record.devices = NO_DEVICES;
  const { order } = record;
  if (order.kind !== "make") return;
  if (!record.isActive) return forgetWaiter(state, record, recipeNeeds(order.recipe));
  for (const name of recipeNames(order.recipe)) {
    const readers = state.readers.get(name);
    readers?.delete(record);
    if (readers?.size === 0) state.readers.delete(name);
  }
}

/** What it may hold now; undefined when it has to wait. */
function roomFor(
  state: WorkerState,
  wanted: Resources,
  queuedAtMs: number,
): Resources | undefined {
  const capacity = state.identity.resources;
  // Disk is held already; an instance may stay for ever.
  const most = leastResources(
    { ...wanted, diskBytes: 0, gpus: 0 },
    subtractResources(capacity, heldByInstances(state)),
  );
  if (fitsWithin(capacity, { used: state.used, more: most, factor: 1 })) return most;
  const free = subtractResources(capacity, state.used);
  const isPatient = state.nowMs < queuedAtMs + FULL_ROOM_WAIT_MS;
  return isPatient || free.cores <= 0 ? undefined : leastResources(most, free);
}

function heldByInstances(state: WorkerState): Resources {
  let held = NO_RESOURCES;
  for (const { state: { kind }, library } of state.instances.values()) {
    if (kind === "starting" || kind === "ready") held = addResources(held, library.resources);
  }
  return held;
}

function runMake(state: WorkerState, record: TransferRecord, order: MakeOrder): void {
  record.isActive = true;
  record.startedId = order.transferId;
  for (const name of recipeNames(order.recipe)) {
    let readers = state.readers.get(name);
    if (readers === undefined) state.readers.set(name, readers = new Set());
    readers.add(record);
  }
  const { devices } = record;
  state.instructions.push({ kind: "make", order, devices, bytesMax: bytesToFill(state, record) });
}

/** An input went while it waited for room: the manager brings it, and orders this again. */
function loseInput(state: WorkerState, record: TransferRecord): void {
  const { transferId, name } = record.order;
  dropTransfer(state, record);
  const message = `Cannot make file "${name}": an input is not in the cache any more`;
  const failed = { transferId, name, generation: 0, message, canRetry: true } as const;
  tell(state, { kind: "transfer_failed", ...failed });
}
