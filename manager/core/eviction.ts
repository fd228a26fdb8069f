/**
 * Files that a worker whose disk is full may lose.
 *
 * The worker suggests what has been idle there for longest; here is known what is needed, and where
 * else it can be had. A temp's last copy goes only when nobody waits for it and the task that made
 * it can make it again.
 *
 * @module
 */

import { delayCopies } from "./background.ts";
import { wantedCopies } from "./copy_policy.ts";
import { isAtUrl, isInUse } from "./file.ts";
import { canBeMade } from "./recipe.ts";
import { canRemake } from "./recovery.ts";
import { deleteReplica, isNeededAt } from "./replica.ts";
import { isSturdy } from "./room.ts";
import { isHere } from "./spool.ts";
import {
  type FileRecord,
  type ManagerState,
  type ReplicaRecord,
  tell,
  type WorkerRecord,
} from "./state.ts";
import type { WorkerReport } from "./event.ts";
import { whyKept } from "./upkeep.ts";

/** Suggestions that are looked at; a worker asks again for what is left. */
const FILES_MAX = 64;

/** Other holders that are looked at for one that is there. */
const HOLDERS_PROBED = 16;

/** Deletes those of the suggested files that may go, and says that this was all. */
export function answerRoomWanted(
  state: ManagerState,
  worker: WorkerRecord,
  message: Extract<WorkerReport, { kind: "room_wanted" }>,
): void {
  for (const { name, generation } of message.files.slice(0, FILES_MAX)) {
    const replica = worker.replicas.get(name);
    if (replica?.state !== "ready" || replica.generation !== generation) continue;
    if (!mayEvict(state, worker, replica)) continue;
    deleteReplica(state, worker, replica);
    const file = state.filesByName.get(name);
    // It would come back at once, and push out another one.
    if (file !== undefined && wantedCopies(state.policies, file) > 0) delayCopies(state, file);
  }
  tell(state, worker, { kind: "room_answered" });
}

/** True when nothing is lost by it that somebody needs. */
export function mayEvict(
  state: ManagerState,
  worker: WorkerRecord,
  replica: ReplicaRecord,
): boolean {
  const file = state.filesByName.get(replica.name);
  if (file === undefined) return true;
  if (!isIdleAt(worker, file)) return false;
  if (canBeHadElsewhere(state, file, worker)) return true;
  return whyKept(state, file) === undefined || isIdleArchive(state, file);
}

/** Files are made of it when somebody needs those, and it can be made again then. */
function isIdleArchive(state: ManagerState, file: FileRecord): boolean {
  return file.recipes.size > 0 && !isInUse(file) && canRemake(state, file);
}

/** True when nothing reads the worker's copy for anybody else, or waits for it there. */
export function isIdleAt(worker: WorkerRecord, file: FileRecord): boolean {
  const { producer } = file;
  // Its result, or what is to come home of it, is under way.
  if (producer !== undefined && producer.state.kind !== "done") return false;
  if (file.requests.size > 0 || file.homeDelivery !== undefined) return false;
  if (isNeededAt(worker, file)) return false;
  for (const { file: served } of worker.source.active) if (served === file) return false;
  for (const { file: sent } of worker.deliveries) if (sent === file) return false;
  return true;
}

function canBeHadElsewhere(state: ManagerState, file: FileRecord, worker: WorkerRecord): boolean {
  if (isHere(state, file)) return true;
  const { origin } = file;
  if (isAtUrl(file)) return true;
  if (origin.kind === "recipe" && canBeMade(state, file)) return true;
  let probed = 0;
  for (const [holder, { state: kind, generation, isSuspect }] of file.replicas) {
    const isReady = kind === "ready" && generation === file.generation && !isSuspect;
    if (isReady && holder !== worker && isSturdy(holder)) return true;
    probed += 1;
    if (probed >= HOLDERS_PROBED) return false;
  }
  return false;
}
