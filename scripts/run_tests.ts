/**
 * Runs every test under Bun, and those that must hold on both runtimes under Deno too, and counts
 * them: `bun scripts/run_tests.ts [DIR]`. Ends with one line, `N passed, N failed`, and fails when
 * fewer tests ran than the files declare, or when a runner ended without its report.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join, resolve } from "@std/path";

import { type FileReport, readReport, type TestReport, testsMissing } from "./test_report.ts";

/** Folders whose tests run under Deno too: what a manager on Deno is made of, and both cores. */
const ON_DENO = /^tests\/(shared|manager|worker\/core)\/|^tests\/deno_shim\.test\.ts$/;

/** `{test file in those folders: why it cannot run under Deno}`; every entry must exist. */
const NOT_ON_DENO: Readonly<Record<string, string>> = {
  "tests/shared/runtime/serve.test.ts":
    "starts its servers on both runtimes, in processes of their own",
  "tests/shared/runtime/serve_limits.test.ts":
    "starts its servers on both runtimes, in processes of their own",
};

/** Longest one test may take, and one runner. */
const TEST_MS_MAX = 60_000;
const RUNNER_MS_MAX = 30 * 60_000;

const REPOSITORY = resolve(import.meta.dir, "..");

if (import.meta.main) process.exit(runTests(resolve(process.argv[2] ?? REPOSITORY)) ? 0 : 1);

/** One run of all tests. */
interface TestRun {
  readonly root: string;
  /** Test files, from the root. */
  readonly files: readonly string[];
  /** Folder for the reports, removed afterwards. */
  readonly scratch: string;
  /** What is wrong although no test says so. */
  readonly problems: string[];
}

/** Runs the tests under `root`, prints the counts and tells whether all is well. */
function runTests(root: string): boolean {
  const scratch = mkdtempSync(join(tmpdir(), "tendril-tests-"));
  try {
    const run: TestRun = { root, files: testFiles(root), scratch, problems: [] };
    if (run.files.length === 0) run.problems.push(`Cannot find a test: none in ${root}/tests`);
    const onBun = runBun(run);
    const onDeno = runDeno(run, onBun);
    for (const problem of run.problems) process.stderr.write(`error: ${problem}\n`);
    return summarize([onBun, onDeno], run.problems.length);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function testFiles(root: string): string[] {
  if (!existsSync(join(root, "tests"))) return [];
  const files = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".test.ts")).map((file) => `tests/${file}`).sort();
}

function runBun(run: TestRun): TestReport {
  const outfile = join(run.scratch, "bun.xml");
  const flags = [`--timeout=${TEST_MS_MAX}`, "--reporter=junit", `--reporter-outfile=${outfile}`];
  const report = spawnRunner(run, ["bun", "test", ...flags, "./tests"], outfile);
  if (report.size === 0) return report;
  for (const file of run.files) {
    const missing = testsMissing(readFileSync(join(run.root, file), "utf8"), report.get(file));
    run.problems.push(...missing.map((name) => `${file}: "${name}" did not run under Bun`));
    if (!report.has(file)) run.problems.push(`${file}: no test ran under Bun`);
  }
  return report;
}

/** A file must run as many tests under Deno as it did under Bun. */
function runDeno(run: TestRun, onBun: TestReport): TestReport {
  // A test that moved or went must not stay excused.
  for (const file of run.root === REPOSITORY ? Object.keys(NOT_ON_DENO) : []) {
    if (!run.files.includes(file)) run.problems.push(`Cannot find "${file}" of NOT_ON_DENO`);
  }
  const files = run.files.filter((file) => ON_DENO.test(file) && !(file in NOT_ON_DENO));
  if (files.length === 0) return new Map();
  const outfile = join(run.scratch, "deno.xml");
  const config = join(REPOSITORY, "deno.json");
  const flags = ["--allow-all", "--no-check", `--config=${config}`, `--junit-path=${outfile}`];
  const report = spawnRunner(run, ["deno", "test", ...flags, ...files], outfile);
  for (const file of files) {
    const [denoCount, bunCount] = [testCount(report.get(file)), testCount(onBun.get(file))];
    if (denoCount === bunCount) continue;
    run.problems.push(`${file}: ${denoCount} tests ran under Deno, ${bunCount} under Bun`);
  }
  return report;
}

/** Runs a test runner and reads the report that it leaves only when it comes to its end. */
function spawnRunner(run: TestRun, [command = "", ...args]: string[], outfile: string): TestReport {
  const result = spawnSync(command, args, {
    cwd: run.root,
    stdio: ["ignore", "inherit", "inherit"],
    timeout: RUNNER_MS_MAX,
    killSignal: "SIGKILL",
    env: {
      ...process.env,
      // Tests never see, and never change, what the user's own managers left.
      TENDRIL_HOME: join(run.scratch, "home"),
      // Nor do they leave records of their own, where they do not say so.
      TENDRIL_RUN_DIRECTORY: "none",
    },
  });
  if (!existsSync(outfile)) {
    const end = result.error?.message ?? result.signal ?? `status ${result.status}`;
    run.problems.push(`${command} test ended without a report (${end})`);
    return new Map();
  }
  const report = readReport(readFileSync(outfile, "utf8"));
  const hasFailed = [...report.values()].some((file) => file.failed > 0);
  if (result.status !== 0 && !hasFailed) {
    run.problems.push(`${command} test failed outside a test (status ${result.status})`);
  }
  return report;
}

function summarize(reports: readonly TestReport[], problemCount: number): boolean {
  const files = reports.flatMap((report) => [...report.values()]);
  const sum = (key: "passed" | "failed" | "skipped"): number =>
    files.reduce((total, file) => total + file[key], 0);
  const failed = sum("failed") + problemCount;
  const skipped = sum("skipped");
  const tail = skipped > 0 ? `, ${skipped} skipped` : "";
  process.stdout.write(`${sum("passed")} passed, ${failed} failed${tail}\n`);
  return failed === 0;
}

function testCount(file: FileReport | undefined): number {
  return file ? file.passed + file.failed + file.skipped : 0;
}
