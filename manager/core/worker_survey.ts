/**
 * What keeps the tasks of a class from each of the workers, by the predicates that place them.
 * Linear in the number of workers: for who asks, not for the scheduling pass.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import { lacking, NO_RESOURCES, requestOf, type Resources } from "../../shared/resources.ts";
import { instanceNeed } from "./call_room.ts";
import type { PassedWorker, PlaceReason } from "./explanation.ts";
import { aheadFactor, lastingObstacleAt, neededMs, obstacleAt } from "./placement.ts";
import { type Closure, closureOf } from "./room.ts";
import { isReserved } from "./reservation.ts";
import { instanceObstacleAt } from "./schedule.ts";
import { isPassedOver } from "./start_failure.ts";
import type { LibraryRecord } from "./library_record.ts";
import type { ManagerState, TaskClass, WorkerRecord } from "./state.ts";
import { allocationAt, shortageAt } from "./task_class.ts";
import { missingAt } from "./allocation.ts";

/** How the workers stand to one class. */
export interface WorkerSurvey {
  /** Those that could run it, if others were not there, or they were open. */
  readonly candidateCount: number;
  /** Those to which one could be dispatched now. */
  readonly freeCount: number;
  /** What keeps it from the others, the real cause first. */
  readonly reasons: readonly PlaceReason[];
}

/** What keeps a class from one worker: the first that does. */
type Finding =
  | { readonly kind: "resource"; readonly resource: string; readonly amount: number }
  | { readonly kind: "feature"; readonly feature: string }
  | { readonly kind: Closure | "free" | "passed_over" | "kept" }
  | { readonly kind: "busy"; readonly resource: string };

/** A finding, and of how many workers it is true. */
interface Tally {
  readonly finding: Finding;
  count: number;
  /** The longest time that one of them has left, or has to come back. */
  leftMs: number;
  /** Of the first of them. */
  readonly host: string;
  readonly hosts: Set<string>;
  /** The first few of them. */
  readonly workers: WorkerRecord[];
}

/** In this order they stand before what lasts, where some worker could run it. */
const PASSING = [
  "free",
  "passed_over",
  "busy",
  "kept",
  "crowded",
  "away",
  "blocked",
  "draining",
  "leaving",
] as const;

/** Workers that are named one by one. */
const WORKERS_TOLD_MAX = 8;

/** Looks at all workers for one class, or at those that alone are in question. */
export function surveyWorkers(
  { state, nowMs }: { readonly state: ManagerState; readonly nowMs: number },
  taskClass: TaskClass,
  workers: readonly WorkerRecord[] = [...state.workers.values()],
): WorkerSurvey {
  const tallies = new Map<string, Tally>();
  for (const worker of workers) {
    const finding = findingAt(state, worker, taskClass);
    const key = JSON.stringify(finding);
    let tally = tallies.get(key);
    if (tally === undefined) {
      const { host } = worker;
      tally = { finding, count: 0, leftMs: 0, host, hosts: new Set(), workers: [] };
      tallies.set(key, tally);
    }
    tally.hosts.add(worker.host);
    if (tally.workers.length < WORKERS_TOLD_MAX) tally.workers.push(worker);
    tally.count += 1;
    tally.leftMs = Math.max(tally.leftMs, leftMsOf(nowMs, worker, finding));
  }
  const all = [...tallies.values()];
  const lasting = all.filter(({ finding: { kind } }) => !isPassing(kind));
  const passing = PASSING.flatMap((kind) => {
    return all.filter(({ finding }) => finding.kind === kind).toSorted((a, b) => b.count - a.count);
  });
  const tell = (tally: Tally) => reasonOf({ state, nowMs }, { taskClass, workers, tally });
  const reasons = mergeBusy(passing).map(tell);
  const others = lasting.map(tell).toSorted(compareLasting);
  return {
    candidateCount: passing.reduce((sum, { count }) => sum + count, 0),
    freeCount: tallies.get('{"kind":"free"}')?.count ?? 0,
    reasons: [...reasons, ...others],
  };
}

function isPassing(kind: Finding["kind"]): boolean {
  return PASSING.some((known) => known === kind);
}

function findingAt(state: ManagerState, worker: WorkerRecord, taskClass: TaskClass): Finding {
  const { library } = taskClass;
  const obstacle = library === undefined
    ? lastingObstacleAt(state, worker, taskClass)
    : instanceObstacleAt(state, worker, { taskClass, library, factor: Infinity });
  switch (obstacle) {
    case "too_small":
      return shortageFinding(taskClass, worker);
    case "feature":
      return { kind: "feature", feature: missingFeature(taskClass, worker) };
    case "time":
      return { kind: "time" };
    case "busy":
    case undefined:
      break;
    default:
      return unreachable(obstacle);
  }
  const closure = closureOf(worker);
  if (closure !== undefined) return { kind: closure };
  return library === undefined
    ? roomFinding(state, worker, taskClass)
    : instanceFinding(state, worker, { taskClass, library });
}

function shortageFinding(taskClass: TaskClass, worker: WorkerRecord): Finding {
  const { library } = taskClass;
  if (library === undefined) {
    return { kind: "resource", ...shortageAt(taskClass, worker) ?? { resource: "", amount: 0 } };
  }
  const resources = instanceNeed(taskClass, library);
  const resource = missingAt(resources, worker.resources) ?? "";
  return { kind: "resource", resource, amount: requestOf(resources, resource) };
}

