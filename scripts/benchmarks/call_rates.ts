/**
 * Calls of a function that does nothing, on two slots. Beside them: the same number of messages to
 * and from two bare children, and a loop that forks as many at a time.
 */
import { fileURLToPath } from "node:url";

import { measureEchoRate } from "./bare_messages.ts";
import {
  type CalledLibrary,
  callMany,
  JAVASCRIPT,
  PYTHON_DIRECT,
  PYTHON_FORK,
} from "./call_libraries.ts";
import { type Figure, repeat } from "./figure.ts";
import { runPython } from "./python.ts";
import { timed, withWorkers } from "./workers.ts";

const SLOT_COUNT = 2;
/** One call of so many is made before, to warm up. */
const CALLS_PER_WARM = 20;

interface RateBench {
  readonly library: CalledLibrary;
  readonly count: number;
  readonly beside: string;
  readonly aim: string;
  measureBare(count: number): Promise<number>;
}

const BENCHES: readonly RateBench[] = [{
  library: JAVASCRIPT,
  count: 60_000,
  beside: "bare messages",
  aim: "50000",
  measureBare: (count) => measureEchoRate("javascript", { count, childCount: SLOT_COUNT }),
}, {
  library: PYTHON_DIRECT,
  count: 40_000,
  beside: "bare lines",
  aim: "20000",
  measureBare: (count) => measureEchoRate("python", { count, childCount: SLOT_COUNT }),
}, {
  library: PYTHON_FORK,
  count: 4_000,
  beside: "os.fork loop",
  aim: "2000",
  measureBare: measureForkRate,
}];

/** Calls a second of each kind of library. */
export async function measureCallRates(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { library: { title, declare }, count, beside, aim, measureBare } of BENCHES) {
    const runs = await repeat(async () => {
      const baseline = await measureBare(count);
      const value = await withWorkers({ count: 1, cores: SLOT_COUNT }, async (manager) => {
        const library = declare(manager, SLOT_COUNT);
        await callMany(library, count / CALLS_PER_WARM, ["nothing", 7]);
        return count / await timed(() => callMany(library, count, ["nothing", 7])) * 1000;
      });
      return { value, baseline };
    });
    figures.push({ name: `no-op calls, ${title}`, unit: "calls/s", beside, aim, runs });
  }
  return figures;
}

async function measureForkRate(count: number): Promise<number> {
  const script = fileURLToPath(new URL("fork_loop.py", import.meta.url).href);
  const rate = Number(await runPython(script, String(count), String(SLOT_COUNT)));
  if (!(rate > 0)) throw new Error("Cannot measure a bare fork loop: Python failed");
  return rate;
}
