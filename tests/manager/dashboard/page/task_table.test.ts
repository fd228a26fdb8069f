import { expect, test } from "bun:test";

import { argumentsOf } from "../../../../manager/dashboard/page/task_table.tsx";

test("argumentsOf() leaves out the program where the name tells it", () => {
  expect(argumentsOf({ name: "train", command: "train --seed 1" })).toBe("--seed 1");
  expect(argumentsOf({ name: "train", command: "./bin/train\n--seed 1" })).toBe("--seed 1");
  expect(argumentsOf({ name: "train", command: "train" })).toBe("");
  expect(argumentsOf({ name: "train", command: "SEED=1 train all" })).toBe("SEED=1 train all");
});
