/**
 * The drawings of the dashboard and the pages of its data in a real Chromium: clicked and typed
 * through, their numbers compared with the database by SQL, and saved as screenshots.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";

import type { Browser, Page } from "playwright-core";

import { formatSize } from "../../shared/units.ts";
import {
  CHROMIUM,
  launchChromium,
  lookAt,
  type LookedAt,
  PHONE,
  takeScreenshot,
} from "../chromium.ts";
import { type RecordDashboard, serveRecord } from "../manager/dashboard/record_dashboard.ts";
import { goTo, textOf } from "../shown.ts";
import { until } from "../until.ts";

let browser: Browser;
let record: RecordDashboard;
let looked: LookedAt;
let page: Page;

function sql(query: string): number {
  return Number(Object.values(record.db.prepare(query).get() ?? {})[0]);
}

async function open(hash: string, ready: string): Promise<void> {
  await goTo(page, hash, ready);
}

/** How many colours a canvas shows, and a sum of all: another sum is another drawing. */
async function drawingOf(selector: string): Promise<{ colours: number; sum: number }> {
  return await page.locator(selector).first().evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set<number>();
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
      const colour = data[at]! * 65_536 + data[at + 1]! * 256 + data[at + 2]!;
      colours.add(colour);
      sum = (sum * 31 + colour) % 1_000_000_007;
    }
    return { colours: colours.size, sum };
  });
}

async function seek(share: number): Promise<void> {
  await page.getByLabel("Time").evaluate((element, value) => {
    (element as HTMLInputElement).value = String(value);
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }, share * 1000);
}

