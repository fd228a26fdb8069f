/**
 * The pages of the dashboard in a real Chromium: clicked through, their numbers compared with the
 * database by SQL, and saved as screenshots (`TENDRIL_SCREENSHOTS` names the folder).
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { SQLInputValue } from "node:sqlite";

import { join } from "@std/path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";

import { dashboardPage } from "../../manager/dashboard/page_bundle.ts";
import { packReport } from "../../manager/dashboard/report_contents.ts";
import { reportPage } from "../../manager/dashboard/report_page.ts";
import { type RecordDashboard, serveRecord } from "../manager/dashboard/record_dashboard.ts";
import {
  CHROMIUM,
  launchChromium,
  lookAt,
  type LookedAt,
  PHONE,
  takeScreenshot,
} from "../chromium.ts";
import { tileOf, totalOf } from "../shown.ts";
import { until } from "../until.ts";

const TASKS = 2_000;

let browser: Browser;
let running: RecordDashboard;
let record: RecordDashboard;
/** At the running one, with the right to act; each test goes to its page first. */
let looked: LookedAt;

/** The first value of the first row, as a number. */
function sql(dashboard: RecordDashboard, query: string, ...values: SQLInputValue[]): number {
  const row = dashboard.db.prepare(query).get(...values) ?? {};
  return Number(Object.values(row)[0]);
}

/** What has the focus. */
async function focused(page: Page): Promise<string | null> {
  return await page.evaluate(() => document.activeElement?.textContent ?? null);
}

/** Goes to a page by its fragment; through another, so that nothing is kept of before. */
async function openPage({ page }: LookedAt, hash: string): Promise<void> {
  for (const to of ["#/nowhere", hash]) {
    await page.evaluate((to) => {
      location.hash = to;
    }, to);
    if (to !== hash) await page.getByText("There is no page").waitFor();
  }
  await page.locator("h1").waitFor();
}

