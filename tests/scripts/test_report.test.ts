import { expect, test } from "bun:test";

import { errorsOutside, repaired, type TestReport } from "../../scripts/test_report.ts";

const NONE: TestReport = new Map();
const ONE: TestReport = new Map([
  ["tests/a.test.ts", { names: ["one", "two"], failures: ["one"], skips: [] }],
]);

const ERROR = "# Unhandled error between tests\n----\nerror: late\n";

test("errorsOutside() reads what Bun and Deno count beside the failures of tests", () => {
  const cases: [output: string, report: TestReport, errors: Record<string, number>][] = [
    ["\n 5 pass\n 0 fail\n 9 expect() calls\nRan 5 tests across 1 file.\n", NONE, {}],
    ["\n 5 pass\n 1 fail\n 1 error\n", ONE, { "": 1 }],
    ["\n 5 pass\n 1 fail\n 12 errors\n 9 expect() calls\n", ONE, { "": 12 }],
    [
      `tests/b.test.ts:\n(pass) b\n${ERROR}tests/a.test.ts:\n${ERROR}${ERROR} 5 pass\n 4 errors\n`,
      ONE,
      { "tests/b.test.ts": 1, "tests/a.test.ts": 2, "": 1 },
    ],
    // Printed by a test, perhaps of a runner.
    [`tests/a.test.ts:\n${ERROR} 1 pass\n 3 errors\n(fail) one\n\n 5 pass\n 1 fail\n`, ONE, {}],
    [" 3 errors\n\n 5 pass\n 1 fail\n", ONE, {}],
    ["ok | 4 passed | 0 failed (1s)\n", NONE, {}],
    ["FAILED | 4 passed | 1 failed (1s)\n\nerror: Test failed\n", ONE, {}],
    ["\u001b[31mFAILED\u001b[0m | 4 passed (2 steps) | 3 failed (1s)\n", ONE, { "": 2 }],
    ["FAILED | 4 passed | 2 failed (1s)\nFAILED | 4 passed | 1 failed (1s)\n", ONE, {}],
    ["", NONE, {}],
  ];
  for (const [output, report, errors] of cases) {
    expect([output, Object.fromEntries(errorsOutside(output, report))]).toEqual([output, errors]);
  }
});

test("repaired() lets pass what passed again, and nothing else", () => {
  const [first] = ONE.values();
  const again = (names: string[], failures: string[] = [], skips: string[] = []) =>
    repaired(first!, { names, failures, skips }).failures;
  expect(repaired(first!, undefined)).toEqual(first!);
  expect(again(["one", "two"])).toEqual([]);
  expect(again(["one"])).toEqual([]);
  expect(again(["two"])).toEqual(["one"]);
  expect(again(["one", "one"])).toEqual(["one"]);
  expect(again(["one", "two"], ["one"])).toEqual(["one"]);
  expect(again(["one", "two"], [], ["one"])).toEqual(["one"]);
  expect(again(["one", "two"], ["two"])).toEqual(["two"]);
  const hook = repaired(first!, {
    names: ["one", "(unnamed)"],
    failures: ["(unnamed)"],
    skips: [],
  });
  expect(hook).toEqual({ names: ["one", "two", "(unnamed)"], failures: ["(unnamed)"], skips: [] });
});
