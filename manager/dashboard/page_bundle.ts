/**
 * The page of the dashboard: one document, one script, one style sheet, and nothing from elsewhere.
 *
 * The binary and tendril.mjs carry it. From source it is bundled when it is first asked for: by this
 * process on Bun; on Deno, which cannot, by the binary, which gives its own.
 *
 * @module
 */

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { promisify } from "node:util";

import { fromFileUrl } from "@std/path";

import { name, shape } from "../../shared/message_check.ts";
import { bundleForBrowser } from "../../shared/runtime/browser_bundle.ts";
import { canBundle } from "../../shared/runtime/bundle.ts";
import { ownChildEnvironment, selfCommand } from "../../shared/runtime/self_command.ts";
import { embeddedPage } from "./embedded_page.ts";

/** What a browser is given. */
export interface Page {
  /** Loads `/assets/style.css` and `/assets/page.js`. */
  readonly html: string;
  readonly script: string;
  readonly style: string;
}

/** Bytes of all three together at most, before they are compressed. */
export const PAGE_BYTES_MAX = 300_000;

/** Longest time that the binary gets to give its page. */
const PAGE_MS_MAX = 30_000;

const execute = promisify(execFile);

const pageShape = shape<Page>({
  html: name(PAGE_BYTES_MAX),
  script: name(PAGE_BYTES_MAX),
  style: name(PAGE_BYTES_MAX),
});

let found: Promise<Page> | undefined;

/**
 * The page, made once.
 *
 * @throws {Error} From source, when its modules cannot be bundled, or on Deno when there is no binary.
 */
export function dashboardPage(): Promise<Page> {
  found ??= (embeddedPage === undefined ? makePage() : Promise.resolve(embeddedPage))
    .catch((error: unknown) => {
      // What was wrong may be mended by the next time.
      found = undefined;
      throw error;
    });
  return found;
}

/** Bundles the page from the sources beside this module; where `canBundle` is true. */
export async function bundlePage(): Promise<Page> {
  const [html, script, style] = ["page.html", "main.tsx", "style.css"].map((file) =>
    fromFileUrl(new URL(`./page/${file}`, import.meta.url))
  ) as [string, string, string];
  return { html: await readFile(html, "utf8"), ...await bundleForBrowser({ script, style }) };
}

/** What the hidden subcommand `internal-page` does: the page goes to standard output as JSON. */
export async function runPage(): Promise<number> {
  const text = JSON.stringify(await dashboardPage());
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(text, (error) => error ? reject(error) : resolve());
  });
  return 0;
}

async function makePage(): Promise<Page> {
  if (canBundle) return await bundlePage();
  try {
    const [program = "", ...args] = selfCommand(["internal-page"]);
    const { stdout } = await execute(program, args, {
      env: ownChildEnvironment(process.env),
      // Characters of JSON take up to 6 bytes.
      maxBuffer: 6 * PAGE_BYTES_MAX,
      timeout: PAGE_MS_MAX,
    });
    const page: unknown = JSON.parse(stdout);
    const failure = pageShape(page);
    if (failure !== undefined) throw new Error(`the program gave another: page${failure}`);
    return page as Page;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot make the page of the dashboard: ${reason}`, { cause: error });
  }
}
