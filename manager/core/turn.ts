/**
 * Whose turn it is: among categories whose best tasks are of equal priority that of the one which
 * holds the least cores, so that none of them starves another.
 *
 * Source of the rule: fair sharing among pools, Hadoop Fair Scheduler.
 *
 * @module
 */

import { type Heap, newHeap, peekHeap, popHeap, pushHeap } from "../../shared/heap.ts";
import { peekOrdered, popOrdered } from "../../shared/ordered_queue.ts";
import { type CategoryRecord, isFull } from "./category.ts";
import type { TaskClass, TaskRecord } from "./state.ts";
import { comesFirst, compareRanks } from "./task_class.ts";

/** What a category may dispatch in one pass. */
interface Turn {
  readonly category: CategoryRecord;
  /** Its classes that may fit somewhere, the one with the best task first. */
  readonly classes: Heap<TaskClass>;
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
  for (let turn = popHeap(turns); turn !== undefined; turn = popHeap(turns)) {
    // It is passed over until one of its tries ends, however many classes it has.
    if (isFull(turn.category)) {
      for (const taskClass of turn.classes.items) taskClass.isBlocked = false;
      continue;
    }
    const taskClass = popHeap(turn.classes);
    const task = taskClass && headOf(taskClass);
    if (taskClass !== undefined && task !== undefined && place(taskClass, task)) {
      pushHeap(turn.classes, taskClass);
    }
    if (turn.classes.items.length > 0) pushHeap(turns, turn);
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
    let turn = byCategory.get(category);
    if (turn === undefined) {
      turn = { category, classes: newHeap(headsFirst) };
      byCategory.set(category, turn);
    }
    pushHeap(turn.classes, taskClass);
  }
  const turns = newHeap(goesFirst);
  for (const turn of byCategory.values()) pushHeap(turns, turn);
  return turns;
}

function headsFirst(a: TaskClass, b: TaskClass): boolean {
  const headA = headOf(a);
  const headB = headOf(b);
  return headA !== undefined && (headB === undefined || comesFirst(headA, headB));
}

function goesFirst(a: Turn, b: Turn): boolean {
  const headA = bestOf(a);
  const headB = bestOf(b);
  if (headA === undefined || headB === undefined) return headA !== undefined;
  const order = compareRanks(headA, headB) || a.category.heldCores - b.category.heldCores;
  return order !== 0 ? order < 0 : headA.definition.taskId < headB.definition.taskId;
}

function bestOf({ classes }: Turn): TaskRecord | undefined {
  const best = peekHeap(classes);
  return best && headOf(best);
}
