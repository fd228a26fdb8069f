/**
 * The manager's state machine: events in, instructions and facts out. A batch of
 * events is applied, then one scheduling pass runs.
 *
 * @module
 */

import { failArguments, learnArguments } from "./argument.ts";
import { callOffSome, cancelTask, cancelTasks } from "./cancel.ts";
import { declareCategory, resize } from "./category.ts";
import { learn } from "./learning.ts";
import { answerRoomWanted } from "./eviction.ts";
import { unreachable } from "../../shared/assert.ts";
import { peekHeap } from "../../shared/heap.ts";
import { passDeadlines } from "./deadline.ts";
import { letGo } from "./drain.ts";
import { endDelivery, endStore, requestFile, retryDelivery } from "./delivery.ts";
import type { TimedEvent } from "./event.ts";
import { bindFile, declareFile, failFile, undeclareFile } from "./file.ts";
import { changeHost } from "./host.ts";
import { reviewIdle } from "./instance_idle.ts";
import { reviewClaims } from "./instance_turn.ts";
import type { Fact } from "./fact.ts";
import type { ManagerInstruction } from "./instruction.ts";
import { endKeep, failKeep, keepFile } from "./keep.ts";
import { declareLibrary, endInstance, readyInstance, undeclareLibrary } from "./library.ts";
import { flushOutbox } from "./outbox.ts";
import type { Policies } from "./policy.ts";
import { remakeLost } from "./recovery.ts";
import { clearReplica, loseReplica, readyReplica } from "./replica.ts";
import { decideRetry } from "./retry.ts";
import { schedule } from "./schedule.ts";
import { noteDisk } from "./shift.ts";
import { watchAll } from "./slow_worker.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";
import { submitTask } from "./task.ts";
import { failFetch, failTransfer, reviewTransfers } from "./transfer.ts";
import { endTry, returnTry, startTries } from "./try.ts";
import { keepCopies, pruneFile, replicateFile, reviewAll } from "./upkeep.ts";
import { startStores } from "./url_output.ts";
import {
  connectWorker,
  disconnectWorker,
  exitWorker,
  expelLiar,
  leaveWorker,
  releaseIdle,
  releaseWorkers,
} from "./worker.ts";
import { planEviction } from "./worker_eviction.ts";

/** What a step asks for and what became true. */
export interface StepOutput {
  readonly instructions: ManagerInstruction[];
  readonly facts: Fact[];
}

/** Applies `events` in order, schedules once, and returns what the shell must now do, in order. */
export function step(state: ManagerState, events: readonly TimedEvent[]): StepOutput {
  for (const event of events) {
    state.nowMs = Math.max(state.nowMs, event.atMs);
    handle(state, event);
  }
  passDeadlines(state);
  learn(state);
  callOffSome(state);
  schedule(state);
  letGo(state);
  // After the scheduling pass: what tasks wait for comes first.
  remakeLost(state);
  keepCopies(state);
  flushOutbox(state);
  const instructions = state.instructions.splice(0);
  for (const instruction of state.fetches.splice(0)) {
    // One that was called off in the same step would come after its deletion.
    if (state.transfers.has(instruction.order.transferId)) instructions.push(instruction);
  }
  return { instructions, facts: state.facts.splice(0) };
}

/** When the next timer of the state falls due, if there is one. */
export function nextWakeAtMs(state: ManagerState): number | undefined {
  return peekHeap(state.deadlines)?.atMs;
}

