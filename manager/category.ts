/** What users say of categories: checked once, at the edge. */

import type { ResourceRequest } from "../shared/resources.ts";
import { formatSize } from "../shared/units.ts";
import { CATEGORY_FIELDS, CATEGORY_MODES, type CategoryMode } from "./core/category.ts";
import type { CategoryChange } from "./core/event.ts";
import { amount, count, label, oneOf, type Reader, readOptions, show, size } from "./option.ts";

/** Categories of which one file or script says something at start. */
const CATEGORIES_MAX = 10_000;

/** Amounts of resources, as tasks state them. */
export interface CategoryLimits {
  /** May be fractional. */
  readonly cores?: number;
  /** In bytes, or as `"2GB"`. */
  readonly memory?: number | string;
  /** In bytes, or as `"2GB"`. */
  readonly disk?: number | string;
  /** Whole devices. */
  readonly gpus?: number;
}

/** What is said of all tasks of a category. */
export interface CategoryOptions {
  /**
   * How the first try is sized of what a task does not state: `"fixed"`, by `first`, else `max`, else shares;
   * or by what others of the category have used: `"max"`, the most of it; `"min_waste"` and
   * `"max_throughput"`, so that least is wasted or most is done, though some have to run again with
   * more; `"greedy_bucketing"` and `"exhaustive_bucketing"`, for tasks that fall into groups.
   * Default: the policy `categoryMode`.
   */
  readonly mode?: CategoryMode;
  /** A try never has more, unless its task states it; one that needs more fails. */
  readonly max?: CategoryLimits;
  /** What is not stated is never less. */
  readonly min?: CategoryLimits;
  /** What first tries are given until something was learnt. */
  readonly first?: CategoryLimits;
  /** Tries at workers at a time. Default 0: no limit. */
  readonly maxConcurrent?: number;
}

const limits: Reader<ResourceRequest> = (value, what) => {
  const { memory, disk, ...rest } = readOptions<Required<CategoryLimits>>(value, what, {
    cores: amount(0, 65_536),
    memory: size,
    disk: size,
    gpus: count(0, 1024),
  });
  return {
    ...rest,
    ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
    ...(disk === undefined ? {} : { diskBytes: Number(disk) }),
  };
};

/**
 * Checks what is said of a category.
 *
 * @throws {TypeError | RangeError} When an option is unknown or has a wrong value.
 */
export function readCategory(name: unknown, options: unknown): CategoryChange {
  const known = label(name, "name of a category");
  const read = readOptions<Omit<Required<CategoryChange>, "name">>(
    options,
    `category "${known}"`,
    {
      mode: oneOf(...CATEGORY_MODES),
      max: limits,
      min: limits,
      first: limits,
      maxConcurrent: count(0, 1_000_000_000),
    },
  );
  const change = { name: known, ...read };
  checkBounds(change);
  return change;
}

/** Checks categories by their names, as a configuration has them. */
export const readCategories: Reader<readonly CategoryChange[]> = (value, what) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(
      `Cannot take ${what} "${show(value)}" as categories: expected them by name`,
    );
  }
  const stated = Object.entries(value);
  if (stated.length > CATEGORIES_MAX) {
    throw new RangeError(`Cannot take ${what}: ${stated.length} categories, of ${CATEGORIES_MAX}`);
  }
  return stated.map(([name, options]) => readCategory(name, options));
};

/**
 * Checks that what is said of a category and what was said before go together.
 *
 * @throws {RangeError} When a bound is beyond another one.
 */
export function checkBounds(
  { name, max = {}, min = {}, first = {} }: Partial<CategoryChange> & { readonly name: string },
): void {
  for (const field of CATEGORY_FIELDS) {
    const most = max[field] ?? Infinity;
    const [what, least] = (min[field] ?? 0) > most
      ? ["min", min[field]]
      : (first[field] ?? 0) > most
      ? ["first", first[field]]
      : [];
    if (what === undefined || least === undefined) continue;
    const bytes = field === "memoryBytes" || field === "diskBytes";
    const shown = bytes ? formatSize : String;
    throw new RangeError(
      `Cannot take ${what} of category "${name}": ${shown(least)} of ` +
        `${field.replace("Bytes", "")} is more than its max, ${shown(most)}`,
    );
  }
}
