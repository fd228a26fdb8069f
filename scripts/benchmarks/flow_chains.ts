/** Calls each of which takes what the one before has given; beside it, the same with handles. */
import { app, type AppFuture, type Flow, type Library, type TaskHandle } from "tendril";

import { type Figure, repeat } from "./figure.ts";
import { withFlow } from "./flow_load.ts";
import { timed } from "./workers.ts";

const LINK_COUNT = 1_000;

type AddLibrary = Library<{ addOne(value: number): number }>;

function addOne(value: number): number {
  return value + 1;
}

/** Milliseconds a link. */
export async function measureFlowChains(): Promise<Figure[]> {
  const runs = await repeat(() =>
    withFlow(async (flow) => {
      const library: AddLibrary = flow.manager.library({ name: "bare", functions: { addOne } });
      const called = app(addOne);
      await chainHandles(library);
      await chainCalls(flow, called);
      const baseline = await timed(() => chainHandles(library)) / LINK_COUNT;
      const value = await timed(() => chainCalls(flow, called)) / LINK_COUNT;
      return { value, baseline };
    })
  );
  return [{
    name: `chain of ${LINK_COUNT} app calls`,
    unit: "ms a link",
    beside: "handles of library.call",
    aim: "0.5",
    runs,
  }];
}

async function chainHandles(library: AddLibrary): Promise<void> {
  let handle: TaskHandle<number> = library.call("addOne", 0);
  for (let link = 1; link < LINK_COUNT; link++) handle = library.call("addOne", handle);
  check(await handle.value());
}

async function chainCalls(
  flow: Flow,
  called: (value: number | AppFuture<number>) => AppFuture<number>,
): Promise<void> {
  let future = called(0);
  for (let link = 1; link < LINK_COUNT; link++) future = called(future);
  await flow.wait();
  check(await future);
}

function check(value: unknown): void {
  if (value !== LINK_COUNT) throw new Error(`Cannot measure a chain: it gives ${String(value)}`);
}
