import { afterEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { dirname, join, resolve } from "@std/path";

const RUN_TESTS = resolve(import.meta.dirname ?? "", "../../scripts/run_tests.ts");
const GOOD = `import { expect, test } from "bun:test";
test("one", () => expect(1).toBe(1));
test.each([1, 2])("each %d", (n) => expect(n).toBeGreaterThan(0));
`;
/** Declares `failing(name, when)`: a test that fails as often as `when` says. */
const FAILING = `import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
import { expect, test } from "bun:test";
const runtime = "Deno" in globalThis ? "deno" : "bun";
/** Tells whether it is asked for the first time of this runtime. */
function isFirst(name) {
  const path = process.env["STATE"] + "-" + runtime + "-" + name;
  const isFirst = !existsSync(path);
  writeFileSync(path, "");
  return isFirst;
}
`;
const FAILED = expect.stringMatching(/^\d+ passed, [1-9]\d* failed/);

const roots: string[] = [];

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

/** Runs the tests of a tree that holds `files`. */
function runTests(files: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), "tendril-gate-"));
  roots.push(root);
  for (const [path, source] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), source);
  }
  const env = { ...process.env, STATE: join(root, "state") };
  const { status, stdout, stderr } = spawnSync("bun", [RUN_TESTS, root], { encoding: "utf8", env });
  return { status, lastLine: stdout.trimEnd().split("\n").at(-1), stdout, stderr };
}

test("run_tests counts the tests of both runtimes", () => {
  const result = runTests({ "tests/a.test.ts": GOOD, "tests/shared/b.test.ts": GOOD });
  expect(result).toMatchObject({ status: 0, lastLine: "9 passed, 0 failed" });
});

test("run_tests fails when a test fails, and names it at its end", () => {
  const bad = GOOD + `test("two", () => expect(1).toBe(2));`;
  const result = runTests({ "tests/a.test.ts": bad, "tests/shared/b.test.ts": GOOD });
  expect(result).toMatchObject({ status: 1, lastLine: "9 passed, 1 failed" });
  expect(result.stdout).toContain("\nfailed: tests/a.test.ts: two\n9 passed");
});

const ONCE = FAILING + `test("once", () => expect(isFirst("once")).toBe(false));
test("always right", () => {});
`;

test("run_tests runs a file with failed tests once more, alone, and names what then passed", () => {
  const result = runTests({ "tests/a.test.ts": ONCE, "tests/b.test.ts": GOOD });
  expect(result).toMatchObject({ status: 0, lastLine: "5 passed, 0 failed" });
  expect(result.stdout).toEndWith(
    "\npassed only alone: tests/a.test.ts: once\n5 passed, 0 failed\n",
  );
  expect(result.stdout).not.toContain("failed: tests");
});

test("run_tests repeats under both runtimes, each file where it failed", () => {
  const onDeno = FAILING +
    `test("there", () => expect(runtime === "deno" && isFirst("there")).toBe(false));\n`;
  const files = { "tests/shared/a.test.ts": ONCE, "tests/shared/b.test.ts": onDeno };
  const result = runTests(files);
  expect(result).toMatchObject({ status: 0, lastLine: "6 passed, 0 failed" });
  expect(result.stdout.match(/^once more, .*$/gm)).toEqual([
    "once more, alone under bun: tests/shared/a.test.ts",
    "once more, alone under deno: tests/shared/a.test.ts",
    "once more, alone under deno: tests/shared/b.test.ts",
  ]);
  expect(result.stdout.match(/^passed only alone: .*$/gm)).toEqual([
    "passed only alone: tests/shared/a.test.ts: once",
    "passed only alone: tests/shared/a.test.ts: once",
    "passed only alone: tests/shared/b.test.ts: there",
  ]);
});

