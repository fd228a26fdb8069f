/**
 * What the policies say about copies of files: small functions that look and suggest. What may
 * be done is decided in upkeep.ts.
 *
 * @module
 */

import { diskShare, freeDiskBytes } from "./disk.ts";
import { boundName, outputFiles } from "./file.ts";
import { isSturdy } from "./room.ts";
import type { Policies } from "./policy.ts";
import type { FileRecord, ManagerState, WorkerRecord } from "./state.ts";

/** Files that are looked at to find whether levels of consumers are done; more count as not. */
const CONSUMED_PROBED = 4096;

/** Workers that are looked at for one that gets a copy. */
const RECEIVERS_PROBED = 32;

/** A disk is emptied when it is fuller than another one by this part of all it has. */
const SHIFT_SHARE_MIN = 0.2;

/** How many copies the file should be brought to; 0 when nobody asks for more than there are. */
export function wantedCopies({ replicas }: Policies, file: FileRecord): number {
  const { origin, copiesWanted } = file;
  if (origin.kind === "recipe") return 0;
  if (copiesWanted !== undefined) return copiesWanted;
  return origin.kind === "temp" && replicas > 1 ? replicas : 0;
}

/** Levels of consumers that `pruneTemps` looks at; 0 when it removes nothing. */
export function prunedLevels({ pruneTemps }: Policies): number {
  if (pruneTemps === "never") return 0;
  return pruneTemps === "consumed" ? 1 : Number(pruneTemps.slice("depth:".length));
}

/** True when the policy has no more use for any copy of the file. */
export function isSpent(state: ManagerState, file: FileRecord): boolean {
  const { policies } = state;
  const levels = prunedLevels(policies);
  if (levels === 0 || file.origin.kind !== "temp") return false;
  if (policies.pruneTemps === "consumed" && !isReleased(file)) return false;
  return areConsumersDone(state, file, { levels, left: CONSUMED_PROBED });
}

/** True when its user has let go of it, or has said that its consumers' end does that. */
export function isReleased(file: FileRecord): boolean {
  return file.declaredCount === 0 || file.isReleasedByUse;
}

/** Workers that may get a copy, those on hosts without one first. */
export function suggestReceivers(state: ManagerState, file: FileRecord): WorkerRecord[] {
  const name = boundName(file);
  const hosts = new Set<string>();
  for (const { host } of file.replicas.keys()) hosts.add(host);
  const far: WorkerRecord[] = [];
  const near: WorkerRecord[] = [];
  let probed = 0;
  for (const worker of state.upkeep.receivers) {
    probed += 1;
    if (probed > RECEIVERS_PROBED) break;
    // One that is being deleted there is in the way too.
    if (!worker.replicas.has(name)) (hosts.has(worker.host) ? near : far).push(worker);
  }
  return far.length > 0 ? far : near;
}

/** The emptiest of some disks, when the worker's own is much fuller. */
export function suggestLighter(state: ManagerState, from: WorkerRecord): WorkerRecord | undefined {
  let lightest: WorkerRecord | undefined;
  let leastShare = diskShare(from) - SHIFT_SHARE_MIN;
  let probed = 0;
  for (const worker of state.upkeep.receivers) {
    probed += 1;
    if (probed > RECEIVERS_PROBED) break;
    const share = diskShare(worker);
    if (worker === from || share > leastShare) continue;
    [lightest, leastShare] = [worker, share];
  }
  return lightest;
}

/** True of a temp whose move leaves the disk that it comes to no fuller than the one it left. */
export function suggestShift(
  file: FileRecord,
  { from, to }: { readonly from: WorkerRecord; readonly to: WorkerRecord },
): boolean {
  const sizeBytes = file.bound?.sizeBytes ?? 0;
  if (file.origin.kind !== "temp" || sizeBytes <= 0) return false;
  if (to.replicas.has(boundName(file)) || freeDiskBytes(to) < sizeBytes) return false;
  const shareAfter = diskShare(from) - sizeBytes / from.resources.diskBytes;
  return diskShare(to) + sizeBytes / to.resources.diskBytes <= shareAfter;
}

/** Copies above the wanted number, those first whose host has another one. */
export function suggestExtras(state: ManagerState, file: FileRecord): WorkerRecord[] {
  if (!state.policies.pruneExtraReplicas || file.origin.kind !== "temp") return [];
  const wanted = Math.max(1, wantedCopies(state.policies, file));
  if (file.readyCount <= wanted) return [];
  // One that may not come back, or may be damaged, does not count.
  const sturdy: WorkerRecord[] = [];
  for (const [worker, replica] of file.replicas) {
    if (replica.state === "ready" && !replica.isSuspect && isSturdy(worker)) sturdy.push(worker);
  }
  const hosts = new Set<string>();
  const doubled: WorkerRecord[] = [];
  const alone: WorkerRecord[] = [];
  for (const worker of sturdy) {
    (hosts.has(worker.host) ? doubled : alone).push(worker);
    hosts.add(worker.host);
  }
  return [...doubled, ...alone].slice(0, Math.max(0, sturdy.length - wanted));
}

/** True when that many levels of consumers have succeeded, of which the first is not empty. */
function areConsumersDone(
  state: ManagerState,
  file: FileRecord,
  limits: { levels: number; left: number },
): boolean {
  const { consumed, consumers, declaredCount, recipes } = file;
  // What is made of it by a recipe may be made again, at any worker.
  if (consumers.size > 0 || consumed.failed > 0 || recipes.size > 0) return false;
  // Nobody can name it any more.
  if (consumed.succeeded === 0 && declaredCount > 0) return false;
  if (limits.levels <= 1) return true;
  for (const task of file.dependents) {
    for (const { file: output } of outputFiles(state, task)) {
      limits.left -= 1;
      if (limits.left < 0) return false;
      if (output.origin.kind !== "temp") continue;
      limits.levels -= 1;
      const isDone = areConsumersDone(state, output, limits);
      limits.levels += 1;
      if (!isDone) return false;
    }
  }
  return true;
}
