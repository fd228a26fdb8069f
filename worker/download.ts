/**
 * The bytes of a file of the manager or a peer, in order, across broken connections: what came is
 * kept, and the next request asks for the rest, provided that it is still the same file. Urls of
 * users are another matter: shared/url/download.ts.
 *
 * @module
 */

import { pinnedFetch } from "../shared/runtime/fetch.ts";
import { PinError } from "../shared/runtime/pin.ts";
import { SilenceError, SilenceWatch } from "../shared/silence_watch.ts";
import { contentLengthOf, contentRangeOf } from "../shared/url/content_range.ts";
import { abortableDelay, isPassingStatus } from "../shared/url/retry.ts";
import { ConnectionWatch, NoConnectionError, takesConnections } from "./connection_watch.ts";

/** What is asked for and what is known of it. */
export interface DownloadSource {
  /** The same resource by several ways, tried in turn. */
  readonly urls: readonly string[];
  /** PEM: the only certificate accepted of these, which are `https:` then. */
  readonly certificate?: string | undefined;
  /** An address that takes no connection for this long is left out. */
  readonly connectMsMax: number;
  /** Told of each url that answers. */
  readonly answered?: (url: string) => void;
  readonly headers: { readonly [name: string]: string };
  /** -1 when not known. */
  readonly sizeBytes: number;
  /** By which the contents are asked for; empty when it is not known before they are. */
  readonly etag: string;
  /** A connection that is silent for this long is given up. */
  readonly silenceMsMax: number;
  /** How far an earlier attempt came, perhaps with another source; goes on as bytes come. */
  readonly progress?: Progress;
}

/** How much of a resource has come. */
export interface Progress {
  /** Bytes handed on. */
  offset: number;
  /** Strong validator of the resource, for resuming; empty when there is none. */
  etag: string;
  /** -1 when not known. */
  totalBytes: number;
  /** Something was heard of the server. */
  hasAnswered: boolean;
}

/** Why the bytes cannot be had from here. */
export class DownloadError extends Error {
  override readonly name = "DownloadError";
  /**
   * `broken` connections may hold another time; what was `refused` or is `wrong` stays so.
   * `unreachable`: no address answered, or none of those that did proved to be the server meant.
   */
  readonly kind: "broken" | "refused" | "wrong" | "unreachable";

