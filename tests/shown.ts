/** What pages of the dashboard show, as tests read it. */

import type { Page } from "playwright-core";

/** A number as it is shown, thousands apart. */
export function shownNumber(text: string | null): number {
  return Number(/[\d\u202f]+/.exec(text ?? "")?.[0].replaceAll("\u202f", ""));
}

/** What a part of a page says, with its narrow spaces as a person would type them. */
export async function textOf(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).first().textContent() ?? "").replaceAll("\u202f", "");
}

/** The number in a tile of the overview. */
export async function tileOf(page: Page, label: string): Promise<number> {
  return shownNumber(
    await page.locator(".tile", { hasText: label }).locator(".tile-value").textContent(),
  );
}

/** How many rows a page of a table says that there are. */
export async function totalOf(page: Page): Promise<number> {
  return shownNumber(await page.locator(".page-head [role=status]").textContent());
}

/** Goes to a page by its fragment, as a link does; returns when `ready` is there. */
export async function goTo(page: Page, hash: string, ready: string): Promise<void> {
  await page.evaluate((to) => {
    location.hash = to;
  }, hash);
  await page.locator(ready).first().waitFor();
}
