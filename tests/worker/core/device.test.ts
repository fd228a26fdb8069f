import { expect, test } from "bun:test";

import { NO_RESOURCES } from "../../../shared/resources.ts";
import {
  type HeldDevices,
  newDevicePool,
  NO_DEVICES,
  returnDevices,
  takeDevices,
} from "../../../worker/core/device.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const some = (amounts: { cores?: number; gpus?: number }) => ({ ...NO_RESOURCES, ...amounts });

test("takeDevices() never gives a GPU twice, and gives it again once it is back", () => {
  const pool = newDevicePool(["2", "GPU-a", "5"], []);
  const first = takeDevices(pool, some({ gpus: 2 }));
  expect(first).toEqual({ gpus: ["2", "GPU-a"], cpus: [] });
  expect(takeDevices(pool, some({ gpus: 1 })).gpus).toEqual(["5"]);
  expect(() => takeDevices(pool, some({ gpus: 1 }))).toThrow("1 GPUs must be free, not 0");
  returnDevices(pool, first, some({ gpus: 2 }));
  expect(takeDevices(pool, some({ gpus: 1 })).gpus).toEqual(["2"]);
  expect(takeDevices(pool, some({ cores: 4 }))).toBe(NO_DEVICES);
});

test("takeDevices() gives whole cores processors of their own, and parts of cores shared ones", () => {
  const pool = newDevicePool([], [2, 3, 6, 7]);
  const take = (cores: number) => takeDevices(pool, some({ cores })).cpus;
  expect(take(1.5)).toEqual([2, 3]);
  expect(take(0.5)).toEqual([3]);
  expect(take(2)).toEqual([6, 7]);
  expect([...pool.cpuLoads.values()]).toEqual([1, 1, 1, 1]);
});

test("takeDevices() shares the emptiest where parts of cores leave too few whole ones", () => {
  const pool = newDevicePool([], [0, 1, 2]);
  const take = (cores: number) => takeDevices(pool, some({ cores })).cpus;
  const parts = [take(0.6), take(0.6), take(0.5)];
  expect(parts).toEqual([[0], [1], [2]]);
  expect(take(1)).toEqual([2]);
});

test("returnDevices() leaves nothing behind of any sum of parts", () => {
  const pool = newDevicePool([], [0, 1]);
  const held: [HeldDevices, number][] = [0.1, 0.2, 0.7, 0.3].map((cores) => {
    return [takeDevices(pool, some({ cores })), cores];
  });
  for (const [devices, cores] of held) returnDevices(pool, devices, some({ cores }));
  expect([...pool.cpuLoads.values()]).toEqual([0, 0]);
  expect(takeDevices(pool, some({ cores: 2 })).cpus).toEqual([0, 1]);
});

test("startCommand() has each try hold devices of its own until it ends", () => {
  const fixture = WorkerFixture.connected({ cores: 4, gpuIds: ["a", "b"], cpus: [0, 1, 2, 3] });
  fixture.isGiven(1, { gpus: 1, cores: 2 }, { gpus: 1 }, { gpus: 1 });
  const devices = fixture.instructions.flatMap((instruction) => {
    return instruction.kind === "run_task" ? [instruction.devices] : [];
  });
  expect(devices).toEqual([{ gpus: ["a"], cpus: [0, 1] }, { gpus: ["b"], cpus: [2] }]);
  fixture.finishes(2);
  const next = fixture.instructions.find(({ kind }) => kind === "run_task");
  expect(next).toMatchObject({ devices: { gpus: ["b"], cpus: [2] } });
});

test("startInstance() has an instance hold its devices until it is gone", () => {
  const cached = [factsOf("module")];
  const fixture = WorkerFixture.connected({ cores: 2, gpuIds: ["a"], cached });
  fixture.startsInstance(1, { resources: some({ gpus: 1 }) });
  expect(fixture.instructions).toContainEqual(
    expect.objectContaining({ kind: "start_instance", devices: { gpus: ["a"], cpus: [] } }),
  );
  fixture.isGiven(1, { gpus: 1 });
  expect(fixture.orders).toEqual([]);
  fixture.feed({ kind: "instance_gone", instanceId: 1 as never, reason: "died", message: "" });
  expect(fixture.orders).toEqual(["run 1.1"]);
});
