/** What every request must keep to before anything looks at it, on Bun and Deno alike. */

/** Characters of a request's target at most; the longest one that is served has 300. */
export const TARGET_CHARS_MAX = 4096;

/** Fields in the head of a request at most; Deno's own limit is 100, Bun's 200. */
export const HEADERS_MAX = 64;

/** Bytes of their names and values at most; a ticket has 4 KiB. Bun's own limit is 16 KiB. */
export const HEADER_BYTES_MAX: number = 12 * 1024;

/** How long a connection may stand still. */
export interface TimeLimits {
  /**
   * A head that is not there after this long, counted from the connection, ends it; so does, on
   * Bun, a connection that was answered and asks nothing more. Whole seconds, up to 3 more on Bun.
   */
  readonly headS: number;
  /** A transfer in which nothing moves is cut after this long, whoever of both stands still. */
  readonly silenceS: number;
}

/** The limits of every server. */
export const TIME_LIMITS: TimeLimits = { headS: 20, silenceS: 120 };

/** The refusal of a request whose head is beyond the limits. */
export function refuseHead(request: Request): Response | undefined {
  if (request.url.length > TARGET_CHARS_MAX) {
    return refusal(414, `Cannot take a target above ${TARGET_CHARS_MAX} characters`);
  }
  let count = 0;
  let sizeBytes = 0;
  for (const [name, value] of request.headers) {
    count += 1;
    sizeBytes += name.length + value.length;
  }
  if (count > HEADERS_MAX) return refusal(431, `Cannot take more than ${HEADERS_MAX} headers`);
  if (sizeBytes > HEADER_BYTES_MAX) {
    return refusal(431, `Cannot take headers above ${HEADER_BYTES_MAX} bytes`);
  }
  return undefined;
}

/** A refusal after which the connection closes, so that what follows it need not be read. */
export function refusal(
  status: number,
  message: string,
  headers: { readonly [name: string]: string } = {},
): Response {
  return new Response(message, {
    status,
    headers: { "content-type": "text/plain; charset=UTF-8", connection: "close", ...headers },
  });
}
