/** Tasks as tables show them to clients: those that fit, a page at a time or those with most first. */

import type { TaskId, WorkerId } from "../shared/ids.ts";
import { unreachable } from "../shared/assert.ts";
import { newHeap, peekHeap, popHeap, pushHeap } from "../shared/heap.ts";
import { type Catalog, standingOf, type TaskEntry } from "./catalog.ts";
import {
  type ClientRequest,
  ROWS_MAX,
  SORTED_ROWS_MAX,
  type TaskRow,
  type TaskRowFilter,
  type TaskSort,
} from "./client_protocol.ts";
import type { TaskStateName } from "./task_handle.ts";
import { labelOf } from "./task_index.ts";

/** Text in one answer, so that it fits a frame; a character takes up to 3 bytes. */
const ANSWER_CHARS_MAX: number = 1024 * 1024;

/** Where a pending task stands, as the core knows it. */
export interface PendingTask {
  readonly state: TaskStateName;
  readonly try: number;
  readonly workerId?: WorkerId;
  readonly host?: string;
}

/** Where rows come from. */
export interface TaskRowSources {
  readonly catalog: Catalog;
  readonly look: (id: TaskId) => PendingTask;
  /** Where a task that has ended stands, while it runs again to remake a temp. */
  readonly recoveryOf: (id: TaskId) => TaskStateName | undefined;
}

/** Some rows, and whether more fit. */
export interface TaskPage {
  readonly tasks: readonly TaskRow[];
  readonly hasMore: boolean;
}

type Wish = Extract<ClientRequest, { readonly kind: "tasks" }>;

/** A task that fits; `pending` where it has not ended. */
interface Found {
  readonly entry: TaskEntry;
  readonly pending: PendingTask | undefined;
}

/** One answer: linear in the tasks of the selection, and no more than a page of them is kept. */
export function taskPage(wish: Wish, sources: TaskRowSources): TaskPage {
  const found = find(wish, sources);
  const { sort } = wish;
  const limit = Math.min(wish.limit ?? Infinity, sort === undefined ? ROWS_MAX : SORTED_ROWS_MAX);
  const tasks: TaskRow[] = [];
  let chars = 0;
  for (const { entry, pending } of sort === undefined ? found : most(found, { sort, limit })) {
    if (tasks.length === limit || chars > ANSWER_CHARS_MAX) return { tasks, hasMore: true };
    const row = rowOf(entry, pending, sources.recoveryOf(entry.id));
    chars += charsOf(row);
    tasks.push(row);
  }
  return { tasks, hasMore: false };
}

function* find(
  { selection, states, isFailed, after, filter = {} }: Wish,
  { catalog, look }: TaskRowSources,
): Generator<Found, void> {
  for (const entry of catalog.select(selection, after)) {
    if (isFailed && standingOf(entry) !== "failed") continue;
    if (!hasLabels(entry, filter)) continue;
    // A state is only worth asking for when somebody does.
    const pending = entry.ending === undefined ? look(entry.id) : undefined;
    if (states.length > 0 && !states.includes(pending?.state ?? "done")) continue;
    if (isAt(entry.ending ?? pending, filter)) yield { entry, pending };
  }
}

function hasLabels(entry: TaskEntry, { category, tag, outcomes = [] }: TaskRowFilter): boolean {
  if (category !== undefined && labelOf(entry, "category") !== category) return false;
  if (tag !== undefined && labelOf(entry, "tag") !== tag) return false;
  const { ending } = entry;
  return outcomes.length === 0 || (ending !== undefined && outcomes.includes(ending.outcome));
}

function isAt(
  where: { readonly workerId?: string | undefined; readonly host?: string | undefined } = {},
  { worker }: TaskRowFilter,
): boolean {
  return worker === undefined || where.workerId === worker || where.host === worker;
}

/** Those with most, first; one more than `limit` when there are more. */
function most(
  found: Iterable<Found>,
  { sort, limit }: { readonly sort: TaskSort; readonly limit: number },
): Found[] {
  type Ranked = Found & { readonly key: number };
  const nowMs = Date.now();
  // The least first, and of those alike the newest: that is what goes.
  const isLess = (a: Ranked, b: Ranked): boolean =>
    a.key < b.key || (a.key === b.key && a.entry.id > b.entry.id);
  const heap = newHeap<Ranked>(isLess);
  for (const one of found) {
    const ranked = { ...one, key: keyOf(one, sort, nowMs) };
    const least = peekHeap(heap);
    if (heap.items.length <= limit || least === undefined || isLess(least, ranked)) {
      pushHeap(heap, ranked);
      if (heap.items.length > limit + 1) popHeap(heap);
    }
  }
  return heap.items.toSorted((a, b) => isLess(a, b) ? 1 : -1);
}

function keyOf({ entry, pending }: Found, sort: TaskSort, nowMs: number): number {
  const { ending } = entry;
  const startedAtMs = ending?.times.startedAtMs ?? entry.startedAtMs;
  switch (sort) {
    case "time":
      return startedAtMs === 0 ? 0 : (ending?.times.endedAtMs ?? nowMs) - startedAtMs;
    case "memory":
      return ending?.used?.memoryBytes ?? 0;
    case "try":
      return ending?.try ?? pending?.try ?? 0;
    case "submitted":
      return ending?.times.submittedAtMs ?? entry.submittedAtMs;
    case "ended":
      return ending?.times.endedAtMs ?? 0;
    default:
      return unreachable(sort);
  }
}

function charsOf({ command, message, tag = "", category = "", app = "" }: TaskRow): number {
  return command.length + message.length + tag.length + category.length + app.length;
}

function rowOf(
  entry: TaskEntry,
  pending: PendingTask | undefined,
  recovery: TaskStateName | undefined,
): TaskRow {
  const { id, command, tag, category, submittedAtMs, ending, call } = entry;
  const { workerId, host } = ending ?? pending ?? {};
  return {
    id,
    state: pending?.state ?? "done",
    ...(recovery === undefined ? {} : { recovery }),
    ...(ending === undefined ? {} : { outcome: ending.outcome }),
    command,
    ...(tag === undefined ? {} : { tag }),
    ...(category === undefined ? {} : { category }),
    ...(call === undefined ? {} : { callId: call.callId, app: call.app }),
    try: ending?.try ?? pending?.try ?? 0,
    // The catalog keeps the ids of the core.
    ...(workerId === undefined ? {} : { workerId: workerId as WorkerId }),
    ...(host === undefined ? {} : { host }),
    ...(ending?.exitCode === undefined ? {} : { exitCode: ending.exitCode }),
    ...(ending?.signal === undefined ? {} : { signal: ending.signal }),
    message: ending?.message ?? "",
    ...(ending?.allocated === undefined ? {} : { allocated: ending.allocated }),
    ...(ending?.used === undefined ? {} : { used: ending.used }),
    submittedAtMs: ending?.times.submittedAtMs ?? submittedAtMs,
    startedAtMs: ending?.times.startedAtMs ?? entry.startedAtMs,
    endedAtMs: ending?.times.endedAtMs ?? 0,
  };
}
