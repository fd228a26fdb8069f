/**
 * Sorts rows in the browser, where all of them are there.
 *
 * @module
 */

import { useMemo, useState } from "preact/hooks";

import type { Column, Sorting } from "./table.tsx";

/** Rows in the order that a person chose, with what a table needs for that. */
export interface SortedRows<Row> {
  readonly rows: readonly Row[];
  readonly sorting: Sorting;
  readonly onSort: (sorting: Sorting) => void;
}

/** Sorts by the `value` of the column that a person chooses; at first, by `first`. */
export function useSorted<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  first: Sorting,
): SortedRows<Row> {
  const [sorting, onSort] = useState(first);
  const value = columns.find(({ key }) => key === sorting.key)?.value;
  const sorted = useMemo(() => {
    return value === undefined ? rows : sortBy(rows, value, sorting.isDescending);
  }, [rows, columns, sorting]);
  return { rows: sorted, sorting, onSort };
}

/** A copy in the order of `value`; numbers in texts count as numbers, and what is null comes last. */
export function sortBy<Row>(
  rows: readonly Row[],
  value: (row: Row) => string | number | null,
  isDescending: boolean,
): Row[] {
  const sign = isDescending ? -1 : 1;
  return rows.toSorted((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
  });
}
