import { expect, test } from "bun:test";

import { app } from "../../../manager/dataflow/app.ts";

test("app() refuses a call without a flow", () => {
  const add = app((a: number, b: number) => a + b, { name: "add" });
  expect(() => add(1, 2)).toThrow('Cannot call "add" without a flow: await load({ … }) first');
});
