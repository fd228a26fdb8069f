/**
 * The dashboard of real runs in a real Chromium, while they go on and after: what pages show is what
 * `/api/ask` answers, what the database holds, and what the commands say.
 */

import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "@std/path";
import type { Browser, Page } from "playwright-core";

import { formatSize } from "../../shared/units.ts";
import { ROOT } from "../binary/built.ts";
import { CHROMIUM, launchChromium, lookAt, takeScreenshot } from "../chromium.ts";
import { goTo, shownNumber, textOf, tileOf, totalOf } from "../shown.ts";
import { until } from "../until.ts";
import { LiveRun } from "./live_run.ts";
import { Scratch } from "./scratch.ts";

const READERS = 6;
const CALLS = 5;
const POPULAR_BYTES = 300_000;

/** Readers, what joins them, one that fails, one that is tried again, two at gates, and calls. */
const TASKS: number = READERS + 1 + 1 + 1 + 2 + 1 + CALLS;

/** Two of them are tried twice, and one is behind a gate. */
const TRIES_AT_GATES: number = TASKS + 2 - 1;

const STARTED = "SELECT count(*) FROM attempt WHERE started_at_ms IS NOT NULL";

const WORKFLOW = `
import { Manager } from "tendril";
const at = import.meta.dirname;
await using manager = await Manager.start();
const popular = manager.file(at + "/popular");
const parts = Array.from({ length: ${READERS} }, () => manager.temp());
const cores = 1, memory = "100MB", disk = "50MB";
parts.forEach((part, index) => manager.submit({
  command: "wc -c < popular > part",
  inputs: { popular }, outputs: { part }, category: "read", tag: "reader " + index,
  cores, memory, disk,
}));
manager.submit({
  command: "cat part-* | wc -l",
  inputs: Object.fromEntries(parts.map((part, index) => ["part-" + index, part])),
  category: "join", cores, memory, disk,
});
manager.submit({
  command: "echo it reads; echo cannot align >&2; exit 3",
  category: "check", retries: 1, cores, memory, disk,
});
manager.submit({
  command: "[ -e " + at + "/tried ] || { touch " + at + "/tried; exit 7; }",
  category: "check", retries: 1, cores, memory, disk,
});
const opened = manager.temp();
const gate = (name) => "while [ ! -e " + at + "/" + name + " ]; do sleep 0.02; done";
manager.submit({ command: gate("first"), category: "gate", cores, memory, disk });
manager.submit({
  command: "echo it works; echo mind the gate >&2; " + gate("second") + "; echo open > opened",
  outputs: { opened }, category: "gate", tag: "the gate", cores, memory, disk,
});
manager.submit({
  command: "cat opened", inputs: { opened }, category: "join", tag: "behind", cores, memory, disk,
});
const library = manager.library({
  name: "sums", module: "./sums.ts", from: import.meta.url, cores, memory, disk,
});
for (let index = 0; index < ${CALLS}; index++) library.call("twice", index);
for await (const _ of manager.completed()) { /* All have to end. */ }
await manager.submit({ command: gate("last"), category: "gate", cores, memory, disk });
`;

const SUMS = "export function twice(value: number): number { return value * 2; }\n";

/** Walks through the pages until they say what the records do. */
const LOOKS_MAX = 4;

let scratch: Scratch;
let browser: Browser;

/** All that the pages say in numbers and that does not change when a run has ended. */
interface PageNumbers {
  readonly done: number;
  readonly failed: number;
  readonly bytes: readonly string[];
  readonly tasks: number;
  readonly failedTasks: number;
  readonly timeline: number;
  /** `[done, failed]` by worker. */
  readonly workers: readonly string[];
  readonly files: number;
  readonly moved: string;
  readonly graph: string;
}

function sql(db: DatabaseSync, query: string): number {
  return Number(Object.values(db.prepare(query).get() ?? {})[0]);
}

/** The numbers of the pages, once they have caught up with what was recorded last. */
async function settledNumbersOf(
  page: Page,
  { name, wanted }: { readonly name: string; readonly wanted: () => PageNumbers },
): Promise<PageNumbers> {
  let shown = await numbersOf(page, name);
  for (let look = 1; look < LOOKS_MAX && !Bun.deepEquals(shown, wanted()); look++) {
    shown = await numbersOf(page, name);
  }
  return shown;
}

