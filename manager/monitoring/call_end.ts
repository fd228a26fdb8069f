/** How a call ended, out of the columns in which calls that succeeded are recorded. */

import type { RecordOf, TryEnd } from "./record.ts";

/** The end of the call in that row; it wrote nothing but its value. */
export function callEndAt(record: RecordOf<"calls_ended">, row: number): TryEnd {
  return {
    startedAtMs: record.startedAtMs[row] ?? 0,
    stagedMs: record.stagedMs[row] ?? 0,
    ranMs: record.ranMs[row] ?? 0,
    valueBytes: record.valueBytes[row] ?? 0,
    stdoutBytes: 0,
    stderrBytes: 0,
    outputBytes: 0,
  };
}
