/** Reads the JSON of a request within limits of size and time. */

import type { Context } from "hono";

/** Bytes of a body at most; a question with all that it may hold has less. */
export const BODY_BYTES_MAX: number = 64 * 1024;

/** Time that a body may take, however it drips. */
const BODY_MS_MAX = 10_000;

/** What is wrong with a body, as the status of an answer and a sentence. */
export class BodyError extends Error {
  override readonly name = "BodyError";
  readonly status: 400 | 408 | 413;

  constructor(status: BodyError["status"], message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Reads a body of JSON; `read` checks it, and throws a TypeError when it is of another shape.
 *
 * @throws {BodyError} When it is too large, too slow, no JSON or of another shape.
 */
export async function readBody<T>(context: Context, read: (value: unknown) => T): Promise<T> {
  const text = new TextDecoder().decode(await readBytes(context.req.raw));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not repeated to whoever sent it.
    throw new BodyError(400, "Cannot read the body as JSON");
  }
  try {
    return read(value);
  } catch (error) {
    if (error instanceof TypeError) throw new BodyError(400, error.message);
    throw error;
  }
}

async function readBytes({ headers, body }: Request): Promise<Uint8Array> {
  const tooLarge = new BodyError(413, `Cannot take a body above ${BODY_BYTES_MAX} bytes`);
  if (Number(headers.get("content-length")) > BODY_BYTES_MAX) throw tooLarge;
  const reader = body?.getReader();
  if (reader === undefined) return new Uint8Array();
  const bytes = new Uint8Array(BODY_BYTES_MAX);
  let sizeBytes = 0;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    reader.cancel().catch(() => {
      // It broke off by itself.
    });
  }, BODY_MS_MAX);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (sizeBytes + value.length > BODY_BYTES_MAX) throw tooLarge;
      bytes.set(value, sizeBytes);
      sizeBytes += value.length;
    }
  } finally {
    clearTimeout(timer);
  }
  if (isLate) throw new BodyError(408, `Cannot wait for the body for more than ${BODY_MS_MAX} ms`);
  return bytes.subarray(0, sizeBytes);
}
