/**
 * Runs every test under Bun, and those that must hold on both runtimes under Deno too, and counts
 * them: `bun scripts/run_tests.ts [DIR]`. Ends with one line, `N passed, N failed`, and fails when
 * fewer tests ran than the files declare, or when a runner ended without its report.
 *
 * When few files have tests that failed, each of these is run once more, alone. The limits of tests
 * are there for what hangs: beside thousands of others, on a machine that stood still for a while, a
 * test exceeds one though nothing it looked at was wrong. What is wrong is wrong alone too, but for
 * what is wrong only now and then; that is why each test that passed only alone is named at the end,
 * and one that is named again has a defect, of its own or of what it tests.
 */

import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";

import { join, resolve } from "@std/path";

import {
  errorsOutside,
  type FileReport,
  readReport,
  repaired,
  type TestReport,
  testsMissing,
} from "./test_report.ts";

/** Tests of whole programs: these wait more than they compute, and run beside all others. */
const OF_PROGRAMS = /^tests\/(integration|binary)\//;

/** Folders whose tests run under Deno too: what a manager on Deno is made of, and both cores. */
const ON_DENO = /^tests\/(shared|manager|contract|worker\/core)\/|^tests\/deno_shim\.test\.ts$/;

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

/** Most files that are run once more: where more fail, it is not the load. */
const REPEATED_FILES_MAX = 5;

/** How often what a runner prints is looked for. */
const SHOW_MS = 200;

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
    const first = [ofPrograms, ...ofParts];
    const last = run.problems.length > 0 ? first : await repeatFailed(run, first);
    for (const problem of run.problems) process.stderr.write(`error: ${problem}\n`);
    nameRepaired(first, last);
    return summarize(last, run.problems.length);
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

/** What a runner said of its files. */
interface Ran {
  readonly runtime: "bun" | "deno";
  readonly report: TestReport;
}

/** What needs no other program; then what must hold on Deno as well. */
async function runParts(run: TestRun, files: readonly string[]): Promise<readonly Ran[]> {
  const onBun = await runBun(run, { name: "parts", files, isShown: false });
  return [onBun, await runDeno(run, onBun.report)];
}

async function runBun(run: TestRun, share: Share): Promise<Ran> {
  const report = await runFiles(run, "bun", share);
  if (report.size === 0) return { runtime: "bun", report };
  for (const file of share.files) {
    const missing = testsMissing(readFileSync(join(run.root, file), "utf8"), report.get(file));
    run.problems.push(...missing.map((name) => `${file}: "${name}" did not run under Bun`));
    if (!report.has(file)) run.problems.push(`${file}: no test ran under Bun`);
  }
  return { runtime: "bun", report };
}

/** A file must run as many tests under Deno as it did under Bun. */
async function runDeno(run: TestRun, onBun: TestReport): Promise<Ran> {
  // A test that moved or went must not stay excused.
  for (const file of run.root === REPOSITORY ? Object.keys(NOT_ON_DENO) : []) {
    if (!run.files.includes(file)) run.problems.push(`Cannot find "${file}" of NOT_ON_DENO`);
  }
  const files = run.files.filter((file) => ON_DENO.test(file) && !(file in NOT_ON_DENO));
  const report = await runFiles(run, "deno", { name: "deno", files, isShown: false });
  if (report.size === 0) return { runtime: "deno", report };
  for (const file of files) {
    const [denoCount, bunCount] = [testCount(report.get(file)), testCount(onBun.get(file))];
    if (denoCount === bunCount) continue;
    run.problems.push(`${file}: ${denoCount} tests ran under Deno, ${bunCount} under Bun`);
  }
  return { runtime: "deno", report };
}

/** The reports, with what became of those few files whose tests failed when each was run alone. */
async function repeatFailed(run: TestRun, first: readonly Ran[]): Promise<readonly Ran[]> {
  const failed = new Set(first.flatMap(({ report }) => {
    return [...report].filter(([, { failures }]) => failures.length > 0).map(([file]) => file);
  }));
  if (failed.size > REPEATED_FILES_MAX) return first;
  const last: Ran[] = [];
  let count = 0;
  for (const { runtime, report } of first) {
    const settled = new Map(report);
    for (const [file, ended] of report) {
      if (ended.failures.length === 0) continue;
      process.stdout.write(`\nonce more, alone under ${runtime}: ${file}\n`);
      const share = { name: `alone-${count++}`, files: [file], isShown: true };
      const again = await runFiles(run, runtime, share);
      settled.set(file, repaired(ended, again.get(file)));
    }
    last.push({ runtime, report: settled });
  }
  return last;
}

