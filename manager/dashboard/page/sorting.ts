/** How an address says by what rows are sorted: `sort=-ran`, the dash for the largest first. */

import type { Sorting } from "./table.tsx";

/** A sorting by one of some keys. */
export type SortingBy<Key extends string> = Sorting & { readonly key: Key };

/** What an address may name. */
export interface SortingChoice<Key extends string> {
  readonly keys: readonly Key[];
  /** Of an address that names none, or one that is not known. */
  readonly start: SortingBy<Key>;
}

/** Reads the sorting from the parameters of an address. */
export function readSorting<Key extends string>(
  params: URLSearchParams,
  { keys, start }: SortingChoice<Key>,
): SortingBy<Key> {
  const text = params.get("sort") ?? "";
  const key = keys.find((key) => key === text.replace(/^-/, ""));
  return key === undefined ? start : { key, isDescending: text.startsWith("-") };
}

/** `sorting` as it stands in an address; undefined of the one that need not. */
export function writeSorting(
  { key, isDescending }: Sorting,
  { start }: SortingChoice<string>,
): string | undefined {
  const isStart = key === start.key && isDescending === start.isDescending;
  return isStart ? undefined : `${isDescending ? "-" : ""}${key}`;
}
