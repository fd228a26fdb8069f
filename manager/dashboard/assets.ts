/** The parts of the page as a server sends them: compressed once, and not at all when unchanged. */

import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";

import type { Context, Hono } from "hono";

import { plainText } from "../../shared/plain_text.ts";
import { answerAsset, refuseJson } from "./answer.ts";
import type { Page } from "./page_bundle.ts";

/** Of what is told of a page that cannot be made. */
const FAULT_CHARS_MAX = 500;

/** `{route: [part of the page, its type]}` */
const PARTS: { readonly [route: string]: readonly [keyof Page, string] } = {
  "/": ["html", "text/html; charset=utf-8"],
  "/assets/page.js": ["script", "text/javascript; charset=utf-8"],
  "/assets/style.css": ["style", "text/css; charset=utf-8"],
};

interface Asset {
  readonly plain: Uint8Array;
  readonly packed: Uint8Array;
  /** Of the contents, without quotes. */
  readonly tag: string;
  readonly type: string;
}

const pack = promisify(gzip);

/** Serves the page to anybody: it holds nothing of a run. */
export function addAssets(app: Hono, page: () => Promise<Page>): void {
  const assets = new Map<string, Promise<Asset>>();
  for (const [route, [part, type]] of Object.entries(PARTS)) {
    app.get(route, async (context) => {
      const asset = assets.get(route) ?? makeAsset(page, part, type);
      assets.set(route, asset);
      try {
        return serveAsset(context, await asset);
      } catch (error) {
        assets.delete(route);
        const found = error instanceof Error ? error.message : String(error);
        return refuseJson(503, plainText(found, FAULT_CHARS_MAX));
      }
    });
  }
}

async function makeAsset(
  page: () => Promise<Page>,
  part: keyof Page,
  type: string,
): Promise<Asset> {
  const plain = new TextEncoder().encode((await page())[part]);
  const packed = new Uint8Array(await pack(plain, { level: constants.Z_BEST_COMPRESSION }));
  const tag = createHash("sha256").update(plain).digest("base64url");
  return { plain, packed, tag, type };
}

function serveAsset(context: Context, { plain, packed, tag, type }: Asset): Response {
  const isPacked = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/
    .test(context.req.header("accept-encoding") ?? "");
  // Two representations have two strong validators: RFC 9110, 8.8.3.3.
  const etag = isPacked ? `"${tag}-gzip"` : `"${tag}"`;
  const known = context.req.header("if-none-match")?.split(",").map((known) => known.trim());
  if (known?.some((one) => one.replace(/^W\//, "") === etag)) return answerAsset(null, { etag });
  return answerAsset(isPacked ? packed : plain, {
    etag,
    "content-type": type,
    ...(isPacked ? { "content-encoding": "gzip" } : {}),
  });
}
