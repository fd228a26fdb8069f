import { expect, test } from "bun:test";

import { describeFailures, type FailedTask, FailureNews } from "../../manager/failure_news.ts";
import type { TaskId } from "../../shared/ids.ts";

function failed(id: number, stderr: string = ""): FailedTask {
  const bytes = new TextEncoder().encode(stderr);
  return { id: id as TaskId, try: 1, outcome: "exit", message: "exit code 4", stderr: bytes };
}

const options = { hasColours: false, more: () => "tendril logs 1 --stderr" };

test("FailureNews tells of a few failures a minute, and then how many there were", () => {
  const news = new FailureNews({ hasColours: false });
  const told = [1, 2, 3, 4, 5].map((id) => news.note(failed(id), id));
  expect(told.map((text) => text !== "")).toEqual([true, true, true, false, false]);
  expect(news.tellHidden(59_000)).toBe("");
  expect(news.tellHidden(60_001)).toBe("and 2 more failed since\n");
  expect(news.note(failed(6), 60_002)).toBe("task 6 ended as exit: exit code 4\n");
  expect(news.note({ ...failed(7), app: "align" }, 60_003)).toBe(
    "task 7 (align) ended as exit: exit code 4\n",
  );
});

test("FailureNews shows the last lines of standard error, without what moves a cursor", () => {
  const news = new FailureNews({ hasColours: false });
  const lines = Array.from({ length: 30 }, (_, index) => `line ${index}`).join("\n");
  const shown = news.note(failed(7, `${lines}\n\x1b[2Jlast\n`), 0).split("\n");
  expect(shown[0]).toBe("task 7 ended as exit: exit code 4");
  expect(shown.slice(1)).toEqual([
    ...Array.from({ length: 9 }, (_, index) => `  line ${index + 21}`),
    "  [2Jlast",
    "",
  ]);
});

test("describeFailures() shows five, in short what was told before, and where there is more", () => {
  const news = new FailureNews({ hasColours: false });
  for (let id = 1; id <= 9; id++) news.note(failed(id, `no oak ${id}\n`), 0);
  expect(describeFailures(news.all, options).split("\n")).toEqual([
    "task 1 ended as exit: exit code 4",
    "task 2 ended as exit: exit code 4",
    "task 3 ended as exit: exit code 4",
    "task 4 ended as exit: exit code 4",
    "  no oak 4",
    "task 5 ended as exit: exit code 4",
    "  no oak 5",
    "and 4 more failed",
    "more of it: tendril logs 1 --stderr",
    "",
  ]);
  expect(describeFailures({ first: [], count: 0, told: new Set() }, options)).toBe("");
});
