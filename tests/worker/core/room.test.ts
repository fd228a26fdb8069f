import { expect, test } from "bun:test";

import { WorkerFixture } from "./fixture.ts";

test("startWhatFits() never runs more than there is room for", () => {
  const fixture = WorkerFixture.connected({ cores: 2 });
  fixture.isGiven(1, {}, {}, {});
  expect(fixture.orders).toEqual(["run 1.1", "run 2.1"]);
});

test("startWhatFits() starts the best first, then in the order of arrival", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {}, {}, { priority: 2 }, { priority: 1 });
  expect(fixture.orders).toEqual(["run 3.1"]);
  const order: number[] = [];
  for (const taskId of [3, 4, 1]) {
    fixture.finishes(taskId);
    order.push(...fixture.orders.map((run) => Number.parseInt(run.slice(4))));
  }
  expect(order).toEqual([4, 1, 2]);
});

test("startWhatFits() lets a narrow try run beside one too wide for what is left", () => {
  const fixture = WorkerFixture.connected({ cores: 3 });
  fixture.isGiven(1, { cores: 2 }, { cores: 2 }, { cores: 1 });
  expect(fixture.orders).toEqual(["run 1.1", "run 3.1"]);
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["run 2.1"]);
  expect(fixture.state.roomQueues.size).toBe(0);
});

test("startWhatFits() never uses more of a custom resource than there is", () => {
  const fixture = WorkerFixture.connected({ cores: 8, custom: { license: 3, seat: 1 } });
  const two = { custom: { license: 2 } };
  fixture.isGiven(1, two, two, { custom: { seat: 1, license: 1 } }, { custom: { other: 1 } }, {});
  expect(fixture.orders).toEqual(["run 1.1", "run 3.1", "run 5.1"]);
  expect(fixture.state.used.custom).toEqual({ license: 3, seat: 1 });
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["run 2.1"]);
  fixture.finishes(2);
  fixture.finishes(3);
  expect(fixture.state.used.custom).toBeUndefined();
});

test("awaitRoom() keeps tries apart that differ in custom resources alone", () => {
  const fixture = WorkerFixture.connected({ cores: 2, custom: { license: 1 } });
  fixture.isGiven(1, { custom: { license: 1 } }, { custom: { license: 1 } }, {});
  expect(fixture.orders).toEqual(["run 1.1", "run 3.1"]);
});
