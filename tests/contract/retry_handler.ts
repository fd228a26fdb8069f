/** What every retry handler does: run on each. */

import { expect, test } from "bun:test";

import type { AppRetryHandler, RetryAnswer } from "../../manager/dataflow/app_options.ts";
import { FAILURE_KINDS } from "../../manager/dataflow/app_options.ts";
import { app, inProcess, load } from "../../mod.ts";

/** Tests one of them; `triesOf` says how many tries a call with 2 retries has that always throws. */
export function testRetryHandler(
  name: string,
  { make, triesOf }: { readonly make: () => AppRetryHandler; readonly triesOf: number },
): void {
  test(`${name} answers failures of every kind with a cost`, async () => {
    const handler = make();
    for (const kind of FAILURE_KINDS) {
      const call = { id: 1, app: "align", try: 1, failCost: 0, executor: "local" };
      const answer: number | RetryAnswer = await handler({ kind, message: "" }, call);
      const { cost = 1 } = typeof answer === "number" ? { cost: answer } : answer;
      expect(cost).toBeGreaterThanOrEqual(0);
    }
  });

  test(`${name} ends the tries of a call`, async () => {
    await using _flow = await load({ executors: [inProcess()], retries: 2 });
    const fail = app(() => {
      throw new Error("always");
    }, { retryHandler: make() });
    const future = fail();
    await future.catch(() => {});
    expect(future.tryCount).toBe(triesOf);
  });
}
