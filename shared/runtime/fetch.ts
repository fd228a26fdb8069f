/** `fetch` from a manager or a worker, known by its certificate if it has one, on Bun or Deno. */

import { directInit } from "./direct.ts";
import { pin, pinFailure } from "./pin.ts";

/**
 * Fetches `url`, past any proxy; with a `certificate` in PEM it must be an `https:` one, and no
 * other certificate is accepted. Redirects are not followed: a server of ours sends none.
 *
 * @throws {PinError} if the server has another certificate, or this one is not for its address.
 */
export async function pinnedFetch(
  url: string,
  init: RequestInit,
  certificate?: string,
): Promise<Response> {
  const pinned = certificate === undefined ? directInit() : pin(url, certificate, "fetch");
  try {
    // Bun's types know texts as proxies only.
    return await fetch(url, { ...init, redirect: "error", ...pinned } as RequestInit);
  } catch (error) {
    throw certificate === undefined ? explained(error) : pinFailure(url, explained(error));
  }
}

/** Deno says "fetch failed", and what failed in the cause; an abort's reason stays as it is. */
function explained(error: unknown): unknown {
  if (!(error instanceof TypeError) || !(error.cause instanceof Error)) return error;
  return new TypeError(error.cause.message, { cause: error });
}
