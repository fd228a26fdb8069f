/**
 * What stands after a connection broke: the worker tells what it runs and holds,
 * the manager which of that it still wants; DESIGN section 5, Sessions.
 *
 * @module
 */

import type { CacheName } from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import type { CacheLevel, FileFacts, TryId } from "../../shared/task.ts";
import { repeatDeliveries } from "./delivery.ts";
import type { Hello } from "./event.ts";
import { isUnneeded } from "./file.ts";
import { dropFollower } from "./group.ts";
import { repeatKeeps } from "./keep.ts";
import { becomeReady, missInstance, repeatRetirements } from "./library.ts";
import { factsLie, noteLie } from "./lie.ts";
import {
  dropReplica,
  keepUnclaimed,
  markReady,
  outlivesWorkflow,
  suspectReplica,
} from "./replica.ts";
import {
  type FileRecord,
  type ManagerState,
  outboxOf,
  tryKey,
  type TryRecord,
  type WorkerRecord,
} from "./state.ts";
import { waitOrQueue } from "./task.ts";
import { endTransfer, repeatTransfer } from "./transfer.ts";
import { removeTry, startTries } from "./try.ts";
import { tellReturn } from "./try_fact.ts";
import { isValueToCome } from "./value_file.ts";

type Reconcile = Extract<ManagerMessage, { kind: "reconcile" }>;

/** Compares `hello` with the tables, sends the verdicts, and repeats what may have been lost. */
export function reconcile(state: ManagerState, worker: WorkerRecord, hello: Hello): void {
  const { messages } = outboxOf(state, worker);
  // The verdicts go first, before what the changes of the tables send.
  const replicas: Reconcile["replicas"][number][] = [];
  const instances = judgeInstances(state, worker, hello);
  const results = judgeResults(state, worker, hello);
  const tries = judgeTries(worker, hello);
  messages.unshift({ kind: "reconcile", tries, results, replicas, instances });
  const running = hello.tries.filter(({ phase }) => phase === "running");
  // What it ran for an earlier manager, or before it was lost, is killed and no lie.
  startTries(state, worker, running.filter((id) => worker.tries.has(tryKey(id))));
  returnUnheardTries(state, worker, hello);
  judgeReplicas(state, worker, { hello, replicas });
  for (const replica of worker.replicas.values()) {
    if (replica.transfer !== undefined) repeatTransfer(state, replica.transfer);
    if (!replica.isSuspect) continue;
    // The question, or its answer, may be lost.
    replica.isSuspect = false;
    suspectReplica(state, worker, replica);
  }
  repeatDeliveries(state, worker);
  repeatKeeps(state, worker);
  repeatRetirements(state, worker);
}

/** A try stands while the manager has it in its table and has not ended it. */
function judgeTries(worker: WorkerRecord, hello: Hello): Reconcile["tries"] {
  return hello.tries.map(({ taskId, try: number }) => {
    const attempt = worker.tries.get(tryKey({ taskId, try: number }));
    const isKept = attempt !== undefined && !attempt.isEnded;
    return { taskId, try: number, verdict: isKept ? "keep" : "kill" };
  });
}

function judgeResults(
  state: ManagerState,
  worker: WorkerRecord,
  hello: Hello,
): Reconcile["results"] {
  return hello.results.map((id) => {
    const { taskId, try: number } = id;
    const attempt = worker.tries.get(tryKey(id));
    // Of an ended try too: its outputs are deleted when it is seen.
    if (attempt !== undefined) return { taskId, try: number, verdict: "resend" };
    const verdict = isRetrieving(state, worker, id) ? "keep" : "acknowledge";
    return { taskId, try: number, verdict };
  });
}

function isRetrieving(state: ManagerState, worker: WorkerRecord, id: TryId): boolean {
  const task = state.tasks.get(id.taskId);
  if (task?.state.kind !== "retrieving") return false;
  return task.state.attempt.worker === worker && task.state.attempt.try === id.try;
}

/** Tries that the worker does not know were lost on the way there, or given back on the way here. */
function returnUnheardTries(state: ManagerState, worker: WorkerRecord, hello: Hello): void {
  const heard = new Set<number>();
  for (const id of hello.tries) heard.add(tryKey(id));
  for (const id of hello.results) heard.add(tryKey(id));
  for (const attempt of [...worker.tries.values()]) {
    attempt.isRecalled = false;
    if (heard.has(tryKey(attempt))) continue;
    removeTry(state, attempt);
    if (attempt.isEnded) continue;
    attempt.isEnded = true;
    tellReturn(state, attempt);
    waitOrQueue(state, attempt.task);
    dropFollower(state, attempt);
  }
}

