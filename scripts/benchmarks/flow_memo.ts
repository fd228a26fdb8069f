/**
 * Calls of apps whose results are remembered: answered in the same run, in a later one from the
 * file, and made durable one by one. Beside each: calls that run, with nothing remembered.
 */
import { join } from "@std/path";
import { app, type AppFuture } from "tendril";

import { type Figure, repeat } from "./figure.ts";
import { callAll, rateOf, withFlow, withFolder } from "./flow_load.ts";
import { timed } from "./workers.ts";

const CALL_COUNT = 5_000;

interface MemoRun {
  readonly plain: number;
  readonly durable: number;
  readonly sameRun: number;
  readonly laterRun: number;
}

type Called = (value: number) => AppFuture<number>;

function declare(memoize: boolean): Called {
  return app((value: number) => value, { name: "same", memoize });
}

/** Calls a second. */
export async function measureFlowMemo(): Promise<Figure[]> {
  const runs = await repeat(() => withFolder(measureOnce));
  const figure = (name: string, what: keyof MemoRun): Figure => ({
    name,
    unit: "calls/s",
    beside: "not remembered",
    aim: "",
    runs: runs.map((run) => ({ value: run[what], baseline: run.plain })),
  });
  return [
    figure("app calls, each durable before its future settles", "durable"),
    figure("app calls answered from memory in the same run", "sameRun"),
    figure("app calls answered from memory in a later run", "laterRun"),
  ];
}

async function measureOnce(folder: string): Promise<MemoRun> {
  const memoFile = join(folder, "memo.db");
  const options = { checkpoint: "task_exit", memoFile } as const;
  const first = await withFlow(async (flow) => {
    const measure = async (called: Called, from = 0): Promise<number> =>
      rateOf(CALL_COUNT, await timed(() => callAll(flow, CALL_COUNT, (at) => called(from + at))));
    const [plain, remembered] = [declare(false), declare(true)];
    await measure(plain);
    await measure(remembered, CALL_COUNT);
    return {
      plain: await measure(plain),
      durable: await measure(remembered),
      sameRun: await measure(remembered),
    };
  }, options);
  return await withFlow(async (flow) => {
    const remembered = declare(true);
    const measure = (from: number): Promise<number> =>
      timed(() => callAll(flow, CALL_COUNT, (at) => remembered(from + at)));
    await measure(CALL_COUNT);
    return { ...first, laterRun: rateOf(CALL_COUNT, await measure(0)) };
  }, options);
}
