import { expect, test } from "bun:test";

import type { LiveUpdate } from "../../../manager/dashboard/api.ts";
import { LiveDesk, type LiveState } from "../../../manager/dashboard/live.ts";
import type { Socket, SocketHandlers } from "../../../shared/runtime/socket.ts";
import { until } from "../../until.ts";
import { NOTHING_YET } from "./live_state.ts";

const UPDATE_MS = 2;

const COUNTS: LiveState["counts"] = { ...NOTHING_YET.counts, submitted: 10 };

const STATE: LiveState = { ...NOTHING_YET, counts: COUNTS };

/** A viewer whose socket is made up. */
class FakeViewer {
  readonly updates: LiveUpdate[] = [];
  code: number | undefined;
  bufferedBytes = 0;
  readonly #handlers: SocketHandlers;
  readonly #socket: Socket;

  constructor(desk: LiveDesk, isWelcome: () => boolean = () => true) {
    const handlers = desk.accept(isWelcome);
    if (handlers instanceof Response) throw new Error("Cannot look: it was refused");
    this.#handlers = handlers;
    const bufferedBytes = () => this.bufferedBytes;
    this.#socket = {
      get bufferedBytes() {
        return bufferedBytes();
      },
      send: (text) => {
        this.updates.push(JSON.parse(String(text)) as LiveUpdate);
        return "sent";
      },
      close: (code) => void (this.code ??= code),
    };
    handlers.open?.(this.#socket);
  }

  leave(): void {
    this.#handlers.close(this.#socket, 1006, "");
  }
}

/** A desk, what it looks at, and how often it has. */
function newDesk(): {
  readonly desk: LiveDesk;
  readonly run: { state: LiveState; lookCount: number; readonly refused: string[] };
} {
  const run = { state: STATE, lookCount: 0, refused: [] as string[] };
  const desk = new LiveDesk({
    look: () => {
      run.lookCount += 1;
      return run.state;
    },
    refuse: (kind) => void run.refused.push(kind),
    updateMs: UPDATE_MS,
  });
  return { desk, run };
}

test("LiveDesk tells a viewer at once, then only what has changed", async () => {
  const { desk, run } = newDesk();
  const viewer = new FakeViewer(desk);
  expect(viewer.updates.length).toBe(1);
  await until(() => run.lookCount > 20, "it has looked often");
  // The first update of a run that stands still is told once more at most.
  expect(viewer.updates.length).toBeLessThanOrEqual(2);
  run.state = { ...STATE, transfers: 3 };
  await until(() => viewer.updates.at(-1)?.transfers === 3, "the change is told");
  desk.close();
  expect(viewer.code).toBe(4000);
});

test("LiveDesk does not look while nobody does", async () => {
  const [{ desk, run }, other] = [newDesk(), newDesk()];
  expect(run.lookCount).toBe(0);
  const viewer = new FakeViewer(desk);
  await until(() => run.lookCount > 2, "it looks");
  viewer.leave();
  const { lookCount } = run;
  const clock = new FakeViewer(other.desk);
  await until(() => other.run.lookCount > 10, "time passes");
  expect(run.lookCount).toBe(lookCount);
  clock.leave();
});

test("LiveDesk leaves out a viewer that does not read, and lets it go in the end", async () => {
  const { desk, run } = newDesk();
  const [slow, quick] = [new FakeViewer(desk), new FakeViewer(desk)];
  slow.bufferedBytes = 1;
  const told = slow.updates.length;
  const grow = () => {
    run.state = { ...STATE, transfers: run.state.transfers + 1 };
    return slow.code !== undefined;
  };
  await until(grow, "the slow one is let go");
  expect([slow.updates.length, slow.code, run.refused]).toEqual([told, 4002, ["backlog"]]);
  expect([quick.updates.length > 50, quick.code]).toEqual([true, undefined]);
  desk.close();
});

test("LiveDesk lets those go whose session is over", async () => {
  const { desk } = newDesk();
  let isWelcome = true;
  const viewer = new FakeViewer(desk, () => isWelcome);
  isWelcome = false;
  await until(() => viewer.code === 4001, "it is let go");
});

test("LiveDesk tells the time left by the rate at which tasks ended while somebody looked", async () => {
  const { desk, run } = newDesk();
  const viewer = new FakeViewer(desk);
  expect(viewer.updates[0]?.leftMs).toBeNull();
  run.state = { ...STATE, counts: { ...COUNTS, succeeded: 5 } };
  await until(() => {
    run.state = { ...run.state, transfers: run.state.transfers + 1 };
    return viewer.updates.at(-1)?.leftMs !== null;
  }, "the rate is known");
  // Half of them took as long as the other half will.
  const leftMs = viewer.updates.at(-1)?.leftMs ?? 0;
  expect(leftMs).toBeGreaterThanOrEqual(2_000);
  expect(leftMs).toBeLessThan(20_000);
  run.state = { ...STATE, counts: { ...COUNTS, succeeded: 9, failed: 1 } };
  await until(() => viewer.updates.at(-1)?.leftMs === 0, "all have ended");
  desk.close();
});
