import { expect, test } from "bun:test";

import { LoopDelay } from "../../../manager/monitoring/loop_delay.ts";

test("LoopDelay tells again and again how late the event loop was", async () => {
  const twice = Promise.withResolvers<void>();
  const delays: number[] = [];
  using _delay = new LoopDelay((delayMs) => {
    delays.push(delayMs);
    if (delays.length === 2) twice.resolve();
    // The loop is blocked until after the next look is due.
    const untilMs = performance.now() + 700;
    while (delays.length < 2 && performance.now() < untilMs);
  });
  await twice.promise;
  expect(delays[1]).toBeGreaterThan(100);
});
