/** A flow for a bench: one compiled worker with two cores, and records in a folder of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";
import { type AppFuture, type Flow, type FlowOptions, load } from "tendril";

import { waitForWorkers } from "./workers.ts";

/** No database, no logs, no dashboard. */
export const UNSEEN: FlowOptions = { runDirectory: false, dashboard: false };

/** Runs `work` with a folder that is removed afterwards. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "tendril-bench-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs `work` with a flow whose worker has joined; all is recorded unless `options` say otherwise. */
export async function withFlow<T>(
  work: (flow: Flow) => Promise<T>,
  options: FlowOptions = {},
): Promise<T> {
  return await withFolder(async (folder) => {
    const runDirectory = join(folder, "runs");
    await using flow = await load({ runDirectory, ...options, workers: { count: 1, cores: 2 } });
    await waitForWorkers(flow.manager, 1);
    return await work(flow);
  });
}

/** Makes so many calls at once, and waits for all ends; fails when one of them has failed. */
export async function callAll(
  flow: Flow,
  count: number,
  call: (index: number) => AppFuture<unknown>,
): Promise<void> {
  const futures = Array.from({ length: count }, (_, index) => call(index));
  await flow.wait();
  const failed = futures.find(({ error }) => error !== undefined);
  if (failed !== undefined) throw failed.error;
}

/** Calls a second of `count` calls that take `ms`. */
export function rateOf(count: number, ms: number): number {
  return count / ms * 1000;
}
