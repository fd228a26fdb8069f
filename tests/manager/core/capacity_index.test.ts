import { expect, test } from "bun:test";

import {
  freestFirst,
  newCapacityIndex,
  removeCapacity,
  setCapacity,
} from "../../../manager/core/capacity_index.ts";

test("freestFirst() goes from the freest down, below zero too", () => {
  const index = newCapacityIndex<string>();
  setCapacity(index, "owes", -3);
  setCapacity(index, "some", 2);
  setCapacity(index, "most", 64);
  setCapacity(index, "none", 0);
  expect([...freestFirst(index)]).toEqual(["most", "some", "none", "owes"]);
});

test("setCapacity() moves a member when its whole units change", () => {
  const index = newCapacityIndex<string>();
  setCapacity(index, "a", 4);
  setCapacity(index, "b", 3);
  setCapacity(index, "a", 2.999_999_9);
  setCapacity(index, "b", 3.5);
  expect([...freestFirst(index)]).toEqual(["b", "a"]);
  setCapacity(index, "a", 1);
  expect([...freestFirst(index)]).toEqual(["b", "a"]);
  setCapacity(index, "b", 0);
  expect([...freestFirst(index)]).toEqual(["a", "b"]);
});

test("removeCapacity() leaves nothing behind", () => {
  const index = newCapacityIndex<string>();
  setCapacity(index, "a", 4);
  removeCapacity(index, "a");
  removeCapacity(index, "never added");
  expect([...freestFirst(index)]).toEqual([]);
  expect([index.buckets.size, index.bucketOf.size]).toEqual([0, 0]);
  setCapacity(index, "b", 1);
  expect([...freestFirst(index)]).toEqual(["b"]);
});
