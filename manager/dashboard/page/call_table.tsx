/** Columns of tables of calls of apps. */

import type { CallRow } from "../call_api.ts";
import { CallMark } from "./call_state.tsx";
import { duration, instant } from "./format.ts";
import type { Column } from "./table.tsx";

const NARROW = { isSortable: true, isNarrow: true } as const;
const NUMBER = { isSortable: true, isNumber: true } as const;

/** Columns of calls; instants are told beside `nowMs`, and what runs has run until then. */
export function callColumns(nowMs: number | undefined): readonly Column<CallRow>[] {
  return [
    {
      key: "id",
      title: "Call",
      width: 84,
      narrowWidth: 70,
      ...NUMBER,
      ...NARROW,
      cell: ({ callId }) => callId,
    },
    {
      key: "state",
      title: "State",
      width: 156,
      narrowWidth: 118,
      ...NARROW,
      cell: ({ state }) => <CallMark state={state} />,
    },
    {
      key: "app",
      title: "App",
      ...NARROW,
      cell: (row) => (
        <span title={`${row.app}(${row.argumentText})`}>
          <span class="name">{row.label ?? row.app}</span>
          <span class="soft wide-only">{row.message || row.argumentText}</span>
        </span>
      ),
    },
    { key: "executor", title: "Executor", width: 124, cell: ({ executor }) => executor },
    { key: "host", title: "Host", width: 124, isSortable: true, cell: ({ host }) => host ?? "" },
    { key: "try", title: "Try", width: 56, ...NUMBER, cell: (row) => row.try || "" },
    {
      key: "called",
      title: "Called",
      width: 96,
      isSortable: true,
      cell: ({ calledAtMs }) => instant(calledAtMs, nowMs),
    },
    {
      key: "ran",
      title: "Took",
      width: 84,
      ...NUMBER,
      ...NARROW,
      cell: (row) => tookOf(row, nowMs),
    },
  ];
}

/** From its launch to its end, or so far. */
export function tookOf(
  { ranMs, launchedAtMs, endedAtMs }: Pick<CallRow, "ranMs" | "launchedAtMs" | "endedAtMs">,
  nowMs: number | undefined,
): string {
  if (launchedAtMs === null || endedAtMs !== null || nowMs === undefined) return duration(ranMs);
  return `${duration(nowMs - launchedAtMs)} …`;
}
