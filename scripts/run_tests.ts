/**
 * Runs every test under Bun, and those that must hold on both runtimes under Deno too, and counts
 * them: `bun scripts/run_tests.ts [DIR]`. Ends with one line, `N passed, N failed`, and fails when
 * fewer tests ran than the files declare, or when a runner ended without its report.
 */

import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";

import { join, resolve } from "@std/path";

import { type FileReport, readReport, type TestReport, testsMissing } from "./test_report.ts";

/** Tests of whole programs: these wait more than they compute, and run beside all others. */
const OF_PROGRAMS = /^tests\/(integration|binary)\//;

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

if (import.meta.main) process.exit(await runTests(resolve(process.argv[2] ?? REPOSITORY)) ? 0 : 1);

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

/**
 * Runs the tests under `root`, prints the counts and tells whether all is well. Two runners at a
 * time: what one prints comes as it runs, what the other one prints when it is done.
 */
async function runTests(root: string): Promise<boolean> {
  const scratch = mkdtempSync(join(tmpdir(), "tendril-tests-"));
  try {
    const run: TestRun = { root, files: testFiles(root), scratch, problems: [] };
    if (run.files.length === 0) run.problems.push(`Cannot find a test: none in ${root}/tests`);
    const [programs, parts] = partition(run.files, (file) => OF_PROGRAMS.test(file));
    const [ofPrograms, ofParts] = await Promise.all([
      runBun(run, { name: "programs", files: programs, isShown: true }),
      runParts(run, parts),
    ]);
    const reports = [ofPrograms, ...ofParts];
    for (const problem of run.problems) process.stderr.write(`error: ${problem}\n`);
    return summarize(reports, run.problems.length);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function partition<T>(items: readonly T[], fits: (item: T) => boolean): [T[], T[]] {
  return [items.filter(fits), items.filter((item) => !fits(item))];
}

function testFiles(root: string): string[] {
  if (!existsSync(join(root, "tests"))) return [];
  const files = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".test.ts")).map((file) => `tests/${file}`).sort();
}

/** Files that one runner runs. */
interface Share {
  readonly name: string;
  readonly files: readonly string[];
  /** What it prints is shown at once, and not at its end. */
  readonly isShown: boolean;
}

/** What needs no other program; then what must hold on Deno as well. */
async function runParts(run: TestRun, files: readonly string[]): Promise<readonly TestReport[]> {
  const onBun = await runBun(run, { name: "parts", files, isShown: false });
  return [onBun, await runDeno(run, onBun)];
}

async function runBun(run: TestRun, share: Share): Promise<TestReport> {
  if (share.files.length === 0) return new Map();
  const outfile = join(run.scratch, `${share.name}.xml`);
  const flags = [`--timeout=${TEST_MS_MAX}`, "--reporter=junit", `--reporter-outfile=${outfile}`];
  const paths = share.files.map((file) => `./${file}`);
  const command = ["bun", "test", ...flags, ...paths];
  const report = await spawnRunner(run, { command, outfile, isShown: share.isShown });
  if (report.size === 0) return report;
  for (const file of share.files) {
    const missing = testsMissing(readFileSync(join(run.root, file), "utf8"), report.get(file));
    run.problems.push(...missing.map((name) => `${file}: "${name}" did not run under Bun`));
    if (!report.has(file)) run.problems.push(`${file}: no test ran under Bun`);
  }
  return report;
}

/** A file must run as many tests under Deno as it did under Bun. */
async function runDeno(run: TestRun, onBun: TestReport): Promise<TestReport> {
  // A test that moved or went must not stay excused.
  for (const file of run.root === REPOSITORY ? Object.keys(NOT_ON_DENO) : []) {
    if (!run.files.includes(file)) run.problems.push(`Cannot find "${file}" of NOT_ON_DENO`);
  }
  const files = run.files.filter((file) => ON_DENO.test(file) && !(file in NOT_ON_DENO));
  if (files.length === 0) return new Map();
  const outfile = join(run.scratch, "deno.xml");
  const config = join(REPOSITORY, "deno.json");
  const flags = ["--allow-all", "--no-check", `--config=${config}`, `--junit-path=${outfile}`];
  const command = ["deno", "test", ...flags, ...files];
  const report = await spawnRunner(run, { command, outfile, isShown: false });
  for (const file of files) {
    const [denoCount, bunCount] = [testCount(report.get(file)), testCount(onBun.get(file))];
    if (denoCount === bunCount) continue;
    run.problems.push(`${file}: ${denoCount} tests ran under Deno, ${bunCount} under Bun`);
  }
  return report;
}

/** Runs a test runner and reads the report that it leaves only when it comes to its end. */
async function spawnRunner(
  run: TestRun,
  { command: [command = "", ...args], outfile, isShown }: {
    readonly command: readonly string[];
    readonly outfile: string;
    readonly isShown: boolean;
  },
): Promise<TestReport> {
  const log = isShown ? undefined : openSync(`${outfile}.log`, "w");
  const child = spawn(command, args, {
    cwd: run.root,
    stdio: ["ignore", log ?? "inherit", log ?? "inherit"],
    timeout: RUNNER_MS_MAX,
    killSignal: "SIGKILL",
    env: {
      ...process.env,
      // Tests never see, and never change, what the user's own managers left.
      TENDRIL_HOME: join(run.scratch, "home"),
      // Nor do they record themselves where they do not say so: some thousand record processes would
      // take minutes.
      TENDRIL_RUN_DIRECTORY: "none",
      TENDRIL_NO_DASHBOARD: "1",
    },
  });
  const end = await endOf(child);
  if (log !== undefined) {
    closeSync(log);
    process.stdout.write(readFileSync(`${outfile}.log`));
  }
  if (!existsSync(outfile)) {
    run.problems.push(`${command} test ended without a report (${end})`);
    return new Map();
  }
  const report = readReport(readFileSync(outfile, "utf8"));
  const hasFailed = [...report.values()].some((file) => file.failed > 0);
  if (end !== "status 0" && !hasFailed) {
    run.problems.push(`${command} test failed outside a test (${end})`);
  }
  return report;
}

async function endOf(child: ChildProcess): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  child.once("error", (error) => resolve(error.message));
  child.once("close", (code, signal) => resolve(signal ?? `status ${code}`));
  return await promise;
}

function summarize(reports: readonly TestReport[], problemCount: number): boolean {
  const files = reports.flatMap((report) => [...report.values()]);
  // Said again where it is found.
  for (const [path, { failures }] of reports.flatMap((report) => [...report])) {
    for (const name of failures) process.stdout.write(`failed: ${path}: ${name}\n`);
  }
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
