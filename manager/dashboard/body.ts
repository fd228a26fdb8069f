/** Reads the JSON of a request within limits of size and time. */

import { Buffer } from "node:buffer";

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
export async function readBody<T>(
  { req }: { readonly req: { readonly raw: Request } },
  read: (value: unknown) => T,
  bodyMsMax: number = BODY_MS_MAX,
): Promise<T> {
  const text = new TextDecoder().decode(await readBytes(req.raw, bodyMsMax));
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

async function readBytes(request: Request, bodyMsMax: number): Promise<Uint8Array> {
  const length = request.headers.get("content-length");
  if (Number(length) > BODY_BYTES_MAX) throw tooLarge();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new BodyError(408, `Cannot wait for the body for more than ${bodyMsMax} ms`));
  }, bodyMsMax);
  try {
    // A body has the length that it says: the runtimes see to that. Others are counted as they come.
    const read = length === null ? countBytes(request) : request.arrayBuffer();
    const bytes = await Promise.race([read, late.promise]);
    return new Uint8Array(bytes);
  } catch (error) {
    if (error instanceof BodyError) throw error;
    // Whoever sent it hung up: that is no failure of the manager's, and nobody hears the answer.
    throw new BodyError(400, "Cannot read the body: it was cut off");
  } finally {
    clearTimeout(timer);
  }
}

async function countBytes({ body }: Request): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of body ?? []) {
    sizeBytes += part.length;
    if (sizeBytes > BODY_BYTES_MAX) throw tooLarge();
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function tooLarge(): BodyError {
  return new BodyError(413, `Cannot take a body above ${BODY_BYTES_MAX} bytes`);
}
