/** Urls that files come from: whether one is asked already, and when it is given up. */

import type { WorkerReport } from "./event.ts";
import { canReach } from "./reach.ts";
import { mayUsePeers } from "./source.ts";
import type { FileRecord, ManagerState, TransferRecord } from "./state.ts";
import { abandonTransfer } from "./transfer.ts";

/** Fetches of one file from its url that may fail in a row, by whichever workers. */
const FAILURES_MAX = 3;

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
    if (!awaitsPeer(state, transfer)) abandonTransfer(state, transfer, why);
  }
}

/** A peer has what the transfer waits for. */
function awaitsPeer(state: ManagerState, { file, worker }: TransferRecord): boolean {
  if (file.readyCount === 0 || !mayUsePeers(state, file)) return false;
  for (const [holder, { state: kind }] of file.replicas) {
    const isThere = kind === "ready" && holder !== worker && holder.link.kind === "open";
    if (isThere && canReach(state, worker, holder)) return true;
  }
  return false;
}