/** Walks through all pages. */
async function numbersOf(page: Page, name: string): Promise<PageNumbers> {
  await goTo(page, "#/", ".tiles");
  await page.locator("canvas").nth(3).waitFor();
  const routes = page.locator(".card", {
    has: page.getByRole("heading", { name: "Bytes by route" }),
  });
  const overview = {
    done: await tileOf(page, "Done"),
    failed: await tileOf(page, "Failed"),
    bytes: await routes.locator("tr .number").allTextContents(),
  };
  await takeScreenshot(page, `${name}_overview`);
  await goTo(page, "#/tasks", "tbody .row-link");
  const tasks = await totalOf(page);
  await takeScreenshot(page, `${name}_tasks`);
  await goTo(page, "#/tasks?outcome=failed", ".page-head :text('match')");
  const failedTasks = await totalOf(page);
  await goTo(page, "#/timeline", ".timeline-canvas");
  const timeline = shownNumber(await textOf(page, "#timeline-summary"));
  await takeScreenshot(page, `${name}_timeline`);
  await goTo(page, "#/workers", "tbody .row-link");
  const workers = await page.locator("tbody tr:has(.row-link)").evaluateAll((rows) =>
    rows.map((row) => [6, 7].map((at) => row.children[at]?.textContent).join())
  );
  await takeScreenshot(page, `${name}_workers`);
  await goTo(page, "#/data", "tbody .row-link");
  const files = shownNumber(await textOf(page, ".filters [role=status]"));
  await takeScreenshot(page, `${name}_data`);
  await goTo(page, "#/vine", ".vine-canvas");
  const moved = /\S+ \S+(?= moved)/.exec(await textOf(page, "#vine-summary"))?.[0] ?? "";
  await takeScreenshot(page, `${name}_vine`);
  await goTo(page, "#/graph", "a.graph-node");
  const graph = /^\d+ tasks, \d+ files/.exec(await textOf(page, "#graph-summary"))?.[0] ?? "";
  await takeScreenshot(page, `${name}_graph`);
  return {
    ...overview,
    tasks,
    failedTasks,
    timeline,
    workers: workers.sort(),
    files,
    moved,
    graph,
  };
}

/** The same as `numbersOf`, as the database has it. */
function numbersIn(db: DatabaseSync): PageNumbers {
  const ended = "SELECT count(*) FROM task_detail WHERE outcome";
  const failed = `${ended} NOT IN ('success', 'cancelled')`;
  const moved = (where: string): number => {
    return sql(db, `SELECT coalesce(sum(moved_bytes), 0) FROM transfer WHERE ${where}`);
  };
  const workers = db.prepare(
    `SELECT worker_id, (SELECT count(*) FROM attempt JOIN task_detail USING (task_id)
        WHERE attempt.worker_id = worker.worker_id AND attempt.outcome = 'success') AS done,
      (SELECT count(*) FROM attempt WHERE attempt.worker_id = worker.worker_id
        AND outcome NOT IN ('success', 'cancelled')) AS failed
     FROM worker GROUP BY worker_id`,
  ).all();
  const tasks = sql(db, "SELECT count(*) FROM task_detail");
  const files = sql(db, "SELECT count(*) FROM file");
  return {
    done: sql(db, `${ended} = 'success'`),
    failed: sql(db, failed),
    bytes: [
      "source = 'manager'",
      "source = 'worker' AND target = 'worker'",
      "target = 'manager'",
      "source = 'url'",
      "target = 'url'",
    ].map((where) => formatSize(moved(where))),
    tasks,
    failedTasks: sql(db, failed),
    timeline: sql(db, STARTED),
    workers: workers.map(({ done, failed }) => `${done},${failed}`).sort(),
    files,
    moved: formatSize(moved("true")),
    graph: `${tasks} tasks, ${files} files`,
  };
}

