/**
 * The contents of a url, whole and of one version, across broken connections and busy servers.
 *
 * What broke off goes on where it broke (`Range` with `If-Range`) as long as the server proves by a
 * strong validator that its document is still the same one; else it starts anew, and nothing of
 * what came before is used. RFC 9110, sections 13.1.5 and 14.
 *
 * @module
 */

import { shownUrl } from "./address.ts";
import { contentLengthOf, type ContentRange, contentRangeOf } from "./content_range.ts";
import { isFtpUrl, readFtp } from "./ftp.ts";
import { waitAfter } from "./patience.ts";
import {
  discardBody,
  plainReason,
  refusal,
  requestUrl,
  type UrlAnswer,
  UrlError,
} from "./request.ts";
import { retryAfterMs } from "./retry.ts";
import { SilenceWatch } from "../silence_watch.ts";
import { DigestCheck, statedDigestOf } from "./stated_digest.ts";
import {
  agrees,
  isSameBytes,
  isSameRepresentation,
  rangeValidatorOf,
  shownValidator,
  statedValidatorOf,
} from "./validator.ts";

/** What is wanted, and what is known of it. */
export interface UrlContents {
  readonly url: string;
  /** By which it was named (`statedValidatorOf`): other contents are refused. Empty when it was not. */
  readonly validator: string;
  /** -1 when not known. */
  readonly sizeBytes: number;
  /** A server that is silent for this long is given up. */
  readonly silenceMsMax: number;
  /** How far an earlier attempt came; goes on as bytes come. */
  readonly progress?: UrlProgress;
}

/** How much of the contents has come. */
export interface UrlProgress {
  /** Bytes handed on. */
  offset: number;
  /** By which the rest can be asked for: an ETag or a date; empty when it cannot. */
  etag: string;
  /** -1 when not known. */
  totalBytes: number;
}

/** Bytes that count as success, after which failures are counted anew. */
const PROGRESS_BYTES_MIN: number = 64 * 1024;

/** How often one download starts anew. */
const RESTARTS_MAX = 3;

/** Bytes of contents of unknown size. */
const UNKNOWN_BYTES_MAX: number = 2 ** 44;

/** What came cannot be gone on with. */
class RestartError extends Error {
  override readonly name = "RestartError";
}

/** The counts of one download, over all its requests. */
interface Patience {
  failureCount: number;
  restartCount: number;
}

/** One passage from the first byte on, or from where an earlier attempt ended. */
interface Passage {
  readonly progress: UrlProgress;
  /** Of a digest that the server states of contents that all come in this passage. */
  check: DigestCheck | undefined;
}

/**
 * Has `take` read the contents. It is called again, from the first byte, whenever what it was given
 * cannot be gone on with; it must pass on what `chunks` throws, and undo what it did.
 *
 * @throws {UrlError} When they cannot be had; or what `take` throws, or the signal was aborted with.
 */
export async function downloadUrl<T>(
  source: UrlContents,
  signal: AbortSignal,
  take: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const patience: Patience = { failureCount: 0, restartCount: 0 };
  const none = { offset: 0, etag: "", totalBytes: source.sizeBytes };
  const progress = source.progress ?? { ...none };
  while (true) {
    try {
      return await take(readPassage({ ...source, progress }, patience, signal));
    } catch (error) {
      if (!(error instanceof RestartError)) throw error;
      Object.assign(progress, none);
      patience.restartCount += 1;
      if (patience.restartCount <= RESTARTS_MAX) continue;
      const message = `${error.message}, ${patience.restartCount} times`;
      throw new UrlError("broken", message, { cause: error });
    }
  }
}

async function* readPassage(
  source: UrlContents & { readonly progress: UrlProgress },
  patience: Patience,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const { progress, silenceMsMax } = source;
  const passage: Passage = { progress, check: undefined };
  while (true) {
    const watch = new SilenceWatch(signal, silenceMsMax);
    const startOffset = progress.offset;
    let who = `"${shownUrl(source.url)}"`;
    try {
      if (isFtpUrl(source.url)) {
        yield* readFtp(source.url, { progress, watch });
        return;
      }
      const headers = rangeHeaders(progress);
      const request = { method: "GET", headers, signal: watch.signal } as const;
      const answer = await requestUrl(source.url, request);
      who = answer.who;
      watch.hear();
      const skipBytes = await acceptAnswer(answer, source, passage);
      if (skipBytes !== undefined) yield* readBody(answer.response, { passage, skipBytes, watch });
      const fault = passage.check?.fault();
      if (fault !== undefined) throw new RestartError(`${who} is damaged: ${fault}`);
      return;
    } catch (error) {
      if (signal.aborted || error instanceof RestartError) throw error;
      const failure = error instanceof UrlError ? error : brokenOff(error, who, progress);
      if (failure.kind !== "broken") throw failure;
      if (progress.offset - startOffset >= PROGRESS_BYTES_MIN) patience.failureCount = 0;
      patience.failureCount += 1;
      await waitAfter(failure, patience.failureCount, signal);
      const canGoOn = progress.offset === 0 || progress.etag !== "";
      if (!canGoOn) throw new RestartError(failure.message);
    } finally {
      watch.close();
    }
  }
}

