/**
 * Columns of tables of tasks.
 *
 * @module
 */

import type { TaskRow } from "../api.ts";
import { amount, bytes, duration, instant } from "./format.ts";
import { StateMark } from "./state.tsx";
import type { Column } from "./table.tsx";

const NARROW = { isSortable: true, isNarrow: true } as const;
const NUMBER = { isSortable: true, isNumber: true } as const;

const FIRST: readonly Column<TaskRow>[] = [
  {
    key: "id",
    title: "Task",
    width: 84,
    narrowWidth: 70,
    ...NUMBER,
    ...NARROW,
    cell: ({ taskId }) => taskId,
  },
  {
    key: "state",
    title: "State",
    width: 156,
    narrowWidth: 118,
    ...NARROW,
    cell: ({ state, outcome }) => <StateMark state={state} outcome={outcome} />,
  },
  {
    key: "name",
    title: "Name",
    ...NARROW,
    cell: (row) => (
      <span title={row.command}>
        <span class="name">{row.name}</span>
        <span class="soft">{row.message || row.tag || argumentsOf(row)}</span>
      </span>
    ),
  },
  {
    key: "category",
    title: "Category",
    width: 124,
    isSortable: true,
    cell: ({ category }) => category,
  },
  { key: "host", title: "Host", width: 124, isSortable: true, cell: ({ host }) => host ?? "" },
  { key: "try", title: "Try", width: 56, ...NUMBER, cell: (row) => row.try || "" },
];

const LAST: readonly Column<TaskRow>[] = [
  { key: "cores", title: "Cores", width: 72, ...NUMBER, cell: (row) => amount(row.usedCores) },
  {
    key: "memory",
    title: "Memory",
    width: 88,
    ...NUMBER,
    cell: (row) => bytes(row.usedMemoryBytes),
  },
];

/** Columns of tasks; instants are told beside `nowMs`, and what runs has run until then. */
export function taskColumns(nowMs: number | undefined): readonly Column<TaskRow>[] {
  return [
    ...FIRST,
    {
      key: "submitted",
      title: "Submitted",
      width: 96,
      isSortable: true,
      cell: ({ submittedAtMs }) => instant(submittedAtMs, nowMs),
    },
    {
      key: "ran",
      title: "Ran",
      width: 84,
      ...NUMBER,
      ...NARROW,
      cell: (row) => ranOf(row, nowMs),
    },
    ...LAST,
  ];
}

/** What follows the program in a command. */
function argumentsOf({ name, command }: TaskRow): string {
  return command.startsWith(name) ? command.slice(name.length) : command;
}

/** How long a task ran, or has run so far. */
function ranOf({ state, ranMs, startedAtMs }: TaskRow, nowMs: number | undefined): string {
  if (state !== "running" || startedAtMs === null || nowMs === undefined) return duration(ranMs);
  return `${duration(nowMs - startedAtMs)} …`;
}
