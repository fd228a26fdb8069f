/**
 * Files that workers make of others: of what, by whom, and when a copy is fetched instead.
 *
 * Each worker makes its own, unless the file may pass between workers: then one makes it, and the
 * others wait for that one. Two makings need not have the same bytes, so that a copy is checked
 * against the very one that it is fetched from.
 */

import type { Recipe } from "../../shared/protocol.ts";
import { boundName, fileOf, inputFiles } from "./file.ts";
import { canReach } from "./reach.ts";
import { deleteReplica, isNeededAt } from "./replica.ts";
import type {
  FileRecord,
  ManagerState,
  TransferRecord,
  TransferSource,
  TryRecord,
} from "./state.ts";
import { choosePeer, mayUsePeers, possibleSources } from "./source.ts";
import { startQueued } from "./transfer.ts";

const NO_FILES: readonly FileRecord[] = [];

/** What a file is made of by its recipe, each once; none of a file that has no recipe. */
export function recipeInputs(state: ManagerState, { origin }: FileRecord): Iterable<FileRecord> {
  if (origin.kind !== "recipe") return NO_FILES;
  return new Set(origin.inputs.map((fileId) => fileOf(state, fileId)));
}

/** All that its recipe makes it of can be had. */
export function canBeMade(state: ManagerState, file: FileRecord): boolean {
  for (const input of recipeInputs(state, file)) if (!input.isAvailable) return false;
  return true;
}

/** The recipe as workers are told it. */
export function recipeOf(state: ManagerState, { origin }: FileRecord): Recipe | undefined {
  if (origin.kind !== "recipe") return undefined;
  const { recipe } = origin;
  const nameOf = (fileId: typeof origin.inputs[number]) => boundName(fileOf(state, fileId));
  if (recipe.kind === "command") {
    return {
      ...recipe,
      inputs: recipe.inputs.map(({ mount, fileId }) => ({ mount, name: nameOf(fileId) })),
      environments: recipe.environments.map(nameOf),
    };
  }
  const [input] = origin.inputs;
  return input === undefined ? undefined : { kind: recipe.kind, input: nameOf(input) };
}

/** Where a file with a recipe comes from: made, or from a peer; undefined while one is waited for. */
export function chooseMaking(
  state: ManagerState,
  transfer: TransferRecord,
): TransferSource | undefined {
  const { file } = transfer;
  const making = { kind: "recipe", source: undefined } as const;
  const isShared = file.origin.kind === "recipe" && file.origin.recipe.kind === "command" &&
    mayUsePeers(state, file);
  if (!isShared) return making;
  const peer = choosePeer(state, transfer);
  if (peer !== undefined && !transfer.failed.has(peer.source)) return peer;
  return isComing(state, transfer) ? undefined : making;
}

/** The maker failed or is gone: the first of those that wait for what it makes is the next. */
export function passMaking(state: ManagerState, file: FileRecord): void {
  const isWaited = file.queued.size > 0 && file.origin.kind === "recipe" && file.isAvailable;
  if (isWaited) startQueued(state, file);
}

/** Ends the commands that ran for `attempt` alone, which will not start. */
export function callOffMaking(state: ManagerState, { task, worker }: TryRecord): void {
  for (const file of inputFiles(state, task)) {
    if (file.origin.kind !== "recipe" || file.origin.recipe.kind !== "command") continue;
    const replica = file.replicas.get(worker);
    if (replica?.transfer?.source?.kind !== "recipe" || isNeededAt(worker, file)) continue;
    deleteReplica(state, worker, replica);
  }
}

/** A peer that can be reached makes it now, or has it and is busy. */
function isComing(state: ManagerState, transfer: TransferRecord): boolean {
  const { file, worker, failed } = transfer;
  const { maker } = file;
  if (maker !== undefined && maker !== transfer && canReach(state, worker, maker.worker)) {
    return true;
  }
  return possibleSources(state, transfer).some((source) => {
    return source.kind === "worker" && !failed.has(source);
  });
}