function handle(state: ManagerState, event: TimedEvent): void {
  switch (event.kind) {
    case "file_declared":
      return declareFile(state, event);
    case "file_bound":
      return bindFile(state, event.fileId, event.bound);
    case "file_failed":
      return failFile(state, event);
    case "file_undeclared":
      return undeclareFile(state, event.fileId);
    case "file_requested":
      return requestFile(state, event);
    case "file_replicated":
      return replicateFile(state, event);
    case "file_pruned":
      return pruneFile(state, event);
    case "file_keep_wanted":
      return keepFile(state, event);
    case "library_declared":
      state.facts.push({ kind: "library_declared", spec: event.library });
      return declareLibrary(state, event.library);
    case "library_undeclared":
      return undeclareLibrary(state, event.name);
    case "task_submitted":
      submitTask(state, event.task);
      if (state.isClosed) cancelTask(state, event.task.taskId);
      return;
    case "arguments_known":
      return learnArguments(state, event);
    case "arguments_failed":
      return failArguments(state, event);
    case "task_cancelled":
      return cancelTask(state, event.taskId);
    case "tasks_cancelled":
      return cancelTasks(state, event.taskIds);
    case "retry_decided":
      return decideRetry(state, event, event.decision);
    case "app_noted":
      for (const fact of event.facts) state.facts.push(fact);
      return;
    case "category_declared":
      state.facts.push({ kind: "category_declared", category: event.category });
      return declareCategory(state, event.category);
    case "worker_connected":
      connectWorker(state, event.session, event.hello);
      return planEviction(state);
    case "message_received":
      return handleReport(state, event);
    case "worker_disconnected":
      return disconnectWorker(state, event);
    case "worker_exited":
      return exitWorker(state, event);
    case "delivery_ended":
      return endDelivery(state, event);
    case "fetch_failed":
      return failFetch(state, event);
    case "policies_set":
      return setPolicies(state, event.policies);
    case "host_changed":
      return changeHost(state, event);
    case "workers_released":
      return releaseIdle(state, event.count);
    case "closed":
      return releaseWorkers(state, event.reason);
    case "tick":
      return;
    default:
      return unreachable(event);
  }
}

/** What follows from policies is done anew. */
function setPolicies(state: ManagerState, policies: Policies): void {
  state.policies = policies;
  state.facts.push({ kind: "policies_set", policies });
  watchAll(state);
  for (const category of state.categories.values()) {
    state.unlearnt.add(category);
    resize(state, category);
  }
  for (const source of [...state.urlSources.values()]) startStores(state, source);
  reviewTransfers(state);
  planEviction(state);
  reviewAll(state);
  reviewIdle(state);
  reviewClaims(state);
}

/** Applies what a worker says, unless its connection was given up since. */
function handleReport(
  state: ManagerState,
  event: Extract<TimedEvent, { kind: "message_received" }>,
): void {
  const worker = state.workers.get(event.workerId);
  if (worker?.link.kind !== "open" || worker.link.session !== event.session) return;
  applyReport(state, worker, event.message);
  if (worker.lieCount > 0) expelLiar(state, worker);
}

function applyReport(
  state: ManagerState,
  worker: WorkerRecord,
  message: Extract<TimedEvent, { kind: "message_received" }>["message"],
): void {
  switch (message.kind) {
    case "tries_started":
      return startTries(state, worker, message.tries);
    case "recalled":
      return returnTry(state, worker, message);
    case "result":
      return endTry(state, worker, message.result);
    case "results":
      for (const result of message.results) endTry(state, worker, result);
      return;
    case "replica_ready":
      return readyReplica(state, worker, message);
    case "transfer_failed":
      return failTransfer(state, worker, message);
    case "room_wanted":
      return answerRoomWanted(state, worker, message);
    case "disk_used":
      worker.diskUsedBytes = message.usedBytes;
      return noteDisk(state, worker);
    case "replica_gone":
      return loseReplica(state, worker, message);
    case "replica_verified":
      return clearReplica(state, worker, message);
    case "kept":
      return endKeep(state, worker, message);
    case "keep_failed":
      return failKeep(state, worker, message);
    case "stored":
      return endStore(state, worker, message.transferId);
    case "send_failed":
      return retryDelivery(state, worker, message);
    case "instance_ready":
      return readyInstance(state, worker, message);
    case "instance_gone":
      return endInstance(state, worker, message);
    case "piece":
    case "watch_ended":
      // The shell has taken them: what is only looked at is no state.
      return;
    case "heartbeat":
      return;
    case "leaving":
      return leaveWorker(state, worker, message.reason);
    default:
      return unreachable(message);
  }
}
