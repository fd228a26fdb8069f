/**
 * Pending tasks by tag and by category. Most tasks have no tag, and cost nothing here: tags are
 * indexed as tasks come, so that nobody waits for it. All have a category: that index is made when
 * somebody first asks by it, and kept from then on.
 *
 * @module
 */

import type { TaskId } from "../shared/ids.ts";
import type { TaskEntry } from "./catalog.ts";
import { DEFAULT_CATEGORY } from "./task_definition.ts";

/** What tasks can be asked for by. */
export type LabelKind = "tag" | "category";

type Index = Map<string, Set<TaskId>>;

/** The indexes of one desk. */
export class TaskIndex {
  readonly #indexes: Map<LabelKind, Index> = new Map([["tag", new Map()]]);

  /** Adds a task that is pending from now on. */
  add(entry: TaskEntry): void {
    for (const [kind, index] of this.#indexes) addTo(index, kind, entry);
  }

  /** Removes a task that has ended. */
  remove(entry: TaskEntry): void {
    for (const [kind, index] of this.#indexes) {
      const label = labelOf(entry, kind);
      if (label === undefined) continue;
      const ids = index.get(label);
      ids?.delete(entry.id);
      if (ids?.size === 0) index.delete(label);
    }
  }

  /** Those with that label, by id; `pending` are all, to make the index of when there is none yet. */
  with(kind: LabelKind, label: string, pending: () => Iterable<TaskEntry>): Iterable<TaskId> {
    let index = this.#indexes.get(kind);
    if (index === undefined) {
      index = new Map();
      for (const entry of pending()) addTo(index, kind, entry);
      this.#indexes.set(kind, index);
    }
    return index.get(label) ?? [];
  }
}

/** The tag that a task was given, or the category that it is of. */
export function labelOf(entry: TaskEntry, kind: LabelKind): string | undefined {
  if (kind === "tag") return entry.tag;
  return entry.category ?? entry.library ?? DEFAULT_CATEGORY;
}

function addTo(index: Index, kind: LabelKind, entry: TaskEntry): void {
  const label = labelOf(entry, kind);
  if (label === undefined) return;
  const ids = index.get(label);
  if (ids === undefined) index.set(label, new Set([entry.id]));
  else ids.add(entry.id);
}