/** The same, as a program is told it. */
async function numbersTold(run: LiveRun): Promise<PageNumbers> {
  const page = { offset: 0, limit: 1, isDescending: false } as const;
  const { now, bytes } = await run.ask({ kind: "overview", points: 2 });
  const { total: tasks } = await run.ask({ kind: "tasks", sort: "id", ...page });
  const failed = await run.ask({ kind: "tasks", sort: "id", outcomes: ["failed"], ...page });
  const { bars } = await run.ask({ kind: "timeline", barsMax: 1_000 });
  const workers = await run.ask({ kind: "workers" });
  const { total: files } = await run.ask({ kind: "files", sort: "id", ...page });
  const vine = await run.ask({ kind: "vine", transfersMax: 1_000 });
  const graph = await run.ask({ kind: "graph", grouping: "tasks" });
  const nodes = (kind: string): number => graph.nodes.filter((node) => node.kind === kind).length;
  return {
    done: now.succeeded,
    failed: now.failed,
    bytes: [
      bytes.managerToWorker,
      bytes.workerToWorker,
      bytes.workerToManager,
      bytes.urlToWorker,
      bytes.workerToUrl,
    ].map(formatSize),
    tasks,
    failedTasks: failed.total,
    timeline: bars.count.filter((_, at) => ["task", "call"].includes(bars.kind[at]!))
      .reduce((sum, count) => sum + count, 0),
    workers: workers.rows.map(({ done, failed }) => `${done},${failed}`).sort(),
    files,
    moved: formatSize(vine.edges.reduce((sum, edge) => sum + edge.bytes, 0)),
    graph: `${nodes("task")} tasks, ${nodes("file")} files`,
  };
}

/** What `tendril report` serves of a run that has ended, and what it writes into one page. */
async function compareReports(run: LiveRun, directory: string, name: string): Promise<void> {
  using db = run.openDatabase(directory);
  const expected = numbersIn(db);
  const served = run.spawn("report", directory);
  const [link] = await once(served.stdout!, "data");
  {
    await using record = await lookAt(browser, String(link).trim());
    await record.page.getByText("A record").waitFor();
    const wanted = () => expected;
    expect(await settledNumbersOf(record.page, { name, wanted })).toEqual(expected);
    expect(record.complaints).toEqual([]);
  }
  served.kill("SIGINT");
  const file = scratch.path("report.html");
  run.tell("report", directory, "-o", file);
  await using sent = await lookAt(browser, `file://${file}`);
  await sent.page.locator(".tiles").waitFor();
  const wanted = () => expected;
  expect(await settledNumbersOf(sent.page, { name: `${name}_sent`, wanted })).toEqual(expected);
  expect(sent.complaints).toEqual([]);
}

/** `GATE`s are files that tasks wait for. */
function open(gate: string): void {
  writeFileSync(scratch.path(gate), "");
}

