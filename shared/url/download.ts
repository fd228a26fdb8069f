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
  validatorOf,
} from "./validator.ts";

/** What is wanted, and what is known of it. */
export interface UrlContents {
  readonly url: string;
  /** By which it was named (`validatorOf`): other contents are refused. Empty when it was not. */
  readonly validator: string;
  /** -1 when not known. */
  readonly sizeBytes: number;
}

/** Bytes that count as success, after which failures are counted anew. */
const PROGRESS_BYTES_MIN: number = 64 * 1024;

/** How often one download starts anew. */
const RESTARTS_MAX = 3;

/** A connection that is silent for this long is given up: some servers think before they answer. */
const SILENCE_MS_MAX = 60_000;

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

/** What came of one passage from the first byte on. */
interface Passage {
  offset: number;
  /** -1 when not known. */
  totalBytes: number;
  /** By which the rest can be asked for; empty when it cannot. */
  rangeValidator: string;
  /** Of a digest that the server states. */
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
  while (true) {
    try {
      return await take(readPassage(source, patience, signal));
    } catch (error) {
      if (!(error instanceof RestartError)) throw error;
      patience.restartCount += 1;
      if (patience.restartCount <= RESTARTS_MAX) continue;
      const message = `${error.message}, ${patience.restartCount} times`;
      throw new UrlError("broken", message, { cause: error });
    }
  }
}

async function* readPassage(
  source: UrlContents,
  patience: Patience,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const passage: Passage = {
    offset: 0,
    totalBytes: source.sizeBytes,
    rangeValidator: "",
    check: undefined,
  };
  while (true) {
    const watch = new SilenceWatch(signal, SILENCE_MS_MAX);
    const startOffset = passage.offset;
    let who = `"${shownUrl(source.url)}"`;
    try {
      const headers = rangeHeaders(passage);
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
      const failure = error instanceof UrlError ? error : brokenOff(error, who, passage);
      if (failure.kind !== "broken") throw failure;
      if (passage.offset - startOffset >= PROGRESS_BYTES_MIN) patience.failureCount = 0;
      patience.failureCount += 1;
      await waitAfter(failure, patience.failureCount, signal);
      const canGoOn = passage.offset === 0 || passage.rangeValidator !== "";
      if (!canGoOn) throw new RestartError(failure.message);
    } finally {
      watch.close();
    }
  }
}

function brokenOff(error: unknown, who: string, { offset }: Passage): UrlError {
  const found = error instanceof Error ? error.message : String(error);
  const message = `${who} broke off after ${offset} bytes: ${plainReason(found)}`;
  return new UrlError("broken", message, { cause: error });
}

function rangeHeaders({ offset, rangeValidator }: Passage): Record<string, string> {
  if (offset === 0) return {};
  return { "Range": `bytes=${offset}-`, "If-Range": rangeValidator };
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
  if (status === 200) return await acceptWhole(answer, source, passage);
  const range = contentRangeOf(headers);
  const isAsked = passage.offset > 0;
  if (status === 206 && isAsked) {
    if (isRest(range, headers, passage)) return 0;
    await discardBody(response);
    throw new RestartError(`${who} answered with a part of something else`);
  }
  if (status === 416 && isAsked) {
    await discardBody(response);
    // It broke off behind its last byte: of an unknown length, nobody could tell.
    if (range?.totalBytes === passage.offset && passage.totalBytes < 0) return undefined;
    throw new RestartError(`${who} has no bytes from ${passage.offset} on any more`);
  }
  throw await refusal(answer, retryAfterMs(headers, Date.now()));
}

async function acceptWhole(
  { response, who }: UrlAnswer,
  source: UrlContents,
  passage: Passage,
): Promise<number> {
  const { status, headers } = response;
  const lengthBytes = contentLengthOf(headers);
  const change = changeOf(source, headers);
  if (change !== undefined) {
    await discardBody(response);
    throw new UrlError("changed", `${who} has changed: ${change}`);
  }
  if (passage.offset > 0) {
    // The server takes no ranges: of the same bytes, those that came need not be written again.
    if (isSameBytes(passage.rangeValidator, headers)) return passage.offset;
    await discardBody(response);
    throw new RestartError(`${who} changed while it was read`);
  }
  if (lengthBytes >= 0) passage.totalBytes = lengthBytes;
  passage.rangeValidator = headers.get("Accept-Ranges") === "none" ? "" : rangeValidatorOf(headers);
  const stated = statedDigestOf(status, headers);
  if (stated !== undefined) passage.check = new DigestCheck(stated);
  return 0;
}

/** Why an answer is not of the contents that were named, if it is not. */
function changeOf({ validator, sizeBytes }: UrlContents, headers: Headers): string | undefined {
  const found = validatorOf(headers);
  if (validator !== "" && !agrees(validator, found)) {
    return `it was ${shownValidator(validator)} when it was named, and is ${shownValidator(found)}`;
  }
  const lengthBytes = contentLengthOf(headers);
  if (sizeBytes < 0 || lengthBytes < 0 || lengthBytes === sizeBytes) return undefined;
  return `it has ${lengthBytes} bytes where ${sizeBytes} were expected`;
}

/** True when the part is the rest of what came before. */
function isRest(range: ContentRange | undefined, headers: Headers, passage: Passage): boolean {
  if (range?.startByte !== passage.offset) return false;
  if (!isSameRepresentation(passage.rangeValidator, headers)) return false;
  const { totalBytes } = passage;
  if (totalBytes < 0) passage.totalBytes = range.totalBytes;
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
    passage.offset += rest.length;
    checkLength(passage);
    passage.check?.update(rest);
    yield rest;
  }
  const { offset, totalBytes } = passage;
  if (offset < totalBytes || leftToSkip > 0) {
    throw new Error(`the connection ended, of ${totalBytes} bytes`);
  }
}

function checkLength({ offset, totalBytes }: Passage): void {
  const bytesMax = totalBytes >= 0 ? totalBytes : UNKNOWN_BYTES_MAX;
  if (offset <= bytesMax) return;
  throw new UrlError("wrong", `The server sent more than the ${bytesMax} bytes that it announced`);
}
