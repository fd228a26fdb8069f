/** One call at a time: the middle one of many, and the one of the slowest hundredth. */
import { type EchoLanguage, measureEchoTimes } from "./bare_messages.ts";
import { type CalledLibrary, callMany, JAVASCRIPT, PYTHON_DIRECT } from "./call_libraries.ts";
import { type Figure, repeat } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const CALL_COUNT = 2_000;
const WARM_COUNT = 2_000;

const BENCHES: readonly { readonly library: CalledLibrary; readonly language: EchoLanguage }[] = [
  { library: JAVASCRIPT, language: "javascript" },
  { library: PYTHON_DIRECT, language: "python" },
];

const PERCENTILES = [
  { title: "p50", share: 0.5, aim: "0.5" },
  { title: "p99", share: 0.99, aim: "" },
];

/** Milliseconds from a call to its value, beside a bare message and its answer. */
export async function measureCallLatency(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { library: { title, declare }, language } of BENCHES) {
    const runs = await repeat(async () => {
      const bareTimes = await measureEchoTimes(language, CALL_COUNT);
      const times = await withWorkers({ count: 1, cores: 2 }, async (manager) => {
        const library = declare(manager, 1);
        await callMany(library, WARM_COUNT, ["nothing", 7]);
        const found: number[] = [];
        for (let call = 0; call < CALL_COUNT; call++) {
          found.push(await timed(() => library.call("nothing", call).value()));
        }
        return found;
      });
      return { times, bareTimes };
    });
    for (const { title: percentile, share, aim } of PERCENTILES) {
      figures.push({
        name: `one call at a time, ${title}, ${percentile}`,
        unit: "ms",
        beside: "bare message",
        aim,
        runs: runs.map(({ times, bareTimes }) => ({
          value: percentileOf(times, share),
          baseline: percentileOf(bareTimes, share),
        })),
      });
    }
  }
  return figures;
}

function percentileOf(times: readonly number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * share)] ?? 0;
}
