import { expect, test } from "bun:test";

import { app, constantCost, inProcess, load, retryByKind } from "../../mod.ts";
import { testRetryHandler } from "./retry_handler.ts";

testRetryHandler("constantCost()", { make: () => constantCost(), triesOf: 3 });
testRetryHandler("constantCost() of a half", { make: () => constantCost(0.5), triesOf: 5 });
testRetryHandler("retryByKind()", {
  make: () => retryByKind({ "call_error": { cost: 2, delay: "1ms" }, timeout: 0 }),
  triesOf: 2,
});

test("retryByKind() gives up where a cost is infinite, and names executors", async () => {
  await using _flow = await load({
    executors: [inProcess({ label: "a" }), inProcess({ label: "b" })],
    retries: 5,
    retryHandler: retryByKind({ "call_error": { executor: "b" } }),
  });
  const place = app(() => {
    const counts = globalThis as { tendrilPlaces?: number };
    counts.tendrilPlaces = (counts.tendrilPlaces ?? 0) + 1;
    if (counts.tendrilPlaces < 3) throw new Error("not yet");
    return counts.tendrilPlaces;
  });
  expect(await place()).toBe(3);
  const given = place.with({ retryHandler: retryByKind({ "call_error": Infinity }) });
  delete (globalThis as { tendrilPlaces?: number }).tendrilPlaces;
  const future = given();
  await future.catch(() => {});
  expect(future.tryCount).toBe(1);
});

test("retryByKind() and constantCost() refuse what is no kind and no cost", () => {
  expect(() => retryByKind({ exhausted: 1 } as never)).toThrow('"exhausted" as a kind of failure');
  expect(() => retryByKind({ exit: -1 })).toThrow('"-1" as the cost of retryByKind of exit');
  expect(() => constantCost(NaN)).toThrow("expected 0 or more");
});
