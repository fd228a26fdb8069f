import { expect, test } from "bun:test";

import {
  addResources,
  fitsWithin,
  NO_RESOURCES,
  subtractResources,
} from "../../shared/resources.ts";

const NODE = { cores: 4, memoryBytes: 8, diskBytes: 16, gpus: 1 };

test("subtractResources() undoes addResources()", () => {
  const sum = addResources(NODE, NODE);
  expect(sum).toEqual({ cores: 8, memoryBytes: 16, diskBytes: 32, gpus: 2 });
  expect(subtractResources(sum, NODE)).toEqual(NODE);
});

test("subtractResources() leaves no cores that are rounding only", () => {
  let used = NO_RESOURCES;
  const tenth = { ...NO_RESOURCES, cores: 0.1 };
  for (let count = 0; count < 10; count++) used = addResources(used, tenth);
  for (let count = 0; count < 10; count++) used = subtractResources(used, tenth);
  expect(used).toEqual(NO_RESOURCES);
});

test("fitsWithin() lets ten tenths of a core run on one core", () => {
  const capacity = { ...NO_RESOURCES, cores: 1 };
  const more = { ...NO_RESOURCES, cores: 0.1 };
  let used = NO_RESOURCES;
  let count = 0;
  for (; fitsWithin(capacity, { used, more, factor: 1 }); count++) used = addResources(used, more);
  expect(count).toBe(10);
});

test("fitsWithin() refuses when any one resource is short", () => {
  for (const name of ["cores", "memoryBytes", "diskBytes", "gpus"] as const) {
    const more = { ...NO_RESOURCES, [name]: NODE[name] + 1 };
    expect(fitsWithin(NODE, { used: NO_RESOURCES, more, factor: 1 })).toBe(false);
    expect(fitsWithin(NODE, { used: NO_RESOURCES, more, factor: 2 })).toBe(true);
  }
});

test("fitsWithin() lets all of the memory be had once parts of bytes were given back", () => {
  const capacity = { ...NO_RESOURCES, memoryBytes: 10e9 };
  let used = NO_RESOURCES;
  const parts = [1830639855.2842438, 3138616163.097322, 1512489223.6664891];
  for (const memoryBytes of parts) used = addResources(used, { ...NO_RESOURCES, memoryBytes });
  for (const memoryBytes of parts) used = subtractResources(used, { ...NO_RESOURCES, memoryBytes });
  expect(used.memoryBytes).not.toBe(0);
  expect(fitsWithin(capacity, { used, more: capacity, factor: 1 })).toBe(true);
});