function judgeReplicas(
  state: ManagerState,
  worker: WorkerRecord,
  { hello, replicas }: {
    readonly hello: Hello;
    readonly replicas: Reconcile["replicas"][number][];
  },
): void {
  const told = new Map(hello.replicas.map((replica) => [replica.name, replica]));
  for (const replica of [...worker.replicas.values()]) {
    const facts = told.get(replica.name);
    const wasDeleting = replica.state === "deleting";
    replica.deletionCount = 0;
    if (facts !== undefined && facts.generation === replica.generation && !wasDeleting) continue;
    if (replica.state === "ready") dropReplica(state, worker, replica);
    else if (wasDeleting) worker.replicas.delete(replica.name);
  }
  for (const { level, ...facts } of hello.replicas) {
    const { name, generation } = facts;
    const verdict = judgeReplica(state, worker, { facts, level });
    replicas.push({ name, generation, verdict });
    if (verdict === "delete") noteDeletion(worker, { name, generation, level });
  }
}

/** Keeps what a table wants, what a result to come speaks of, and what outlives workflows. */
function judgeReplica(
  state: ManagerState,
  worker: WorkerRecord,
  held: { readonly facts: FileFacts; readonly level: CacheLevel },
): "keep" | "delete" {
  const { facts, level } = held;
  const lie = factsLie(facts);
  if (lie !== undefined) {
    noteLie(state, worker, lie);
    return "delete";
  }
  const file = state.filesByName.get(facts.name);
  if (file === undefined) {
    if (isValueToCome(state, worker, facts)) return "keep";
    if (!outlivesWorkflow(level)) return "delete";
    if (!worker.replicas.has(facts.name)) keepUnclaimed(state, worker, held);
    return "keep";
  }
  if (isResultToCome(worker, file, facts.generation)) return "keep";
  if (facts.generation !== file.generation) return "delete";
  const isLasting = outlivesWorkflow(file.level) || outlivesWorkflow(level);
  if (isUnneeded(file) && !isLasting) return "delete";
  if (file.generation > 0 && file.bound?.digest !== facts.digest) return "delete";
  const replica = worker.replicas.get(facts.name);
  if (replica?.state === "ready") return "keep";
  if (replica?.transfer !== undefined) endTransfer(state, replica.transfer, { movedBytes: 0 });
  markReady(state, { file, worker, facts, level });
  // It may be of an earlier process, which shared it with others, or of an earlier workflow.
  const found = worker.replicas.get(facts.name);
  const isOld = level === "forever" || file.origin.kind === "kept";
  if (isOld && found !== undefined) suspectReplica(state, worker, found);
  return "keep";
}

function isResultToCome(worker: WorkerRecord, file: FileRecord, generation: number): boolean {
  const { producer } = file;
  if (producer?.state.kind !== "dispatched") return false;
  const attempt: TryRecord = producer.state.attempt;
  return attempt.worker === worker && attempt.try === generation;
}

/** The verdict is answered as a deletion is. */
function noteDeletion(
  worker: WorkerRecord,
  deleted: {
    readonly name: CacheName;
    readonly generation: number;
    readonly level: CacheLevel;
  },
): void {
  const replica = worker.replicas.get(deleted.name);
  if (replica !== undefined) {
    replica.deletionCount += 1;
    return;
  }
  worker.replicas.set(deleted.name, {
    ...deleted,
    state: "deleting",
    deletionCount: 1,
    facts: undefined,
    transfer: undefined,
    isSuspect: false,
    comingBytes: 0,
  });
}

function judgeInstances(
  state: ManagerState,
  worker: WorkerRecord,
  hello: Hello,
): Reconcile["instances"] {
  const told = new Map(hello.instances.map((instance) => [instance.instanceId, instance]));
  for (const instance of [...worker.instances.values()]) {
    const heard = told.get(instance.instanceId);
    if (heard === undefined) missInstance(state, instance);
    else if (heard.isReady && instance.state === "starting") becomeReady(state, instance);
  }
  return hello.instances.map(({ instanceId }) => {
    const instance = worker.instances.get(instanceId);
    const isKept = instance !== undefined && instance.state !== "stopping";
    return { instanceId, verdict: isKept ? "keep" : "stop" };
  });
}