  constructor(kind: DownloadError["kind"], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** Requests that may fail in a row of one download before it is given up. */
const FAILURES_MAX = 6;

/** Delay before a request that follows a failed one; doubles up to `DELAY_MS_MAX`. */
const DELAY_MS_MIN = 100;
const DELAY_MS_MAX = 2_000;

/** Bytes of a resource of unknown size. */
const UNKNOWN_BYTES_MAX: number = 2 ** 44;

/** Of a resource of which nothing has come. */
export function newProgress(
  { etag, sizeBytes }: Pick<DownloadSource, "etag" | "sizeBytes">,
): Progress {
  return { offset: 0, etag, totalBytes: sizeBytes, hasAnswered: false };
}

/** Yields the bytes of `source`; throws `DownloadError`, or the reason of `signal`. */
export async function* download(
  source: DownloadSource,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const progress = source.progress ?? newProgress(source);
  progress.hasAnswered = false;
  let urls = source.urls;
  let failureCount = 0;
  while (true) {
    const startOffset = progress.offset;
    const url = urls[failureCount % urls.length] ?? "";
    try {
      yield* readOnce(source, { url, progress, signal });
      return;
    } catch (failure) {
      const error = await explained(failure, source, { url, progress });
      if (signal.aborted || error instanceof DownloadError) throw error;
      if (progress.offset > 0 && progress.etag === "") {
        const message = `${messageOf(error)}, and the server cannot go on from there`;
        throw new DownloadError("broken", message, error);
      }
      if (error instanceof NoConnectionError || error instanceof PinError) {
        urls = urls.filter((other) => other !== url);
        if (urls.length === 0) throw giveUp(progress, messageOf(error), error);
        continue;
      }
      // From elsewhere they come sooner.
      if (error instanceof SilenceError) {
        throw new DownloadError("broken", error.message, error);
      }
      // A connection that brought something starts the count anew: the size bounds how often.
      failureCount = progress.offset > startOffset ? 1 : failureCount + 1;
      if (failureCount >= Math.max(FAILURES_MAX, urls.length)) {
        throw giveUp(progress, `${messageOf(error)}, ${failureCount} times`, error);
      }
      // Another way is tried at once.
      const roundCount = Math.floor(failureCount / urls.length);
      if (failureCount % urls.length > 0) continue;
      await abortableDelay(Math.min(DELAY_MS_MIN * 2 ** (roundCount - 1), DELAY_MS_MAX), signal);
    }
  }
}

/** An address may have fallen silent as nothing reaches it any more. */
async function explained(
  error: unknown,
  { connectMsMax }: DownloadSource,
  { url, progress }: { readonly url: string; readonly progress: Progress },
): Promise<unknown> {
  if (!(error instanceof SilenceError) || progress.hasAnswered) return error;
  if (await takesConnections(url, connectMsMax)) return error;
  return new NoConnectionError(`"${new URL(url).host}" takes no connection`, { cause: error });
}

function giveUp({ hasAnswered }: Progress, message: string, cause: unknown): DownloadError {
  return new DownloadError(hasAnswered ? "broken" : "unreachable", message, cause);
}

/** One request, from where the last one broke off to the end. */
async function* readOnce(
  source: DownloadSource,
  { url, progress, signal }: { url: string; progress: Progress; signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, void> {
  const watch = new SilenceWatch(signal, source.silenceMsMax);
  try {
    const response = await request(source, { url, progress, watch });
    progress.hasAnswered = true;
    source.answered?.(url);
    let skipBytes = await acceptResponse(response, source, progress);
    for await (const chunk of response.body ?? []) {
      watch.hear();
      const bytes: Uint8Array = chunk;
      if (skipBytes >= bytes.length) {
        skipBytes -= bytes.length;
        continue;
      }
      const rest = skipBytes === 0 ? bytes : bytes.subarray(skipBytes);
      skipBytes = 0;
      progress.offset += rest.length;
      checkSize(progress);
      watch.pause();
      yield rest;
      watch.hear();
    }
    if (progress.totalBytes >= 0 && progress.offset < progress.totalBytes) {
      throw new Error(
        `the connection ended after ${progress.offset} of ${progress.totalBytes} bytes`,
      );
    }
  } finally {
    watch.close();
  }
}

/** Resolves once the head of the answer is there. */
async function request(
  source: DownloadSource,
  { url, progress, watch }: { url: string; progress: Progress; watch: SilenceWatch },
): Promise<Response> {
  const { certificate, connectMsMax } = source;
  let failure: NoConnectionError | undefined;
  const connection = new ConnectionWatch(url, connectMsMax, (reason) => {
    failure = reason;
    watch.giveUp(reason);
  });
  const init = { headers: requestHeaders(source, progress), signal: watch.signal };
  try {
    return await pinnedFetch(url, init, certificate);
  } catch (error) {
    throw failure ?? error;
  } finally {
    connection.close();
  }
}

function requestHeaders(source: DownloadSource, progress: Progress): Record<string, string> {
  const headers: Record<string, string> = { ...source.headers, "Accept-Encoding": "identity" };
  if (progress.offset > 0 && progress.etag !== "") {
    headers["Range"] = `bytes=${progress.offset}-`;
    headers["If-Match"] = progress.etag;
  } else if (source.etag !== "") {
    headers["If-Match"] = progress.etag;
  }
  return headers;
}

/** Returns how many bytes of the body are known already; throws when it is not what was asked for. */
async function acceptResponse(
  response: Response,
  source: DownloadSource,
  progress: Progress,
): Promise<number> {
  const { status } = response;
  if (status !== 200 && status !== 206) {
    await response.body?.cancel();
    const message = `the server answered ${status}`;
    if (isPassingStatus(status)) throw new Error(message);
    throw new DownloadError("refused", message);
  }
  const etag = response.headers.get("ETag") ?? "";
  const isSame = progress.etag !== "" && etag === progress.etag;
  if (progress.offset > 0 && !isSame) {
    await response.body?.cancel();
    throw new DownloadError("broken", "the connection broke and the rest cannot be asked for");
  }
  if (progress.offset === 0 && source.etag === "") progress.etag = strongTag(etag);
  const { headers } = response;
  const range = status === 206 ? contentRangeOf(headers) : undefined;
  if (status === 206 && range?.startByte !== progress.offset) {
    await response.body?.cancel();
    throw new DownloadError("wrong", "the server answered with another range than asked for");
  }
  const totalBytes = range === undefined ? contentLengthOf(headers) : range.totalBytes;
  if (totalBytes >= 0) {
    if (progress.totalBytes >= 0 && progress.totalBytes !== totalBytes) {
      await response.body?.cancel();
      const message = `it has ${totalBytes} bytes where ${progress.totalBytes} were expected`;
      throw new DownloadError("wrong", message);
    }
    progress.totalBytes = totalBytes;
  }
  return status === 206 ? 0 : progress.offset;
}

function checkSize({ offset, totalBytes }: Progress): void {
  const bytesMax = totalBytes >= 0 ? totalBytes : UNKNOWN_BYTES_MAX;
  if (offset <= bytesMax) return;
  throw new DownloadError("wrong", `it has more than the ${bytesMax} bytes that were expected`);
}

/** A weak validator does not promise equal bytes (RFC 9110, section 8.8.1). */
function strongTag(etag: string): string {
  return etag.startsWith('"') ? etag : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
