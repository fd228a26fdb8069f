import { expect, test } from "bun:test";

import { MessageBudget } from "../../manager/message_budget.ts";
import type { WorkerMessage } from "../../shared/protocol.ts";
import type { TaskId } from "../../shared/ids.ts";

const BEAT: WorkerMessage = { kind: "heartbeat" };

test("MessageBudget.spend() lets 50,000 messages a second pass for any time", () => {
  const budget = new MessageBudget(0);
  const frame = Array.from({ length: 5_000 }, () => BEAT);
  for (let nowMs = 100; nowMs < 100_000; nowMs += 100) {
    expect(budget.spend(frame, nowMs)).toBe(true);
  }
});

test("MessageBudget.spend() ends with what an honest worker cannot say, each try of a list too", () => {
  const tries = Array.from({ length: 10_000 }, (_, id) => ({ taskId: id + 1 as TaskId, try: 1 }));
  for (
    const frame of [
      Array.from({ length: 10_000 }, () => BEAT),
      [{ kind: "tries_started", tries }] satisfies WorkerMessage[],
    ]
  ) {
    const budget = new MessageBudget(0);
    let count = 0;
    while (budget.spend(frame, 0)) count += 1;
    expect(count).toBeLessThanOrEqual(20);
    expect(count).toBeGreaterThan(15);
  }
});
