/** Why the inputs of a task that waits cannot be had yet, down to what keeps the first of a chain. */

import type { FileId } from "../../shared/ids.ts";
import { moduleFiles } from "../../shared/library.ts";
import type { InputReason, NeededFile, Producer, Reason } from "./explanation.ts";
import { inputFiles } from "./file.ts";
import type { LibraryRecord } from "./library_record.ts";
import { recipeInputs } from "./recipe.ts";
import type { FileRecord, ManagerState, TaskRecord } from "./state.ts";
import { taskStateOf } from "./task_standing.ts";

/** Files that one task waits for and that are told of one by one. */
export const INPUTS_TOLD_MAX = 8;

/** Tasks of one chain. */
export const CHAIN_MAX = 16;

/** Recipes of which one is made of the next. */
const RECIPES_MAX = 16;

/** How much is told, and by whom. */
interface Asked {
  /** Files that are told of one by one. */
  readonly most: number;
  readonly nowMs: number;
  readonly nameOf: (file: FileRecord) => NeededFile;
  /** What keeps the last task of a chain. */
  readonly rootOf: (task: TaskRecord) => Reason | undefined;
}

/** A file as a task that needs it names it. */
export function neededBy({ definition }: TaskRecord, { fileId, aliases }: FileRecord): NeededFile {
  const mount = definition.inputs.find((input) => {
    return input.fileId === fileId || aliases.includes(input.fileId);
  })?.mount;
  return mount === undefined ? { fileId } : { fileId, mount };
}

/** As `neededBy`, a file of the library. */
export function neededByLibrary({ spec }: LibraryRecord, file: FileRecord): NeededFile {
  const { fileId } = file;
  const { name: library, inputs, program } = spec;
  const isOf = (id: FileId) => id === fileId || file.aliases.includes(id);
  if (moduleFiles(program).some(isOf)) return { fileId, library, isModule: true };
  const mount = inputs.find((input) => isOf(input.fileId))?.mount;
  return mount === undefined ? { fileId, library } : { fileId, library, mount };
}

/** Why some of the files cannot be had, each in turn. */
export function missingInputReasons(
  state: ManagerState,
  files: Iterable<FileRecord>,
  asked: Asked,
): InputReason[] {
  const reasons: InputReason[] = [];
  let count = 0;
  for (const file of files) {
    if (file.isAvailable) continue;
    count += 1;
    if (count <= asked.most) reasons.push(reasonOf(state, file, asked));
  }
  if (count <= asked.most) return reasons;
  return [...reasons, { kind: "more_inputs", count: count - asked.most }];
}

function reasonOf(
  state: ManagerState,
  missing: FileRecord,
  { nowMs, nameOf, rootOf }: Asked,
): InputReason {
  const file = nameOf(missing);
  const cause = causeOf(state, missing);
  const { producer } = cause;
  if (cause.origin.kind === "kept" && cause.bound !== undefined) {
    const untilMs = state.keptWaits.untilMs.get(cause);
    const left = untilMs === undefined ? {} : { leftMs: Math.max(0, untilMs - nowMs) };
    return { kind: "input_kept", file, name: cause.bound.name, ...left };
  }
  if (producer === undefined || producer.state.kind === "done") {
    const isKnown = cause.bound !== undefined;
    return isKnown
      ? { kind: "input_unmade", file }
      : { kind: "input_unbound", file, origin: originOf(cause) };
  }
  const chain: Producer[] = [];
  const seen = new Set<TaskRecord>();
  let last = producer;
  for (let next: TaskRecord | undefined = producer; next !== undefined;) {
    if (chain.length === CHAIN_MAX) return { kind: "input_made", file, chain };
    last = next;
    seen.add(next);
    chain.push(producerOf(next));
    next = producerBefore(state, next);
    if (next !== undefined && seen.has(next)) return { kind: "input_made", file, chain };
  }
  const isAtWork = last.state.kind === "dispatched" && last.state.attempt.isStarted;
  const root = isAtWork ? undefined : rootOf(last);
  return { kind: "input_made", file, chain, ...(root === undefined ? {} : { root }) };
}

/** What lacks of a file that is made by a recipe: the first of what it is made of, if that. */
function causeOf(state: ManagerState, file: FileRecord): FileRecord {
  let cause = file;
  for (let depth = 0; depth < RECIPES_MAX; depth++) {
    let lacking: FileRecord | undefined;
    for (const input of recipeInputs(state, cause)) {
      if (!input.isAvailable) lacking ??= input;
    }
    if (lacking === undefined) break;
    cause = lacking;
  }
  return cause;
}

/** The task that makes the first input that a waiting task lacks, unless it is held besides. */
function producerBefore(state: ManagerState, task: TaskRecord): TaskRecord | undefined {
  if (task.state.kind !== "waiting" || task.hold !== undefined) return undefined;
  for (const file of inputFiles(state, task)) {
    if (file.isAvailable) continue;
    const { producer } = causeOf(state, file);
    return producer?.state.kind === "done" ? undefined : producer;
  }
  return undefined;
}

function producerOf(task: TaskRecord): Producer {
  const { definition: { taskId }, recoveryCount } = task;
  const recovery = task.isSettled ? { recovery: recoveryCount } : {};
  return { taskId, state: taskStateOf(task), ...recovery };
}

function originOf({ origin }: FileRecord): "local" | "url" | "made" {
  if (origin.kind === "manager") return "local";
  return origin.kind === "url" ? "url" : "made";
}
