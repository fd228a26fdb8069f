/**
 * One call that takes what many have given, from the first of them on. Beside it: as many calls that
 * nobody takes; of the larger one, as many times the smaller one as it is larger.
 */
import { app, type AppFuture, type Flow } from "tendril";

import { type Figure, repeat } from "./figure.ts";
import { callAll, withFlow } from "./flow_load.ts";
import { timed } from "./workers.ts";

const SMALL = 4_000;
const LARGE = 16_000;

/** Seconds from the first call until the one that takes all has ended. */
export async function measureFlowFanIn(): Promise<Figure[]> {
  const runs = await repeat(() =>
    withFlow(async (flow) => {
      const one = app((value: number) => value, { name: "one" });
      const sum = app((parts: number[]) => parts.reduce((a, b) => a + b, 0), { name: "sum" });
      const fanIn = (count: number): Promise<number> =>
        timed(async () => check(count, await sum(Array.from({ length: count }, () => one(1)))));
      const alone = (count: number): Promise<number> => timed(() => calls(flow, count, one));
      await alone(SMALL);
      await fanIn(SMALL);
      return {
        smallAlone: await alone(SMALL) / 1000,
        small: await fanIn(SMALL) / 1000,
        largeAlone: await alone(LARGE) / 1000,
        large: await fanIn(LARGE) / 1000,
      };
    })
  );
  const beside = "the calls alone";
  return [{
    name: `fan-in of ${SMALL}`,
    unit: "s",
    beside,
    aim: "",
    runs: runs.map(({ small, smallAlone }) => ({ value: small, baseline: smallAlone })),
  }, {
    name: `fan-in of ${LARGE}`,
    unit: "s",
    beside,
    aim: "1",
    runs: runs.map(({ large, largeAlone }) => ({ value: large, baseline: largeAlone })),
  }, {
    name: `fan-in of ${LARGE}, linear`,
    unit: "s",
    beside: `${LARGE / SMALL} of ${SMALL}`,
    aim: "1 time the baseline",
    runs: runs.map(({ large, small }) => ({ value: large, baseline: small * (LARGE / SMALL) })),
  }];
}

async function calls(
  flow: Flow,
  count: number,
  one: (value: number) => AppFuture<number>,
): Promise<void> {
  await callAll(flow, count, () => one(1));
}

function check(count: number, sum: number): void {
  if (sum !== count) throw new Error(`Cannot measure a fan-in: ${count} calls give ${sum}`);
}
