/** What a task or a worker has of each resource, in numbers and as a bar. */

import type { JSX } from "preact";

import type { Amounts } from "../api.ts";
import { amount, bytes } from "./format.ts";
import { UseBar } from "./use_bar.tsx";

/** One line of the table. */
export interface ResourceRow {
  readonly name: string;
  readonly show: (value: number | null) => string;
  /** One for each of the heads. */
  readonly values: readonly (number | null)[];
  readonly used: number | null;
  /** The whole of which that is used. */
  readonly of: number | null;
}

/** Beside more numbers a bar has room only in wide windows. */
const NUMBERS_BESIDE_BAR_MAX = 2;

/** `[name, how to show it, field]` */
const RESOURCES: readonly (readonly [string, ResourceRow["show"], keyof Amounts])[] = [
  ["Cores", amount, "cores"],
  ["Memory", bytes, "memoryBytes"],
  ["Disk", bytes, "diskBytes"],
  ["GPUs", amount, "gpus"],
];

/** The line of each resource, of amounts for each of the heads. */
export function resourceRows(
  { values, used, of }: {
    readonly values: readonly Amounts[];
    readonly used: Amounts;
    readonly of: Amounts;
  },
): ResourceRow[] {
  return RESOURCES.map(([name, show, key]) => ({
    name,
    show,
    values: values.map((amounts) => amounts[key]),
    used: used[key],
    of: of[key],
  }));
}

/** The table; `barHead` says what the bars are to those who do not see them. */
export function ResourceTable(
  { heads, barHead, rows }: {
    readonly heads: readonly string[];
    readonly barHead: string;
    readonly rows: readonly ResourceRow[];
  },
): JSX.Element {
  const barClass = heads.length > NUMBERS_BESIDE_BAR_MAX ? "wide-only" : undefined;
  return (
    <table class="plain">
      <thead>
        <tr>
          <th scope="col" />
          {heads.map((head) => <th key={head} scope="col" class="number">{head}</th>)}
          <th scope="col" class={barClass}>
            <span class="hidden">{barHead}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, show, values, used, of }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {values.map((value, index) => <td key={heads[index]} class="number">{show(value)}</td>)}
            <td class={barClass}>
              <UseBar used={used} of={of} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