describe.skipIf(CHROMIUM === undefined)("dashboard in Chromium", () => {
  beforeAll(async () => {
    browser = await launchChromium();
    running = serveRecord({ tasks: TASKS, workers: 50, until: 0.55, isLive: true });
    record = serveRecord({ tasks: TASKS, workers: 50, isLive: false });
    looked = await lookAt(browser, running.link());
    await looked.page.locator(".tiles").waitFor();
  });

  afterEach(() => {
    expect(looked.complaints.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
    await running?.[Symbol.asyncDispose]();
    await record?.[Symbol.asyncDispose]();
  });

  test("main() takes the token out of the address, and asks for one where there is none", async () => {
    const link = running.link();
    await using early = await lookAt(browser, link);
    await early.page.locator(".tiles").waitFor();
    expect(early.page.url()).toBe(`${running.url}#/`);
    expect(early.complaints).toEqual([]);

    // The link worked once.
    await using late = await lookAt(browser, link);
    await late.page.getByRole("alert").waitFor();
    expect(late.page.url()).toBe(`${running.url}#/`);
    await takeScreenshot(late.page, "login");
    await late.page.getByLabel(/paste the link/).fill(running.link("look"));
    await late.page.getByRole("button", { name: "Open" }).click();
    await late.page.locator(".tiles").waitFor();
  });

  test("Overview tells the numbers of the database", async () => {
    const { page } = looked;
    await openPage(looked, "#/");
    await page.locator(".tiles").waitFor();
    await page.locator("canvas").nth(3).waitFor();
    const ended = "SELECT count(*) FROM task_detail WHERE outcome";
    expect(await tileOf(page, "Done")).toBe(sql(running, `${ended} = 'success'`));
    expect(await tileOf(page, "Failed"))
      .toBe(sql(running, `${ended} NOT IN ('success', 'cancelled')`));
    expect(await tileOf(page, "Running"))
      .toBe(sql(running, "SELECT count(*) FROM task_detail WHERE state = 'running'"));
    expect(await tileOf(page, "Waiting"))
      .toBe(sql(running, "SELECT count(*) FROM task_detail WHERE state = 'pending'"));
    const failures = running.db
      .prepare(`SELECT outcome FROM task_detail WHERE state = 'done'
        AND outcome NOT IN ('success', 'cancelled') GROUP BY outcome`).all();
    expect(await page.locator(".failures li").count()).toBe(failures.length);
    await takeScreenshot(page, "overview");
    await page.locator(".failures a").first().click();
    await page.getByRole("heading", { name: "Tasks" }).waitFor();
    expect(page.url()).toContain("#/tasks?outcome=");
  });

  test("Tasks finds, filters and sorts, and its address tells all of it", async () => {
    const { page } = looked;
    await openPage(looked, "#/tasks");
    await page.locator("tbody .row-link").first().waitFor();
    expect(await totalOf(page)).toBe(TASKS);

    await page.getByRole("searchbox").fill("align node0012");
    const found = "SELECT count(*) FROM task_detail WHERE category = 'align' AND host = 'node0012'";
    await until(async () => await totalOf(page) === sql(running, found), "the search is answered");

    await page.getByLabel("State").selectOption("running");
    const more = sql(running, `${found} AND state = 'running'`);
    await until(async () => await totalOf(page) === more, "the filter is answered");
    await page.getByRole("link", { name: "Clear" }).click();

    await page.getByRole("button", { name: "Ran" }).click();
    await page.getByRole("button", { name: "Ran" }).click();
    const slowest = sql(
      running,
      "SELECT task_id FROM task_detail ORDER BY round(ran_ms, 3) IS NULL, ran_ms DESC LIMIT 1",
    );
    const first = page.locator("tbody .row-link").first();
    await until(async () => Number(await first.textContent()) === slowest, "the slowest is first");
    expect(page.url()).toContain("#/tasks?sort=-ran");
    await takeScreenshot(page, "tasks");

    await using other = await lookAt(browser, running.link());
    await other.page.locator(".tiles").waitFor();
    await openPage(other, "#/tasks?sort=-ran");
    await other.page.locator("tbody .row-link").first().waitFor();
    expect(Number(await other.page.locator("tbody .row-link").first().textContent())).toBe(slowest);
    expect(other.complaints).toEqual([]);
  });

  test("Table shows far rows when it is scrolled, keeps few, and is walked by keys", async () => {
    const { page } = looked;
    await openPage(looked, "#/tasks");
    const links = page.locator("tbody .row-link");
    await links.first().waitFor();
    await links.first().focus();
    await page.keyboard.press("End");
    await until(
      async () => await focused(page) === `${TASKS}`,
      "at the end",
    );
    expect(await page.locator("tbody tr").count()).toBeLessThan(80);
    await page.keyboard.press("ArrowUp");
    await until(async () => await focused(page) === `${TASKS - 1}`, "above");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: `Task ${TASKS - 1}` }).waitFor();
  });

  test("Task tells tries, resources, files and output, and why it waits", async () => {
    running.standIn.output = { stdout: "first line\n", stderr: "a warning\n", isRunning: true };
    const { page } = looked;
    const failed = sql(
      running,
      "SELECT max(task_id) FROM task_detail WHERE outcome = 'resources_exhausted'",
    );
    await openPage(looked, `#/tasks/${failed}`);
    const tries = page.locator(".card", { has: page.getByRole("heading", { name: "Tries" }) });
    await tries.locator("tbody tr").first().waitFor();
    expect(await tries.locator("tbody tr").count())
      .toBe(sql(running, "SELECT count(*) FROM attempt WHERE task_id = ?", failed));
    const mounts = "SELECT count(*) FROM mount WHERE task_id = ?";
    const inputs = page.locator(".card", { has: page.getByRole("heading", { name: "Inputs" }) });
    expect(await inputs.locator("tbody tr").count())
      .toBe(sql(running, `${mounts} AND role <> 'output'`, failed));
    await takeScreenshot(page, "task");

    const busy = sql(running, "SELECT max(task_id) FROM task_detail WHERE state = 'running'");
    await openPage(looked, `#/tasks/${busy}`);
    await page.getByText("first line").waitFor();
    await page.getByText(`Task ${busy} waits for a core`).waitFor();
    running.standIn.output = { stdout: "first line\nsecond\n", stderr: "", isRunning: false };
    await page.getByText("second").waitFor();
  });

  test("Workers tells what is given away, and drains and unblocks after a question", async () => {
    const { page } = looked;
    await openPage(looked, "#/workers");
    await page.locator("tbody .row-link").first().waitFor();
    expect(await totalOf(page))
      .toBe(sql(running, "SELECT count(*) FROM worker WHERE left_at_ms IS NULL"));
    const given = /([\d.]+) of [\d.]+ cores/.exec(
      await page.locator(".page-head [role=status]").textContent() ?? "",
    );
    const tasks = sql(
      running,
      `SELECT sum(allocated_cores) FROM task_detail WHERE state IN ('dispatched', 'running')`,
    );
    const libraries = sql(
      running,
      `SELECT sum(cores) FROM library_instance JOIN library ON library.name = library
       WHERE ended_at_ms IS NULL`,
    );
    expect(Number(given?.[1])).toBe(tasks + libraries);
    await takeScreenshot(page, "workers");

    await page.getByRole("button", { name: "Drain host node0001" }).first().click();
    await takeScreenshot(page, "drain");
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(running.standIn.hosts.size).toBe(0);
    await page.getByRole("button", { name: "Drain host node0001" }).first().click();
    await page.getByRole("dialog").getByRole("button", { name: "Drain" }).click();
    await page.getByText("draining").first().waitFor();
    expect([...running.standIn.hosts.keys()]).toEqual(["node0001"]);
    await page.getByRole("link", { name: "node0001" }).first().click();
    // Of the table, while it is still there, the host has a button for each of its workers.
    await page.waitForURL(/#\/workers\/.+/);
    await page.getByRole("button", { name: /^Give work again/ }).first().click();
    await page.getByRole("dialog").getByRole("button").last().click();
    await until(() => running.standIn.hosts.size === 0, "the host gets work again");
    await takeScreenshot(page, "worker");
  });

  test("HostActions offers nothing to who may only look, nor of a record", async () => {
    await using viewer = await lookAt(browser, running.link("look"));
    await viewer.page.locator(".tiles").waitFor();
    await openPage(viewer, "#/workers");
    await viewer.page.locator("tbody .row-link").first().waitFor();
    expect(await viewer.page.getByRole("button", { name: /Drain/ }).count()).toBe(0);

    await using past = await lookAt(browser, record.link());
    await past.page.locator(".tiles").waitFor();
    await openPage(past, "#/workers");
    await past.page.locator("tbody .row-link").first().waitFor();
    expect(await past.page.getByRole("button", { name: /Drain/ }).count()).toBe(0);
    await past.page.getByText("A record").waitFor();
    await takeScreenshot(past.page, "record_workers");
    expect([...viewer.complaints, ...past.complaints]).toEqual([]);
  });

  test("LiveLink shows what is new, says when the manager is gone, and goes on when it is back", async () => {
    await using gone = serveRecord({ tasks: 200, workers: 5, until: 0.5, isLive: true });
    await using own = await lookAt(browser, gone.link());
    const { page } = own;
    await page.locator(".pill-live").waitFor();
    const id = sql(gone, "SELECT max(task_id) FROM task_detail WHERE state = 'running'");
    const before = await tileOf(page, "Running");
    await openPage(own, `#/tasks/${id}`);
    await page.locator(".mark-running").first().waitFor();
    gone.db.prepare(
      "UPDATE task_detail SET state = 'done', outcome = 'success' WHERE task_id = ?",
    )
      .run(id);
    gone.db.exec(
      "UPDATE sample SET running = running - 1 WHERE at_ms = (SELECT max(at_ms) FROM sample)",
    );
    gone.db.exec("UPDATE run SET recorded_at_ms = recorded_at_ms + 1000");
    await page.locator(".mark-success").first().waitFor();
    await openPage(own, "#/");
    await until(async () => await tileOf(page, "Running") === before - 1, "one less runs");

    expect(own.complaints).toEqual([]);
    await gone.stop();
    await page.getByText("The manager does not answer").waitFor();
    await takeScreenshot(page, "lost");
    gone.start();
    await page.locator(".pill-live").waitFor();
    expect(await page.getByText("The manager does not answer").count()).toBe(0);
  });

  test("Layout goes by keys, lists them, and keeps the chosen colours", async () => {
    await using own = await lookAt(browser, record.link(), { colorScheme: "light" });
    const { page } = own;
    await page.locator(".tiles").waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("Walk through a table").waitFor();
    await takeScreenshot(page, "keys");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.keyboard.press("g");
    await page.keyboard.press("w");
    await page.getByRole("heading", { name: "Workers" }).waitFor();
    const search = page.getByRole("searchbox");
    await search.waitFor();
    await page.keyboard.press("/");
    expect(await search.evaluate((field) => field === document.activeElement)).toBe(true);
    const back = (): Promise<string> => {
      return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    };
    const light = await back();
    await page.getByRole("button", { name: "Dark colours" }).click();
    const dark = await back();
    expect(dark).not.toBe(light);
    await page.reload();
    await page.getByRole("heading", { name: "Workers" }).waitFor();
    expect(await back()).toBe(dark);
    await takeScreenshot(page, "dark");
    expect(own.complaints).toEqual([]);
  });

  test("ask() answers from the page itself when it is a report, which is opened from a file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "report-"));
    try {
      const path = join(folder, "report.html");
      writeFileSync(path, reportPage(await dashboardPage(), packReport(record.db)));
      await using own = await lookAt(browser, `file://${path}`);
      const { page } = own;
      await page.locator("canvas").nth(3).waitFor();
      expect(await tileOf(page, "Done"))
        .toBe(sql(record, "SELECT count(*) FROM task_detail WHERE outcome = 'success'"));
      await page.getByRole("link", { name: "Tasks", exact: true }).click();
      await page.getByRole("searchbox").fill("node0012");
      const found = "SELECT count(*) FROM task_detail WHERE host = 'node0012'";
      await until(async () => await totalOf(page) === sql(record, found), "the report answers");
      await page.locator("tbody .row-link").first().click();
      await page.getByRole("heading", { name: "Times" }).waitFor();
      await takeScreenshot(page, "report_task");
      expect(own.complaints).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("pages are as wide as a phone, in light and dark", async () => {
    await using own = await lookAt(browser, running.link(), {
      viewport: PHONE,
      isMobile: true,
      hasTouch: true,
      colorScheme: "dark",
    });
    const { page } = own;
    await page.locator(".tiles").waitFor();
    for (const hash of ["#/", "#/tasks", "#/tasks/954", "#/workers", "#/workers/w-0002"]) {
      await openPage(own, hash);
      await page.locator(".tile, .row-link, .card").first().waitFor();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect([hash, width]).toEqual([hash, PHONE.width]);
      await takeScreenshot(page, `phone${hash.replaceAll(/\W+/g, "_")}`);
    }
    expect(own.complaints).toEqual([]);
  });
});
