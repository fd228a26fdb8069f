/** Memory of calls that have not ended. */
import { type Figure, repeat } from "./figure.ts";
import type { PendingFigures } from "./flow_pending.ts";
import { runFresh } from "./manager_core.ts";

const FIGURES: readonly { readonly title: string; readonly what: keyof PendingFigures }[] = [
  { title: "that waits for another", what: "waitingHeap" },
  { title: "that waits for another, resident", what: "waitingResident" },
  { title: "that waits for a worker", what: "submittedHeap" },
  { title: "that waits for a worker, resident", what: "submittedResident" },
];

/** Bytes for each of 100,000 calls; Parsl's are 5,500 resident bytes. */
export async function measureFlowMemory(): Promise<Figure[]> {
  const runs = await repeat(() => runFresh<PendingFigures>("flow_pending.ts"));
  return FIGURES.map(({ title, what }) => ({
    name: `memory of an app call ${title}`,
    unit: "bytes",
    beside: "",
    aim: "at most 5500",
    runs: runs.map((figures) => ({ value: figures[what], baseline: 0 })),
  }));
}
