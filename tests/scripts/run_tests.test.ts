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
  const { status, stdout, stderr } = spawnSync("bun", [RUN_TESTS, root], { encoding: "utf8" });
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