test("run_tests fails for what fails again, or only then", () => {
  const files = {
    "tests/a.test.ts": ONCE + `test("never", () => expect(1).toBe(2));`,
    "tests/b.test.ts": ONCE.replaceAll("once", "other") +
      `test("alone", () => expect(isFirst("alone")).toBe(true));`,
  };
  const result = runTests(files);
  expect(result).toMatchObject({ status: 1, lastLine: "4 passed, 2 failed" });
  expect(result.stdout).toContain(
    "\npassed only alone: tests/a.test.ts: once\npassed only alone: tests/b.test.ts: other\n" +
      "failed: tests/a.test.ts: never\nfailed: tests/b.test.ts: alone\n",
  );
});

test("run_tests takes no test for passed that was not run again", () => {
  const gone = FAILING + `if (isFirst("gone")) test("go" + "ne", () => expect(1).toBe(2));
test.skipIf(!isFirst("skipped"))("skip" + "ped", () => expect(1).toBe(2));
for (const n of [1, 2]) test("twin", () => expect(isFirst("twin" + n) && n === 2).toBe(false));
for (const n of [1, 2]) test("pair", () => expect(n).toBe(isFirst("pair" + n) ? 1 : 2));
`;
  const result = runTests({ "tests/a.test.ts": gone });
  expect(result).toMatchObject({ status: 1, lastLine: "3 passed, 3 failed" });
  expect(result.stdout.match(/^(passed only|failed:).*$/gm)).toEqual([
    "passed only alone: tests/a.test.ts: twin",
    "failed: tests/a.test.ts: gone",
    "failed: tests/a.test.ts: skipped",
    "failed: tests/a.test.ts: pair",
  ]);
});

test("run_tests does not repeat six failed files", () => {
  const five = Object.fromEntries([1, 2, 3, 4, 5].map((n) => {
    return [`tests/${n}.test.ts`, ONCE.replaceAll("once", `once${n}`)];
  }));
  expect(runTests(five)).toMatchObject({ status: 0, lastLine: "10 passed, 0 failed" });
  const result = runTests({ ...five, "tests/6.test.ts": ONCE });
  expect(result).toMatchObject({ status: 1, lastLine: "6 passed, 6 failed" });
  expect(result.stdout).not.toContain("once more");
});

test("run_tests repairs no error outside a test, and no runner that ends in the repeat", () => {
  const late = FAILING + `import { afterAll } from "bun:test";
test("late", () => {
  if (isFirst("late")) setTimeout(() => { throw new Error("between tests"); });
});
afterAll(() => new Promise((resolve) => setTimeout(resolve, 20)));
`;
  const beside = runTests({ "tests/a.test.ts": ONCE, "tests/b.test.ts": late });
  expect(beside).toMatchObject({ status: 1, lastLine: "2 passed, 2 failed" });
  expect(beside.stderr).toContain("tests/b.test.ts: 1 errors outside a test (status 1)");
  // As a test does that goes on past its limit.
  const past = late.replace(/setTimeout.*$/m, "{ $& expect(1).toBe(2); }");
  const slow = runTests({ "tests/a.test.ts": past, "tests/b.test.ts": GOOD });
  expect(slow).toMatchObject({ status: 0, lastLine: "4 passed, 0 failed" });
  expect(slow.stdout).toContain("1 error\n");
  expect(slow.stdout).toContain("passed only alone: tests/a.test.ts: late\n");
  const ending = ONCE + `test("end", () => { if (!isFirst("end")) process.exit(0); });`;
  const ended = runTests({ "tests/a.test.ts": ending, "tests/b.test.ts": GOOD });
  expect(ended).toMatchObject({ status: 1, lastLine: "5 passed, 2 failed" });
  expect(ended.stderr).toContain("bun test ended without a report (status 0)");
  expect(ended.stdout).not.toContain("passed only alone");
});

test("run_tests fails when a test fails under Deno alone", () => {
  const bad = GOOD + `test("two", () => expect("Deno" in globalThis).toBe(false));`;
  const result = runTests({ "tests/shared/b.test.ts": bad });
  expect(result).toMatchObject({ status: 1, lastLine: "7 passed, 1 failed" });
});

