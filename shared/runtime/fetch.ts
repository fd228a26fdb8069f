/** `fetch` from a server of ours: directly, and known by its certificate; on Bun or Deno. */

import { directInit } from "./direct.ts";
import { pin, pinFailure } from "./pin.ts";

/**
 * Fetches `url` of a server of ours, past any proxy; with a `certificate` in PEM it must be an `https:` one, and no other certificate
 * is accepted. Redirects are then not followed: a server of ours sends none.
 *
 * @throws {PinError} if the server has another certificate, or this one is not for its address.
 */
export async function pinnedFetch(
  url: string,
  init: RequestInit,
  certificate?: string,
): Promise<Response> {
  const pinned: RequestInit = certificate === undefined
    ? { ...init, ...directInit() }
    : { ...init, redirect: "error", ...pin(url, certificate, "fetch") };
  try {
    return await fetch(url, pinned);
  } catch (error) {
    throw certificate === undefined ? explained(error) : pinFailure(url, explained(error));
  }
}

/** Deno says "fetch failed", and what failed in the cause; an abort's reason stays as it is. */
function explained(error: unknown): unknown {
  if (!(error instanceof TypeError) || !(error.cause instanceof Error)) return error;
  return new TypeError(error.cause.message, { cause: error });
}
