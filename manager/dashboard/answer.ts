/** Answers of the dashboard: what all of them say to browsers, and what is refused. */

import { refusal } from "../../shared/runtime/request_limits.ts";

/**
 * What the page may do: load what comes from here, and nothing else; be in no frame; run no script
 * and take no style that stands in its text.
 */
const CONTENT_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";

/** What every answer says. */
const SAFE_HEADERS: { readonly [name: string]: string } = {
  "content-security-policy": CONTENT_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  // Nor may a page of another origin, be it of another port of this host, embed or open it.
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

const NOT_KEPT: { readonly [name: string]: string } = { "cache-control": "no-store" };

/** Why something is refused, as JSON. */
export function refuseJson(
  status: number,
  error: string,
  headers: { readonly [name: string]: string } = {},
): Response {
  const type = { "content-type": "application/json" };
  return refusal(status, JSON.stringify({ error }), {
    ...SAFE_HEADERS,
    ...NOT_KEPT,
    ...type,
    ...headers,
  });
}

/** What is told of a run: it is not kept by anybody on the way. */
export function answerText(
  body: string | Uint8Array,
  type: string = "application/json",
): Response {
  // A response copies bytes as it goes.
  return new Response(body as string | Uint8Array<ArrayBuffer>, {
    headers: { ...SAFE_HEADERS, ...NOT_KEPT, "content-type": type },
  });
}

/** A document as JSON. */
export function answerJson(document: object): Response {
  return answerText(JSON.stringify(document));
}

/** A part of the page: kept by the browser, which asks each time whether it is still the same. */
export function answerAsset(
  body: Uint8Array | null,
  headers: { readonly [name: string]: string },
): Response {
  return new Response(body as Uint8Array<ArrayBuffer> | null, {
    status: body === null ? 304 : 200,
    headers: { ...SAFE_HEADERS, "cache-control": "no-cache", vary: "accept-encoding", ...headers },
  });
}
