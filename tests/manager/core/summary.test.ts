import { expect, test } from "bun:test";

import { summarize } from "../../../manager/core/summary.ts";
import { ManagerFixture } from "./fixture.ts";

test("summarize() tells what workers have and have given, and how many tries run", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 4, memoryBytes: 4_000, diskBytes: 8_000, gpus: 1 });
  fixture.joins("b", { cores: 4, memoryBytes: 4_000, diskBytes: 8_000 });
  const request = { cores: 2, memoryBytes: 1_000, diskBytes: 500, gpus: 1 };
  const task = fixture.submits({ request });
  fixture.submits({ request: { ...request, gpus: 0 } });
  expect(summarize(fixture.state).running).toBe(0);
  fixture.starts("a", task);
  expect(summarize(fixture.state)).toMatchObject({
    running: 1,
    coresTotal: 8,
    coresCommitted: 4,
    memoryTotalBytes: 8_000,
    memoryCommittedBytes: 2_000,
    diskTotalBytes: 16_000,
    diskCommittedBytes: 1_000,
    gpusTotal: 1,
    gpusCommitted: 1,
  });
  fixture.finishes("a", task);
  expect(summarize(fixture.state)).toMatchObject({ running: 0, coresCommitted: 2 });
});

test("summarize() does not count a try as running that was lost with its worker", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.starts("a", fixture.submits({}));
  fixture.exits("a");
  expect(summarize(fixture.state).running).toBe(0);
});
