/** What goes wrong with the processes and connections of workers. */

import type { ManagerEvent } from "../../manager/core/event.ts";
import type { SessionId, WorkerId } from "../../shared/ids.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import type { Clock } from "./clock.ts";
import type { SimWorker } from "./sim_worker.ts";

/** What can be disturbed. */
export interface Disturbable {
  readonly clock: Clock;
  readonly random: RandomState;
  readonly workers: ReadonlyMap<WorkerId, SimWorker>;
  feed(events: readonly ManagerEvent[]): void;
  /** A number that no connection had before. */
  nextSession(): number;
}

/** One thing goes wrong with one worker. */
export function disturb(world: Disturbable): void {
  const { random, clock } = world;
  const workers = [...world.workers.values()];
  const worker = workers[nextRandomBelow(random, workers.length)];
  if (worker === undefined) return;
  const { connection } = worker;
  const lostMs = nextRandom(random) * 30;
  switch (nextRandomBelow(random, 8)) {
    case 0: {
      worker.crash();
      noteExit(world, worker);
      // Some come back with what the disk held, some with nothing of this workflow.
      if (nextRandom(random) < 0.5) {
        for (const [name, file] of worker.disk) {
          if (file.level !== "worker") worker.disk.delete(name);
        }
      }
      clock.after(nextRandom(random) * 6_000, () => {
        if (!worker.isAlive) worker.start();
      });
      return;
    }
    case 1:
      connection?.break({ lostMs, managerMs: 5, workerMs: 5, wasSilent: false });
      return;
    case 2:
      // Away for longer than the grace: its tries go to others.
      connection?.break({ lostMs, managerMs: 0, workerMs: 3_500, wasSilent: false });
      return;
    case 3:
      // The worker is back before the manager has noticed that it was gone.
      connection?.break({ lostMs, managerMs: 900, workerMs: 1, wasSilent: true });
      return;
    case 4:
      // Lost long ago when it is back, with all that its disk held then.
      connection?.break({ lostMs, managerMs: 0, workerMs: 9_000, wasSilent: false });
      return;
    case 5: {
      worker.crash();
      clock.after(10_000, () => {
        if (!worker.isAlive) worker.start();
      });
      return;
    }
    case 6:
      return impersonate(world, worker);
    case 7:
      worker.feed([{ kind: "leave_requested", reason: "simulated" }]);
      return;
  }
}

/** A local worker's process is seen to end; another one is only missed. */
export function noteExit(world: Disturbable, { workerId, incarnation }: SimWorker): void {
  if (nextRandom(world.random) >= 0.5) return;
  world.clock.after(5, () => world.feed([{ kind: "worker_exited", workerId, incarnation }]));
}

/** Another process says hello with the identity of the worker, and dies soon after. */
function impersonate(world: Disturbable, { workerId, state }: SimWorker): void {
  if (state === undefined) return;
  const number = world.nextSession();
  const session = `session-${number}` as SessionId;
  const incarnation = `twin-${number}`;
  const empty = { urls: [], tries: [], results: [], replicas: [], instances: [] };
  const hello = {
    kind: "hello",
    protocol: PROTOCOL_VERSION,
    ...state.identity,
    incarnation,
    ...empty,
  } as const;
  world.feed([{ kind: "worker_connected", session, hello }]);
  world.clock.after(300, () => {
    world.feed([{ kind: "worker_disconnected", workerId, session, wasSilent: false }]);
    world.feed([{ kind: "worker_exited", workerId, incarnation }]);
  });
}
