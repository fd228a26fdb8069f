import { expect, test } from "bun:test";

import { redialDelayMs } from "../../shared/redial.ts";

test("redialDelayMs() begins at once, grows to a limit, and is at most halved by chance", () => {
  const delays = [0, 1, 2, 3, 4, 5, 1000].map((round) => redialDelayMs(round, 0));
  expect(delays).toEqual([0, 100, 500, 1_000, 2_000, 5_000, 5_000]);
  expect(redialDelayMs(2, 1)).toBe(250);
});