/** What is taken there of what a try needs, unless one could be dispatched. */
function roomFinding(state: ManagerState, worker: WorkerRecord, taskClass: TaskClass): Finding {
  const factor = aheadFactor(state, taskClass);
  if (obstacleAt(state, worker, { taskClass, factor }) === undefined) return { kind: "free" };
  const { held: more } = allocationAt(state, taskClass, worker) ?? { held: NO_RESOURCES };
  const room = { used: worker.committed, more };
  const resource = lacking(worker.resources, { ...room, factor }) ??
    lacking(worker.resources, { ...room, factor: 1 });
  if (resource !== undefined) return { kind: "busy", resource };
  return isReserved(worker, taskClass) ? { kind: "kept" } : { kind: "busy", resource: "cores" };
}

/** As `roomFinding`, of an instance. */
function instanceFinding(
  state: ManagerState,
  worker: WorkerRecord,
  { taskClass, library }: { readonly taskClass: TaskClass; readonly library: LibraryRecord },
): Finding {
  const more = instanceNeed(taskClass, library);
  const resource = lacking(worker.resources, { used: worker.committed, more, factor: 1 });
  if (resource !== undefined) return { kind: "busy", resource };
  if (isPassedOver(state, library, worker)) return { kind: "passed_over" };
  return { kind: isReserved(worker, taskClass) ? "kept" : "free" };
}

function missingFeature({ features }: TaskClass, worker: WorkerRecord): string {
  return features.find((feature) => !worker.features.has(feature)) ?? "";
}

function leftMsOf(nowMs: number, worker: WorkerRecord, { kind }: Finding): number {
  if (kind === "time") return Math.max(0, worker.endsAtMs - nowMs);
  if (kind !== "away" || worker.link.kind !== "grace") return 0;
  return Math.max(0, worker.link.untilMs - nowMs);
}

/** What lacks at busy workers differs; one reason tells of all of them, by the most frequent. */
function mergeBusy(tallies: readonly Tally[]): readonly Tally[] {
  const merged: Tally[] = [];
  for (const tally of tallies) {
    const before = merged.at(-1);
    const isMore = tally.finding.kind === "busy" && before?.finding.kind === "busy";
    if (isMore) before.count += tally.count;
    else merged.push({ ...tally });
  }
  return merged;
}

function reasonOf(
  { state, nowMs }: { readonly state: ManagerState; readonly nowMs: number },
  { taskClass, workers, tally }: {
    readonly taskClass: TaskClass;
    readonly workers: readonly WorkerRecord[];
    readonly tally: Tally;
  },
): PlaceReason {
  const { finding, count, leftMs, host } = tally;
  const { library } = taskClass;
  const of = {
    workerCount: count,
    ofCount: workers.length,
    ...(library === undefined ? {} : { library: library.spec.name }),
  };
  switch (finding.kind) {
    case "free":
      return { kind: "placed_next" };
    case "resource":
      return { ...finding, ...of, most: mostOf(workers, finding.resource) };
    case "feature":
      return { ...finding, ...of, holderCount: holdersOf(workers, finding.feature) };
    case "time":
      return { kind: "time", ...of, neededMs: neededMs(taskClass), mostMs: leftMs };
    case "away":
      return { kind: "away", ...of, leftMs };
    case "busy":
      return { ...finding, ...of };
    case "blocked": {
      const { blockedUntilMs = Infinity } = state.hosts.get(host) ?? {};
      const left = Math.max(0, blockedUntilMs - nowMs);
      const hostCount = tally.hosts.size;
      const more = left < Infinity ? { leftMs: left } : {};
      return { kind: "blocked", ...of, host, hostCount, ...more };
    }
    case "passed_over":
      return { kind: "passed_over", ...of, workers: tally.workers.map(passedBy(library, nowMs)) };
    case "leaving":
    case "kept":
    case "crowded":
    case "draining":
      return { kind: finding.kind, ...of };
    default:
      return unreachable(finding);
  }
}

function passedBy(library: LibraryRecord | undefined, nowMs: number) {
  return (worker: WorkerRecord): PassedWorker => {
    const { workerId, host } = worker;
    const { againAtMs = nowMs } = library?.failedStarts.get(worker) ?? {};
    return { workerId, host, leftMs: Math.max(0, againAtMs - nowMs) };
  };
}

/** What no worker has at all comes first, then what keeps it from most of them. */
function compareLasting(a: PlaceReason, b: PlaceReason): number {
  return Number(isNowhere(b)) - Number(isNowhere(a)) || countOf(b) - countOf(a);
}

function isNowhere(reason: PlaceReason): boolean {
  if (reason.kind === "resource") return reason.most < reason.amount;
  return reason.kind === "feature" && reason.holderCount === 0;
}

function countOf(reason: PlaceReason): number {
  return "workerCount" in reason ? reason.workerCount : 0;
}

function mostOf(workers: readonly WorkerRecord[], name: string): number {
  let most = 0;
  const seen = new Set<Resources>();
  for (const { resources } of workers) {
    if (seen.has(resources)) continue;
    seen.add(resources);
    most = Math.max(most, requestOf(resources, name));
  }
  return most;
}

function holdersOf(workers: readonly WorkerRecord[], feature: string): number {
  let count = 0;
  for (const { features } of workers) if (features.has(feature)) count += 1;
  return count;
}
