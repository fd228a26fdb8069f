/**
 * Whose turn it is: among categories whose best tasks are of equal priority that of the one which
 * holds the least cores, so that none of them starves another.
 *
 * Source of the rule: fair sharing among pools, Hadoop Fair Scheduler.
 *
 * @module
 */

import { type Heap, lowerFirst, newHeap, peekHeap, popHeap, pushHeap } from "../../shared/heap.ts";
import { peekOrdered, popOrdered } from "../../shared/ordered_queue.ts";
import { type CategoryRecord, isFull } from "./category.ts";
import type { TaskClass, TaskRecord } from "./state.ts";
import { comesFirst, compareRanks } from "./task_class.ts";

/** A class that may fit somewhere, with its best task as it was when last looked at. */
interface Candidate {
  readonly taskClass: TaskClass;
  head: TaskRecord;
}

/** What a category may dispatch in one pass. */
interface Turn {
  readonly category: CategoryRecord;
  /** Its classes, the one with the best task first. */
  readonly candidates: Heap<Candidate>;
  /** Of those the best task. */
  head: TaskRecord;
}

/**
 * Gives classes that may fit somewhere to `place`, the one whose turn it is first, until none is
 * left; one that is placed has its turn again.
 */
export function takeTurns(
  classes: Iterable<TaskClass>,
  place: (taskClass: TaskClass, task: TaskRecord) => boolean,
): void {
  const turns = turnsOf(classes);
  for (let turn = peekHeap(turns); turn !== undefined; turn = peekHeap(turns)) {
    const { category, candidates } = turn;
    const candidate = peekHeap(candidates);
    // It is passed over until one of its tries ends, however many classes it has.
    if (candidate === undefined || isFull(category)) {
      for (const { taskClass } of candidates.items) taskClass.isBlocked = false;
      popHeap(turns);
      continue;
    }
    const { taskClass, head } = candidate;
    const task = headOf(taskClass);
    // Where another one took the best task away, the next has its turn when it comes to it.
    const isLeft = task !== undefined && (task !== head || place(taskClass, task));
    const next = isLeft ? headOf(taskClass) : undefined;
    if (next === undefined) {
      popHeap(candidates);
    } else {
      candidate.head = next;
      lowerFirst(candidates);
    }
    const best = peekHeap(candidates);
    if (best === undefined) {
      popHeap(turns);
    } else {
      turn.head = best.head;
      lowerFirst(turns);
    }
  }
}

/** The best ready task of a class; stale entries before it are dropped. */
export function headOf(taskClass: TaskClass): TaskRecord | undefined {
  while (true) {
    const head = peekOrdered(taskClass.ready);
    if (head === undefined) return undefined;
    if (head.state.kind === "ready" && head.taskClass === taskClass) return head;
    popOrdered(taskClass.ready);
  }
}

function turnsOf(classes: Iterable<TaskClass>): Heap<Turn> {
  const byCategory = new Map<CategoryRecord, Turn>();
  for (const taskClass of classes) {
    const { category } = taskClass;
    const head = headOf(taskClass);
    if (head === undefined) continue;
    let turn = byCategory.get(category);
    if (turn === undefined) {
      turn = { category, candidates: newHeap(headsFirst), head };
      byCategory.set(category, turn);
    }
    pushHeap(turn.candidates, { taskClass, head });
    if (comesFirst(head, turn.head)) turn.head = head;
  }
  const turns = newHeap(goesFirst);
  for (const turn of byCategory.values()) pushHeap(turns, turn);
  return turns;
}

function headsFirst(a: Candidate, b: Candidate): boolean {
  return comesFirst(a.head, b.head);
}

function goesFirst(a: Turn, b: Turn): boolean {
  const order = compareRanks(a.head, b.head) || a.category.heldCores - b.category.heldCores;
  return order !== 0 ? order < 0 : a.head.definition.taskId < b.head.definition.taskId;
}
