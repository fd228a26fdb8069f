/**
 * Memory of calls that have not ended, in a process of its own. Calls that wait for another one are
 * the kernel's alone; those that could run are tasks of the manager as well. Prints one JSON line.
 */
import process from "node:process";

import { app, type AppFuture, load } from "tendril";

/** Bytes for each call. */
export interface PendingFigures {
  readonly waitingHeap: number;
  readonly waitingResident: number;
  readonly submittedHeap: number;
  readonly submittedResident: number;
}

const CALL_COUNT = 100_000;

if (import.meta.main) {
  await using flow = await load({ runDirectory: false, dashboard: false, exit: "cancel" });
  const add = app((a: number, b: number) => a + b, { name: "add" });
  // What the first calls load stays.
  hold(1_000, (index) => add(index, 1));
  const first = add(1, 1);
  const waiting = hold(CALL_COUNT, (index) => add(index, first));
  await settle();
  const submitted = hold(CALL_COUNT, (index) => add(index, 1));
  const figures: PendingFigures = {
    waitingHeap: waiting.heap,
    waitingResident: waiting.resident,
    submittedHeap: submitted.heap,
    submittedResident: submitted.resident,
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  flow.cancel();
}

/** Lets the manager's steps take what it was told. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Bun.sleep(1);
}

function hold(
  count: number,
  call: (index: number) => AppFuture<number>,
): { readonly heap: number; readonly resident: number } {
  Bun.gc(true);
  const before = process.memoryUsage();
  const futures = Array.from({ length: count }, (_, index) => call(index));
  Bun.gc(true);
  const after = process.memoryUsage();
  const open = futures.filter(({ isDone }) => !isDone).length;
  if (open < count) throw new Error(`Cannot measure calls that wait: ${count - open} have ended`);
  return {
    heap: (after.heapUsed - before.heapUsed) / count,
    resident: (after.rss - before.rss) / count,
  };
}
