import { expect, test } from "bun:test";

import { readTaskQuery } from "../../../../manager/dashboard/page/task_query.ts";
import { readQuestion } from "../../../../manager/dashboard/question.ts";

test("readTaskQuery() reads all that an address can ask", () => {
  const params = new URLSearchParams(
    "q= align 7 &state=running,pending&outcome=exit,signal&category=fetch&kind=call&worker=w-1" +
      "&sort=-memory",
  );
  const query = readTaskQuery(params);
  expect(query).toEqual({
    kind: "tasks",
    sort: "memory",
    isDescending: true,
    search: "align 7",
    states: ["pending", "running"],
    outcomes: ["exit", "signal"],
    category: "fetch",
    taskKind: "call",
    workerId: "w-1",
  });
  expect(readQuestion({ ...query, offset: 0, limit: 200 })).toMatchObject({ sort: "memory" });
});

test("readTaskQuery() passes over what it does not know", () => {
  const params = new URLSearchParams("q=%20&state=sleeping&kind=x&sort=-size&nothing=1&outcome=,");
  expect(readTaskQuery(params)).toEqual({ kind: "tasks", sort: "id", isDescending: false });
});
