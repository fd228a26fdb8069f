/**
 * A real Chromium for tests of the dashboard, driven by playwright-core: Debian's, or the one that
 * `CHROMIUM` names.
 */

import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Where distributions put it. */
const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Path of Chromium; undefined when there is none. */
export const CHROMIUM: string | undefined = [process.env["CHROMIUM"] ?? "", ...PATHS]
  .find((path) => path !== "" && existsSync(path));

if (CHROMIUM === undefined) {
  process.stderr.write("note: there is no chromium: tests of the pages in a browser are skipped\n");
}

/** A laptop, and a phone. */
export const LAPTOP = { width: 1280, height: 860 } as const;
export const PHONE = { width: 390, height: 844 } as const;

/** Longest wait for what a page is to show. */
const WAIT_MS_MAX = 40_000;

/** A page that is looked at, with all that it complained of. */
export interface LookedAt extends AsyncDisposable {
  readonly page: Page;
  /** Errors of the console, of scripts, and requests that went elsewhere or failed. */
  readonly complaints: string[];
}

/** Starts Chromium; as root it has no sandbox. */
export async function launchChromium(): Promise<Browser> {
  return await chromium.launch({
    executablePath: CHROMIUM ?? "chromium",
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
}

/** Opens a window of its own at `url`; what goes to another host is noted. */
export async function lookAt(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<LookedAt> {
  const context = await browser.newContext({ viewport: LAPTOP, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS_MAX);
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== "data:" && protocol !== "blob:" && origin !== new URL(url).origin) {
      complaints.push(`It asked ${request.url()}`);
    }
  });
  await page.goto(url);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}

let folder: string | undefined;

/** Saves what is seen as `NAME.png` in the folder `TENDRIL_SCREENSHOTS`, else in a temporary one. */
export async function takeScreenshot(page: Page, name: string): Promise<string> {
  folder ??= process.env["TENDRIL_SCREENSHOTS"] ?? mkdtempSync(join(tmpdir(), "screenshots-"));
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  return path;
}
