/** Command tasks that do nothing, alone and in chains, on one worker of two cores. */
import type { Manager } from "tendril";

import { measureSpawnRate } from "./baselines.ts";
import { type Figure, repeat } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const TASK_COUNT = 5000;
const CHAIN_COUNT = 10;
const LINK_COUNT = 50;
const WORKER = { count: 1, cores: 2 };

/** Tasks a second beside bare spawning, as many at a time. */
export async function measureTasks(): Promise<Figure[]> {
  const runs = await repeat(async () => {
    const baseline = await measureSpawnRate({ count: TASK_COUNT, concurrency: WORKER.cores });
    const ms = await withWorkers(WORKER, async (manager) => {
      await runTasks(manager, 200);
      return await timed(() => runTasks(manager, TASK_COUNT));
    });
    return { value: TASK_COUNT / ms * 1000, baseline };
  });
  const aim = "half of the baseline; 2500 where that is 5000";
  return [{ name: "no-op tasks", unit: "tasks/s", beside: "spawn loop", aim, runs }];
}

/** Chains over temps beside bare spawning: many at a time, and what one link takes. */
export async function measureChains(): Promise<Figure[]> {
  return [...await measureChainsWith({}), ...await measureChainsWith({ taskGroups: true })];
}

async function measureChainsWith(policies: { readonly taskGroups?: boolean }): Promise<Figure[]> {
  const runs = await repeat(async () => {
    const rate = await measureSpawnRate({ count: TASK_COUNT, concurrency: WORKER.cores });
    const inTurnRate = await measureSpawnRate({ count: 1000, concurrency: 1 });
    return await withWorkers(WORKER, async (manager) => {
      await runChains(manager, 2);
      const chainsMs = await timed(() => runChains(manager, CHAIN_COUNT));
      const linkMs = await timed(() => runChains(manager, 1)) / LINK_COUNT;
      return {
        chains: { value: CHAIN_COUNT * LINK_COUNT / chainsMs * 1000, baseline: rate },
        link: { value: linkMs, baseline: 1000 / inTurnRate },
      };
    }, { policies });
  });
  const how = policies.taskGroups === true ? ", in groups" : "";
  return [{
    name: `${CHAIN_COUNT} chains of ${LINK_COUNT}${how}`,
    unit: "tasks/s",
    beside: "spawn loop",
    aim: "2000",
    runs: runs.map(({ chains }) => chains),
  }, {
    name: `link of a chain${how}`,
    unit: "ms",
    beside: "one spawn",
    aim: "0.5 above the baseline",
    runs: runs.map(({ link }) => link),
  }];
}

async function runTasks(manager: Manager, count: number): Promise<void> {
  const tasks = Array.from({ length: count }, () => manager.submit({ command: "true" }));
  for (const task of tasks) await task.orThrow();
}

async function runChains(manager: Manager, count: number): Promise<void> {
  const ends = Array.from({ length: count }, () => {
    let before = manager.buffer("x\n");
    for (let link = 1;; link++) {
      const after = manager.temp();
      const task = manager.submit({
        command: "read line <in && echo $line >out",
        inputs: { in: before },
        outputs: { out: after },
      });
      if (link === LINK_COUNT) return task;
      before = after;
    }
  });
  for (const end of ends) await end.orThrow();
}
