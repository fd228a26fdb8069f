/**
 * A report as one page: the dashboard's own, with its style, its script and a run's records in its
 * text. It loads nothing, and its policy lets it run nothing but that script, by its hash.
 *
 * @module
 */

import { createHash } from "node:crypto";

import type { Page } from "./page_bundle.ts";
import { REPORT_ELEMENT_ID } from "./report_data.ts";

const STYLE_LINK = /<link\s+rel="stylesheet"\s+href="\/assets\/style\.css"\s*\/?>/;
const SCRIPT_LINK = /<script\s+type="module"\s+src="\/assets\/page\.js"\s*><\/script>/;
const HEAD = "<head>";

/**
 * The page that shows `packed`, as `packReport` made it.
 *
 * @throws {Error} When the page's document does not load what it should: a bug of the build.
 */
export function reportPage(page: Page, packed: string): string {
  const script = scriptText(page.script);
  const style = styleText(page.style);
  const policy = `default-src 'none'; script-src '${hashOf(script)}'; ` +
    `style-src '${hashOf(style)}'; img-src data:; base-uri 'none'; form-action 'none'`;
  const meta = `<meta http-equiv="content-security-policy" content="${policy}">`;
  const data = `<script type="text/plain" id="${REPORT_ELEMENT_ID}">${packed}</script>`;
  const parts: readonly (readonly [string | RegExp, string])[] = [
    [HEAD, `${HEAD}\n    ${meta}`],
    [STYLE_LINK, `<style>${style}</style>`],
    // A module runs when the document has been read, wherever it stands.
    [SCRIPT_LINK, `${data}\n    <script type="module">${script}</script>`],
  ];
  let html = page.html;
  for (const [wanted, text] of parts) {
    const found = typeof wanted === "string" ? html.includes(wanted) : wanted.test(html);
    if (!found) throw new Error(`Cannot make a report of the page: it has no ${wanted}`);
    // As a function: in text, "$&" would have a meaning.
    html = html.replace(wanted, () => text);
  }
  return html;
}

/** What HTML would read otherwise than a script's engine, written so that both read the same. */
function scriptText(script: string): string {
  return script
    .replaceAll("\r\n", "\n")
    .replaceAll("\r", "\n")
    .replaceAll("\0", "\\x00")
    .replace(/<(?=\/script|!--|script)/gi, "\\x3c");
}

/** Ends of lines as HTML reads them; an end tag has no place in a style sheet. */
function styleText(style: string): string {
  if (/<\/style/i.test(style)) throw new Error("Cannot make a report of the page: its style ends");
  return style.replaceAll("\r\n", "\n").replaceAll("\r", "\n");
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
