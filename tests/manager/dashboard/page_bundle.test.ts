import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";

import { dashboardPage, PAGE_BYTES_MAX } from "../../../manager/dashboard/page_bundle.ts";
import { sourceProgram } from "./source_program.ts";

/** An address that a page would load something from, but for names of namespaces and documents. */
const FOREIGN = /(?:src|href|url\(|@import|fetch\(|import\()[\s"'=(]*https?:\/\//i;

test("dashboardPage() gives a page below its limit that loads nothing from elsewhere", async () => {
  using _program = sourceProgram();
  const page = await dashboardPage();
  const { html, script, style } = page;
  const sizeBytes = [html, script, style].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  expect(sizeBytes).toBeLessThanOrEqual(PAGE_BYTES_MAX);
  expect(script.length).toBeGreaterThan(5_000);
  for (const text of [html, script, style]) expect(FOREIGN.exec(text)).toBeNull();
  // What the policy of the page forbids.
  expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?! type="module" src=)/);
  expect(html).toContain('href="/assets/style.css"');
  expect(html).toContain('src="/assets/page.js"');
  expect(script).not.toContain("jsxDEV");
});

test("dashboardPage() makes the page once", async () => {
  using _program = sourceProgram();
  expect(await dashboardPage()).toBe(await dashboardPage());
});