describe.skipIf(CHROMIUM === undefined)("dashboard of a real run", () => {
  beforeAll(async () => {
    browser = await launchChromium();
  });

  beforeEach(async () => {
    scratch = await Scratch.open();
  });

  afterEach(() => scratch[Symbol.asyncDispose]());

  afterAll(() => browser?.close());

  test(
    "pages follow a run, act on its hosts, and show after it what the database holds",
    async () => {
      writeFileSync(scratch.path("workflow.ts"), WORKFLOW);
      writeFileSync(scratch.path("sums.ts"), SUMS);
      writeFileSync(scratch.path("popular"), randomBytes(POPULAR_BYTES));
      await using run = new LiveRun(scratch, { name: "looked-at", args: ["workflow.ts"] });
      await using looked = await lookAt(browser, await run.link());
      const { page } = looked;
      await page.locator(".tiles").waitFor();
      // It goes when the page is loaded anew.
      await page.evaluate(() => document.body.dataset["loaded"] = "once");
      await until(async () => await tileOf(page, "Waiting") === TASKS, "all of them wait");
      for (const number of [1, 2]) startWorker(run, number);
      // Two wait at gates, one behind them.
      await until(async () => await tileOf(page, "Running") === 2, "those at gates run");
      await until(async () => await tileOf(page, "Done") === TASKS - 4, "all others have ended");
      expect(await tileOf(page, "Failed")).toBe(1);
      expect(await tileOf(page, "Workers")).toBe(2);
      await takeScreenshot(page, "live_overview");

      await goTo(page, "#/timeline", ".timeline-canvas");
      await untilTries(page, TRIES_AT_GATES);
      using db = run.openDatabase();
      await until(() => sql(db, STARTED) === TRIES_AT_GATES, "it is written down");
      await takeScreenshot(page, "live_timeline");

      await goTo(page, "#/tasks?q=gate&state=running", "tbody .row-link");
      expect(await totalOf(page)).toBe(2);
      await page.getByRole("searchbox").fill("the gate");
      await until(async () => await totalOf(page) === 1, "the search is answered");
      await page.locator("tbody .row-link").first().click();
      await page.locator("pre.output", { hasText: "it works" }).waitFor();
      await page.locator("pre.output", { hasText: "mind the gate" }).waitFor();
      await takeScreenshot(page, "live_task");
      const behind = sql(db, "SELECT task_id FROM task_detail WHERE tag = 'behind'");
      await goTo(page, `#/tasks/${behind}`, ".explain pre");
      expect(await textOf(page, ".explain pre")).toBe(
        run.tell("explain", String(behind)).trimEnd(),
      );

      await goTo(page, "#/workers", "tbody .row-link");
      await act(page, "Drain");
      await page.locator(".mark", { hasText: "draining" }).first().waitFor();
      expect(statesOf(run)).toContain("draining");
      await takeScreenshot(page, "live_workers");
      await act(page, "Give work again");
      await until(() => !statesOf(run).includes("draining"), "the host gets work again");
      // One that had nothing to do has gone.
      startWorker(run, 3);
      await act(page, "Block");
      await page.locator(".mark", { hasText: "blocked" }).first().waitFor();
      expect(statesOf(run)).toContain("blocked");
      await act(page, "Give work again");
      await until(() => !statesOf(run).includes("blocked"), "the host gets work again");

      await goTo(page, "#/timeline", ".timeline-canvas");
      open("first");
      open("second");
      // What was behind the gate, and what is submitted when all has ended.
      await untilTries(page, TRIES_AT_GATES + 2);
      await goTo(page, "#/", ".tiles");
      await until(async () => await tileOf(page, "Running") === 1, "the last one runs");
      await until(async () => await tileOf(page, "Done") === TASKS - 1, "all others have ended");
      expect(await page.evaluate(() => document.body.dataset["loaded"])).toBe("once");
      expect(looked.complaints).toEqual([]);

      const shown = await settledNumbersOf(page, { name: "live", wanted: () => numbersIn(db) });
      expect(shown).toEqual(numbersIn(db));
      expect(shown).toEqual(await numbersTold(run));
      open("last");
      await run.ended();
      await compareReports(run, "runs/latest", "ended");
    },
    120_000,
  );

  test("pages follow the demo, and show after it what the database holds", async () => {
    const script = join(ROOT, "scripts/examples/mnist.ts");
    const args = [
      "--workers",
      "2",
      script,
      "--models",
      "2",
      "--epochs",
      "2",
      "--directory",
      scratch.path("demo"),
    ];
    await using run = new LiveRun(scratch, { args });
    {
      await using looked = await lookAt(browser, await run.link());
      const { page } = looked;
      await page.locator(".tiles").waitFor();
      await until(async () => await tileOf(page, "Running") > 0, "something runs");
      await takeScreenshot(page, "demo_live");
    }
    await run.ended();
    await compareReports(run, "demo/latest", "demo");
  }, 120_000);
});

function startWorker(run: LiveRun, number: number): void {
  const workspace = scratch.path(`workspace-${number}`);
  run.spawn("worker", "--name", run.name, "--cores", "3", "--workspace", workspace);
}

async function untilTries(page: Page, tries: number): Promise<void> {
  await until(
    async () => shownNumber(await textOf(page, "#timeline-summary")) === tries,
    `the timeline shows ${tries} tries`,
  );
}

/** By the button of the first host, and the question that it asks. */
async function act(page: Page, words: string): Promise<void> {
  await page.getByRole("button", { name: `${words} host` }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: words }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

/** How its workers stand. */
function statesOf(run: LiveRun): string[] {
  const { workers } = JSON.parse(run.tell("workers", "--json", "--name", run.name));
  return workers.map(({ state }: { readonly state: string }) => state);
}
