/** A manager with compiled workers for a bench, and what it is asked to do. */
import { type LocalWorkersOptions, Manager, type ManagerOptions } from "tendril";

const JOIN_MS_MAX = 10_000;
const JOIN_POLL_MS = 2;

/** Runs `work` with a manager once all its workers have joined. */
export async function withWorkers<T>(
  workers: LocalWorkersOptions & { readonly count: number },
  work: (manager: Manager) => Promise<T>,
  options: ManagerOptions = {},
): Promise<T> {
  await using manager = await Manager.start({ ...options, workers });
  await waitForWorkers(manager, workers.count);
  return await work(manager);
}

/** Returns once so many workers have joined. */
export async function waitForWorkers(manager: Manager, count: number): Promise<void> {
  const endMs = performance.now() + JOIN_MS_MAX;
  while (manager.status().workers.connected < count) {
    if (performance.now() > endMs) throw new Error("Cannot measure: the workers did not join");
    await Bun.sleep(JOIN_POLL_MS);
  }
}

/** Returns how many milliseconds `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