async function runFiles(run: TestRun, runtime: Ran["runtime"], share: Share): Promise<TestReport> {
  if (share.files.length === 0) return new Map();
  const outfile = join(run.scratch, `${share.name}.xml`);
  const command = runtime === "bun"
    ? ["bun", "test", `--timeout=${TEST_MS_MAX}`, "--reporter=junit"]
      .concat(`--reporter-outfile=${outfile}`, share.files.map((file) => `./${file}`))
    : ["deno", "test", "--allow-all", "--no-check", `--config=${join(REPOSITORY, "deno.json")}`]
      .concat(`--junit-path=${outfile}`, share.files);
  return await spawnRunner(run, { command, outfile, isShown: share.isShown });
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
  // A file, and no pipe: what a test leaves running would hold that open.
  const log = openSync(`${outfile}.log`, "w+");
  const child = spawn(command, args, {
    cwd: run.root,
    stdio: ["ignore", log, log],
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
  let shownBytes = 0;
  const show = (): void => {
    shownBytes += showFrom(log, shownBytes);
  };
  const timer = isShown ? setInterval(show, SHOW_MS) : undefined;
  const end = await endOf(child);
  clearInterval(timer);
  show();
  closeSync(log);
  if (!existsSync(outfile)) {
    run.problems.push(`${command} test ended without a report (${end})`);
    return new Map();
  }
  const report = readReport(readFileSync(outfile, "utf8"));
  const hasFailed = [...report.values()].some((file) => file.failures.length > 0);
  // A test that ran past its limit goes on, and what it throws then is thrown outside it: such a file
  // is run once more for its failure. Any other error is none of a test.
  const errors = [...errorsOutside(readFileSync(`${outfile}.log`, "utf8"), report)]
    .filter(([file]) => !report.get(file)?.failures.length);
  for (const [file, count] of errors) {
    run.problems.push(`${file || command}: ${count} errors outside a test (${end})`);
  }
  if (errors.length === 0 && end !== "status 0" && !hasFailed) {
    run.problems.push(`${command} test failed outside a test (${end})`);
  }
  return report;
}

/** Prints what a file has from there on, and tells how much that was. */
function showFrom(file: number, position: number): number {
  const buffer = Buffer.alloc(64 * 1024);
  let count = 0;
  for (;;) {
    const readCount = readSync(file, buffer, 0, buffer.length, position + count);
    if (readCount === 0) return count;
    process.stdout.write(Uint8Array.from(buffer.subarray(0, readCount)));
    count += readCount;
  }
}

async function endOf(child: ChildProcess): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  child.once("error", (error) => resolve(error.message));
  child.once("close", (code, signal) => resolve(signal ?? `status ${code}`));
  return await promise;
}

/** Says which tests failed beside the others and passed alone. */
function nameRepaired(first: readonly Ran[], last: readonly Ran[]): void {
  for (const [index, { report }] of first.entries()) {
    for (const [file, { failures }] of report) {
      const still = last[index]?.report.get(file)?.failures;
      for (const name of failures) {
        if (still?.includes(name)) continue;
        process.stdout.write(`passed only alone: ${file}: ${name}\n`);
      }
    }
  }
}

function summarize(ran: readonly Ran[], problemCount: number): boolean {
  const files = ran.flatMap(({ report }) => [...report]);
  // Said again where it is found.
  for (const [path, { failures }] of files) {
    for (const name of failures) process.stdout.write(`failed: ${path}: ${name}\n`);
  }
  const sum = (key: keyof FileReport): number =>
    files.reduce((total, [, file]) => total + file[key].length, 0);
  const failed = sum("failures") + problemCount;
  const skipped = sum("skips");
  const tail = skipped > 0 ? `, ${skipped} skipped` : "";
  const passed = sum("names") - sum("failures") - skipped;
  process.stdout.write(`${passed} passed, ${failed} failed${tail}\n`);
  return failed === 0;
}

function testCount(file: FileReport | undefined): number {
  return file?.names.length ?? 0;
}