function brokenOff(error: unknown, who: string, { offset }: UrlProgress): UrlError {
  const found = error instanceof Error ? error.message : String(error);
  const message = `${who} broke off after ${offset} bytes: ${plainReason(found)}`;
  return new UrlError("broken", message, { cause: error });
}

function rangeHeaders({ offset, etag }: UrlProgress): Record<string, string> {
  if (offset === 0) return {};
  return { "Range": `bytes=${offset}-`, "If-Range": etag };
}

/**
 * Returns how many bytes of the body are known already, or undefined when there are none to come;
 * throws when it is not what was asked for.
 */
async function acceptAnswer(
  answer: UrlAnswer,
  source: UrlContents,
  passage: Passage,
): Promise<number | undefined> {
  const { response, who } = answer;
  const { status, headers } = response;
  const { progress } = passage;
  if (status === 200) return await acceptWhole(answer, source, passage);
  const range = contentRangeOf(headers);
  const isAsked = progress.offset > 0;
  if (status === 206 && isAsked) {
    if (isRest(range, headers, progress)) return 0;
    await discardBody(response);
    throw new RestartError(`${who} answered with a part of something else`);
  }
  if (status === 416 && isAsked) {
    await discardBody(response);
    // It broke off behind its last byte: of an unknown length, nobody could tell.
    if (range?.totalBytes === progress.offset && progress.totalBytes < 0) return undefined;
    throw new RestartError(`${who} has no bytes from ${progress.offset} on any more`);
  }
  throw await refusal(answer, retryAfterMs(headers, Date.now()));
}

async function acceptWhole(
  { response, who }: UrlAnswer,
  source: UrlContents,
  passage: Passage,
): Promise<number> {
  const { status, headers } = response;
  const { progress } = passage;
  const lengthBytes = contentLengthOf(headers);
  const change = changeOf(source, headers);
  if (change !== undefined) {
    await discardBody(response);
    throw new UrlError("changed", `${who} has changed: ${change}`);
  }
  if (progress.offset > 0) {
    // The server takes no ranges: of the same bytes, those that came need not be written again.
    if (isSameBytes(progress.etag, headers)) return progress.offset;
    await discardBody(response);
    throw new RestartError(`${who} changed while it was read`);
  }
  if (lengthBytes >= 0) progress.totalBytes = lengthBytes;
  progress.etag = headers.get("Accept-Ranges") === "none" ? "" : rangeValidatorOf(headers);
  const stated = statedDigestOf(status, headers);
  if (stated !== undefined) passage.check = new DigestCheck(stated);
  return 0;
}

/** Why an answer is not of the contents that were named, if it is not. */
function changeOf({ validator, sizeBytes }: UrlContents, headers: Headers): string | undefined {
  const found = statedValidatorOf(headers);
  if (validator !== "" && !agrees(validator, found)) {
    return `it was ${shownValidator(validator)} when it was named, and is ${shownValidator(found)}`;
  }
  const lengthBytes = contentLengthOf(headers);
  if (sizeBytes < 0 || lengthBytes < 0 || lengthBytes === sizeBytes) return undefined;
  return `it has ${lengthBytes} bytes where ${sizeBytes} were expected`;
}

/** True when the part is the rest of what came before. */
function isRest(
  range: ContentRange | undefined,
  headers: Headers,
  progress: UrlProgress,
): boolean {
  if (range?.startByte !== progress.offset) return false;
  if (!isSameRepresentation(progress.etag, headers)) return false;
  const { totalBytes } = progress;
  if (totalBytes < 0) progress.totalBytes = range.totalBytes;
  return totalBytes < 0 || range.totalBytes < 0 || range.totalBytes === totalBytes;
}

async function* readBody(
  response: Response,
  { passage, skipBytes, watch }: {
    readonly passage: Passage;
    readonly skipBytes: number;
    readonly watch: SilenceWatch;
  },
): AsyncGenerator<Uint8Array, void, void> {
  let leftToSkip = skipBytes;
  for await (const chunk of response.body ?? []) {
    watch.hear();
    const bytes: Uint8Array = chunk;
    const skipped = Math.min(leftToSkip, bytes.length);
    leftToSkip -= skipped;
    if (skipped === bytes.length) continue;
    const rest = skipped === 0 ? bytes : bytes.subarray(skipped);
    passage.progress.offset += rest.length;
    checkLength(passage.progress);
    passage.check?.update(rest);
    watch.pause();
    yield rest;
    watch.hear();
  }
  const { offset, totalBytes } = passage.progress;
  if (offset < totalBytes || leftToSkip > 0) {
    throw new Error(`the connection ended, of ${totalBytes} bytes`);
  }
}

function checkLength({ offset, totalBytes }: UrlProgress): void {
  const bytesMax = totalBytes >= 0 ? totalBytes : UNKNOWN_BYTES_MAX;
  if (offset <= bytesMax) return;
  throw new UrlError("wrong", `The server sent more than the ${bytesMax} bytes that it announced`);
}
