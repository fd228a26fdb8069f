/** Hosts that people block for a while or drain, and that take tasks again some time later. */

import type { ManagerEvent } from "../../manager/core/event.ts";
import type { WorkerId } from "../../shared/ids.ts";
import { nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import type { Clock } from "./clock.ts";

/** How long a host is blocked; what is drained takes tasks again a second after that. */
const BLOCK_MS = 3_000;

/** Plans as many changes of hosts as the scenario wants, all of them before `untilMs`. */
export function planHostChanges(
  world: {
    readonly clock: Clock;
    readonly random: RandomState;
    feed(events: readonly ManagerEvent[]): void;
    readonly workers: ReadonlyMap<WorkerId, { readonly host: string }>;
  },
  { hostChangeCount = 0 }: { readonly hostChangeCount?: number },
  untilMs: number,
): void {
  const { clock, random, workers } = world;
  for (let index = 0; index < hostChangeCount; index++) {
    clock.after(nextRandom(random) * untilMs, () => {
      const { host = "" } = [...workers.values()][nextRandomBelow(random, workers.size)] ?? {};
      const change = nextRandom(random) < 0.5 ? "block" : "drain";
      world.feed([{ kind: "host_changed", host, change, forMs: BLOCK_MS }]);
      clock.after(BLOCK_MS + 1_000, () => {
        world.feed([{ kind: "host_changed", host, change: "unblock", forMs: Infinity }]);
      });
    });
  }
}
