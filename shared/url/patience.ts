/** How many failures of a url in a row are put up with, and what is waited for between them. */

import { UrlError } from "./request.ts";
import { abortableDelay, RETRY_AFTER_MS_MAX, retryDelayMs } from "./retry.ts";

/** Requests that may fail in a row. */
const FAILURES_MAX = 5;

/** Waits before the request that follows so many failures in a row; throws when they are enough. */
export async function waitAfter(
  failure: UrlError,
  failureCount: number,
  signal: AbortSignal,
): Promise<void> {
  const { message, retryAfterMs: askedMs } = failure;
  if (failureCount >= FAILURES_MAX) {
    throw new UrlError("broken", `${message}, ${failureCount} times`, { cause: failure });
  }
  if (askedMs !== undefined && askedMs > RETRY_AFTER_MS_MAX) {
    const text = `${message}, and asks to be left alone for ${Math.ceil(askedMs / 1_000)} s`;
    throw new UrlError("refused", text, { cause: failure });
  }
  await abortableDelay(askedMs ?? retryDelayMs(failureCount, Math.random()), signal);
}