test("run_tests fails when a test ends the runner with status 0", () => {
  const bad = GOOD + `test("two", () => process.exit(0));`;
  const result = runTests({ "tests/a.test.ts": GOOD, "tests/b.test.ts": bad });
  expect(result).toMatchObject({ status: 1, lastLine: FAILED });
  expect(result.stderr).toContain("bun test ended without a report (status 0)");
});

test("run_tests runs tests of whole programs beside the others", () => {
  const bad = GOOD + `test("two", () => process.exit(0));`;
  const files = { "tests/binary/a.test.ts": GOOD, "tests/shared/b.test.ts": GOOD };
  expect(runTests(files)).toMatchObject({ status: 0, lastLine: "9 passed, 0 failed" });
  expect(runTests({ ...files, "tests/integration/c.test.ts": bad }).status).toBe(1);
});

test("run_tests fails when the last hook ends the runner with status 0", () => {
  const bad = GOOD + `import { afterAll } from "bun:test";\nafterAll(() => process.exit(0));`;
  expect(runTests({ "tests/b.test.ts": bad })).toMatchObject({ status: 1, lastLine: FAILED });
});

test("run_tests fails when a file ends the runner with status 0 while it is loaded", () => {
  const result = runTests({
    "tests/a.test.ts": GOOD,
    "tests/b.test.ts": GOOD + "process.exit(0);",
  });
  expect(result).toMatchObject({ status: 1, lastLine: FAILED });
});

test("run_tests fails when a test ends the runner under Deno alone", () => {
  const bad = GOOD + `test("two", () => { if ("Deno" in globalThis) process.exit(0); });`;
  const result = runTests({ "tests/shared/b.test.ts": bad + `\ntest("three", () => {});` });
  expect(result).toMatchObject({ status: 1, lastLine: FAILED });
});

test("run_tests fails when a declared test is not registered", () => {
  const bad = GOOD + `if (process.env["NEVER_SET"]) test("never", () => {});`;
  const result = runTests({ "tests/a.test.ts": bad });
  expect(result).toMatchObject({ status: 1, lastLine: "3 passed, 1 failed" });
  expect(result.stderr).toContain(`tests/a.test.ts: "never" did not run under Bun`);
});

test("run_tests fails when each has no row", () => {
  const bad = GOOD + `test.each([])("row %s of it", () => {});`;
  const result = runTests({ "tests/a.test.ts": bad });
  expect(result).toMatchObject({ status: 1, lastLine: FAILED });
  expect(result.stderr).toContain(`tests/a.test.ts: "row … of it" did not run under Bun`);
});

test("run_tests finds names with holes, escapes and groups", () => {
  const names = GOOD + `import { describe } from "bun:test";
describe("a > b", () => {
  for (const n of [1, 2]) test(\`loop \${n} (x) <"&'\\n\`, () => {});
  test("one", () => {});
  test.each([{ a: 1 }])("object $a", () => {});
  test.if(true)("conditional", () => {});
});`;
  const result = runTests({ "tests/shared/a.test.ts": names });
  expect(result).toMatchObject({ status: 0, lastLine: "16 passed, 0 failed" });
});

test("run_tests fails when a test file declares nothing", () => {
  const result = runTests({ "tests/a.test.ts": GOOD, "tests/b.test.ts": "export {};" });
  expect(result).toMatchObject({ status: 1, lastLine: FAILED });
  expect(result.stderr).toContain("tests/b.test.ts: no test ran under Bun");
});

test("run_tests fails on an error outside a test", () => {
  const bad = GOOD + `throw new Error("while loading");`;
  expect(runTests({ "tests/a.test.ts": bad })).toMatchObject({ status: 1, lastLine: FAILED });
});

test("run_tests fails when there is no test at all", () => {
  expect(runTests({})).toMatchObject({ status: 1, lastLine: FAILED });
});