describe.skipIf(CHROMIUM === undefined)("drawings in Chromium", () => {
  beforeAll(async () => {
    browser = await launchChromium();
    record = serveRecord({ tasks: 600, workers: 12, isLive: false });
    looked = await lookAt(browser, record.link());
    page = looked.page;
    await page.locator(".tiles").waitFor();
  });

  afterEach(() => {
    expect(looked.complaints).toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
    await record?.[Symbol.asyncDispose]();
  });

  test("Timeline draws every try, and tells of the bar that a key or the pointer is at", async () => {
    await open("#/timeline", ".timeline-canvas");
    const tries = sql("SELECT count(*) FROM attempt WHERE started_at_ms IS NOT NULL");
    expect(await textOf(page, "#timeline-summary")).toContain(`${tries} tries of tasks and calls`);
    await until(async () => (await drawingOf(".timeline-canvas")).colours > 5, "bars are drawn");
    await takeScreenshot(page, "timeline");

    const canvas = page.locator(".timeline-canvas");
    await canvas.focus();
    await canvas.press("ArrowRight");
    await canvas.press("ArrowRight");
    const title = await textOf(page, ".tooltip b");
    const taskId = Number(/^(?:Task|Call) (\d+)/.exec(title)?.[1]);
    const { host } = record.db.prepare(
      `SELECT host FROM attempt JOIN worker USING (worker_id) WHERE task_id = ${taskId}`,
    ).get() as { host: string };
    expect(await textOf(page, ".tooltip")).toContain(host);
    await canvas.press("Enter");
    await page.waitForURL(`**/#/tasks/${taskId}`);
    expect(await textOf(page, "h1")).toContain(`Task ${taskId}`);
  });

  test("Timeline zooms with wheel, keys and buttons, and its address tells the view", async () => {
    await open("#/timeline", ".timeline-canvas");
    await until(async () => (await drawingOf(".timeline-canvas")).colours > 5, "bars are drawn");
    const all = await drawingOf(".timeline-canvas");
    const box = (await page.locator(".timeline-canvas").boundingBox())!;
    await page.mouse.move(box.x + 500, box.y + 60);
    await page.mouse.wheel(0, -400);
    await until(() => page.url().includes("from="), "the address tells the view");
    expect((await drawingOf(".timeline-canvas")).sum).not.toBe(all.sum);
    const zoomed = page.url();
    await page.locator(".timeline-canvas").press("+");
    await until(() => page.url() !== zoomed, "a key zooms");
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByRole("button", { name: "All", exact: true }).click();
    await until(() => !page.url().includes("from="), "all is seen again");
  });

  test("Data sums by level, finds files and leads to one, which tells who has it", async () => {
    await open("#/data", "tbody .row-link");
    const workflow = sql("SELECT sum(size_bytes) FROM file WHERE level = 'workflow'");
    expect(await textOf(page, ".level-tiles .tile-value")).toBe(formatSize(workflow));
    await page.getByRole("searchbox").fill("reads");
    const found = sql("SELECT count(*) FROM file WHERE source LIKE '%reads%'");
    await until(
      async () => (await textOf(page, ".filters [role=status]")).startsWith(`${found} file`),
      "the search is answered",
    );
    await takeScreenshot(page, "data");
    await page.getByRole("link", { name: "Clear" }).click();
    await page.getByRole("button", { name: "Transfers" }).click();
    await page.getByRole("button", { name: "Transfers" }).click();
    const most = sql(
      "SELECT file_id FROM transfer GROUP BY file_id ORDER BY count(*) DESC, file_id LIMIT 1",
    );
    const first = page.locator("tbody .row-link").first();
    await until(async () => Number(await first.textContent()) === most, "the most moved is first");
    await first.click();
    await page.locator(".file-vine canvas").waitFor();
    const holders = sql(
      `SELECT count(*) FROM replica WHERE file_id = ${most} AND gone_at_ms IS NULL`,
    );
    expect(await page.getByText("still there").count()).toBe(holders);
    const transfers = sql(`SELECT count(*) FROM transfer WHERE file_id = ${most}`);
    expect(await page.locator("h2", { hasText: "Transfers" }).textContent())
      .toBe(`Transfers: ${transfers}`);
    await takeScreenshot(page, "file");
  });

  test("Vine grows from nothing to all workers, by slider, by steps and by itself", async () => {
    await open("#/vine?file=1", ".vine-canvas");
    const moved = sql("SELECT sum(moved_bytes) FROM transfer WHERE file_id = 1");
    expect(await textOf(page, "#vine-summary")).toContain("12 of 12 workers reached");
    expect(await textOf(page, "#vine-summary")).toContain(`${formatSize(moved)} moved`);
    await until(async () => (await drawingOf(".vine-canvas")).colours > 5, "the vine is drawn");
    const grown = await drawingOf(".vine-canvas");
    await seek(0.5);
    await until(
      async () => (await drawingOf(".vine-canvas")).sum !== grown.sum,
      "it is drawn half grown",
    );
    await takeScreenshot(page, "vine_half");
    await seek(0);
    expect(await textOf(page, "#vine-summary")).toContain("0 of 12 workers reached");
    await page.getByRole("button", { name: "Step on" }).click();
    await until(
      async () => !(await textOf(page, "#vine-summary")).includes("+0 ms"),
      "a step goes to the next transfer",
    );
    await page.getByLabel("Speed").selectOption("4");
    await page.getByRole("button", { name: "Replay" }).click();
    await until(
      async () => (await textOf(page, "#vine-summary")).includes("12 of 12 workers reached"),
      "it has grown by itself",
    );
    const canvas = page.locator(".vine-canvas");
    await canvas.focus();
    await canvas.press("ArrowUp");
    await canvas.press("ArrowUp");
    expect(await textOf(page, ".tooltip")).toContain("was reached");
    await canvas.press("Enter");
    await page.waitForURL("**/#/workers/*");
  });

  test("Vine of all files is drawn in light and dark, and without motion in steps", async () => {
    await open("#/vine", ".vine-canvas");
    expect(await textOf(page, "#vine-summary"))
      .toContain(`${formatSize(sql("SELECT sum(moved_bytes) FROM transfer"))} moved`);
    await until(async () => (await drawingOf(".vine-canvas")).colours > 5, "the vine is drawn");
    const light = await drawingOf(".vine-canvas");
    await page.getByRole("button", { name: "Dark colours" }).click();
    await until(
      async () => (await drawingOf(".vine-canvas")).sum !== light.sum,
      "it is drawn in other colours",
    );
    await takeScreenshot(page, "vine_dark");
    await page.getByRole("button", { name: "Light colours" }).click();
    await using calm = await lookAt(browser, `${record.link()}`, { reducedMotion: "reduce" });
    await calm.page.locator(".tiles").waitFor();
    await calm.page.evaluate(() => {
      location.hash = "#/vine";
    });
    await calm.page.locator(".vine-canvas").waitFor();
    expect(await calm.page.getByRole("button", { name: "Replay" }).count()).toBe(0);
    await calm.page.getByRole("button", { name: "Step back" }).click();
    expect(calm.complaints).toEqual([]);
  });

  test("Graph groups a large workflow, counts its tasks and leads to them", async () => {
    await open("#/graph", "a.graph-node");
    const done = sql("SELECT count(*) FROM task_detail WHERE outcome = 'success'");
    expect(await textOf(page, "#graph-summary")).toContain(`${done} done`);
    const categories = sql("SELECT count(DISTINCT category) FROM task_detail");
    expect(await page.locator("a.graph-category").count()).toBe(categories);
    await takeScreenshot(page, "graph");
    const align = page.locator("a.graph-category", { hasText: "align" });
    await align.focus();
    await page.keyboard.press("ArrowRight");
    const next = await page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
    expect(next).toMatch(/^Files/);
    await align.focus();
    await page.keyboard.press("Enter");
    await page.waitForURL("**/#/tasks?category=align");
  });

  test("drawings are as wide as a phone", async () => {
    await using phone = await lookAt(browser, record.link(), {
      viewport: PHONE,
      hasTouch: true,
      colorScheme: "dark",
    });
    await phone.page.locator(".tiles").waitFor();
    for (const [hash, ready] of PHONE_PAGES) {
      await goTo(phone.page, hash, ready);
      const width = await phone.page.evaluate(() => document.documentElement.scrollWidth);
      expect([hash, width]).toEqual([hash, PHONE.width]);
      await takeScreenshot(phone.page, `phone${hash.replaceAll(/\W+/g, "_")}`);
    }
    expect(phone.complaints).toEqual([]);
  });
});

const PHONE_PAGES = [
  ["#/timeline", ".timeline-canvas"],
  ["#/data", "tbody .row-link"],
  ["#/data/1", ".file-vine canvas"],
  ["#/vine", ".vine-canvas"],
  ["#/graph", "a.graph-node"],
] as const;
