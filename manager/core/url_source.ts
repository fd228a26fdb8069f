/**
 * Url hosts as sources: how many transfers each serves, that a file is fetched from its url once
 * where workers may give it to each other, and when a url is given up.
 *
 * @module
 */

import type { WorkerReport } from "./event.ts";
import { canReach } from "./reach.ts";
import {
  type FileRecord,
  type ManagerState,
  newSource,
  type Source,
  type TransferRecord,
  type WorkerRecord,
} from "./state.ts";
import { abandonTransfer, mayUsePeers, slotsOf } from "./transfer.ts";

/** Fetches of one file from its url that may fail in a row, by whichever workers. */
const FAILURES_MAX = 3;

/** Holders that are looked at for one that will have a slot. */
const HOLDERS_PROBED = 64;

/** What serves files of that host, and takes them. */
export function urlSource(state: ManagerState, host: string): Source {
  let source = state.urlSources.get(host);
  if (source === undefined) state.urlSources.set(host, source = newSource("url"));
  return source;
}

/** Takes a host off the table with which nothing is under way and nothing waits. */
export function forgetIdleUrl(state: ManagerState, host: string, source: Source): void {
  const { active, wanted, stores, storeQueue } = source;
  if (active.size + wanted.size + stores.size + storeQueue.size > 0) return;
  if (state.urlSources.get(host) === source) state.urlSources.delete(host);
}

/** True when `source` can serve, or take, one more. */
export function hasSlot(state: ManagerState, source: Source): boolean {
  return source.active.size + source.stores.size < slotsOf(state, source);
}

/**
 * True when `worker` is to have the file from a peer that has it, or is fetching it, though none
 * can serve it now. Peers that are in `failed` do not count.
 */
export function awaitsPeer(
  state: ManagerState,
  file: FileRecord,
  { worker, failed }: {
    readonly worker: WorkerRecord;
    readonly failed: ReadonlySet<Source>;
  },
): boolean {
  if (!mayUsePeers(state, file)) return false;
  if (isBeingFetched(state, file)) return true;
  let probed = 0;
  for (const [holder, replica] of file.replicas) {
    const isHolder = replica.state === "ready" && replica.generation === file.generation;
    if (isHolder && !failed.has(holder.source) && canServe(state, holder, worker)) return true;
    probed += 1;
    if (probed >= HOLDERS_PROBED) return false;
  }
  return false;
}

/** True while a worker fetches the file from its url. */
export function isBeingFetched(state: ManagerState, file: FileRecord): boolean {
  if (file.origin.kind !== "url") return false;
  // As few as `transfersPerUrl`.
  for (const transfer of state.urlSources.get(file.origin.host)?.active ?? []) {
    if (transfer.file === file) return true;
  }
  return false;
}

/** Counts a fetch that failed; true when the url is given up for now. */
export function noteUrlFailure(
  { source, file }: TransferRecord,
  message: Extract<WorkerReport, { kind: "transfer_failed" }>,
): boolean {
  if (source?.kind !== "url" || file.origin.kind !== "url") return false;
  if (message.isDiskFull === true) return false;
  // What one host does not find on its disks another one may.
  if (!message.canRetry && file.origin.host === "") return false;
  file.originFailures += 1;
  if (message.canRetry && file.originFailures < FAILURES_MAX) return false;
  file.originFailures = 0;
  return true;
}

/** Fails what waits for a file that is nowhere but at a url that is given up. */
export function failWaiting(
  state: ManagerState,
  given: TransferRecord,
  why: Parameters<typeof abandonTransfer>[2],
): void {
  for (const { transfer } of [...given.file.replicas.values()]) {
    const isWaiting = transfer !== undefined && transfer !== given && transfer.source === undefined;
    if (!isWaiting || state.transfers.get(transfer.transferId) !== transfer) continue;
    if (!awaitsOther(state, transfer)) abandonTransfer(state, transfer, why);
  }
}

/** A peer has what the transfer waits for. */
function awaitsOther(state: ManagerState, { file, worker }: TransferRecord): boolean {
  if (file.readyCount === 0 || !mayUsePeers(state, file)) return false;
  for (const [holder, replica] of file.replicas) {
    if (replica.state === "ready" && canServe(state, holder, worker)) return true;
  }
  return false;
}

function canServe(state: ManagerState, holder: WorkerRecord, worker: WorkerRecord): boolean {
  return holder !== worker && holder.link.kind === "open" && canReach(state, worker, holder);
}
