/** How long what an HTTP answer brings is, and which part of the whole it is. */

/** Which bytes an answer has, of how many; -1 where it does not say. RFC 9110, section 14.4. */
export interface ContentRange {
  /** -1 when none of the bytes asked for are there. */
  readonly startByte: number;
  readonly totalBytes: number;
}

/** The Content-Range of an answer; undefined when there is none, or none that can be. */
export function contentRangeOf(headers: Headers): ContentRange | undefined {
  const match = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/
    .exec(headers.get("Content-Range") ?? "");
  if (match === null) return undefined;
  const [, start, end, total] = match;
  const totalBytes = total === "*" ? -1 : Number(total);
  if (start === undefined) return { startByte: -1, totalBytes };
  const isBackwards = Number(end) < Number(start);
  return isBackwards ? undefined : { startByte: Number(start), totalBytes };
}

/** The Content-Length of an answer; -1 when it does not say. */
export function contentLengthOf(headers: Headers): number {
  const text = headers.get("Content-Length") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : -1;
}
