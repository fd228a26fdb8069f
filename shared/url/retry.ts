/** When a request to a url is made again, and after how long. */

/** Delay before a request that follows a failed one; doubles up to `DELAY_MS_MAX`. */
const DELAY_MS_MIN = 250;
const DELAY_MS_MAX = 8_000;

/** A delay is drawn from this part of it on, so that those who failed together do not come back so. */
const JITTER = 0.5;

/** Who asks to be left alone for longer than this is given up. */
export const RETRY_AFTER_MS_MAX = 120_000;

/** Timeouts, overload and faults of a server that may pass. */
const PASSING_STATUSES: readonly number[] = [408, 425, 429, 500, 502, 503, 504];

/** True of an answer that another request may not get. */
export function isPassingStatus(status: number): boolean {
  return PASSING_STATUSES.includes(status);
}

/** How long to wait after so many failures in a row, at least 1; `random` is from 0 to 1. */
export function retryDelayMs(failureCount: number, random: number): number {
  const delayMs = Math.min(DELAY_MS_MIN * 2 ** (failureCount - 1), DELAY_MS_MAX);
  return delayMs * (1 - JITTER * random);
}

/** What Retry-After asks for: seconds or a date, RFC 9110, section 10.2.3. */
export function retryAfterMs(headers: Headers, nowMs: number): number | undefined {
  const text = headers.get("Retry-After")?.trim() ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  const atMs = Date.parse(text);
  // A bare number with a sign or a point is a date to some parsers.
  if (Number.isNaN(atMs) || !/[A-Za-z]/.test(text)) return undefined;
  return Math.max(0, atMs - nowMs);
}

/** Resolves after `delayMs`; rejects with the signal's reason when it aborts. */
export function abortableDelay(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
