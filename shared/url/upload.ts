/** Files on their way to a server. */

import { SilenceWatch } from "../silence_watch.ts";
import { streamOf } from "../stream.ts";
import { shownUrl } from "./address.ts";
import { isFtpUrl, storeFtp } from "./ftp.ts";
import { waitAfter } from "./patience.ts";
import { discardBody, refusal, requestUrl, UrlError } from "./request.ts";
import { retryAfterMs } from "./retry.ts";

/** What is to be stored. */
export interface UploadBody {
  readonly sizeBytes: number;
  /** Opens it from its first byte. */
  readonly open: () => AsyncIterable<Uint8Array>;
}

/** A server that takes no bytes, or does not answer, for this long is given up. */
const SILENCE_MS_MAX = 120_000;

/**
 * Stores a file across broken connections and busy servers.
 *
 * @throws {UrlError} When it is not there; or what the signal was aborted with.
 */
export async function uploadUrl(url: string, body: UploadBody, signal: AbortSignal): Promise<void> {
  for (let failureCount = 1;; failureCount++) {
    try {
      return await putUrl(url, body, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof UrlError) || error.kind !== "broken") throw error;
      await waitAfter(error, failureCount, signal);
    }
  }
}

/** One attempt: a PUT, or by FTP; throws UrlError, or what the owner's signal was aborted with. */
export async function putUrl(url: string, body: UploadBody, owner: AbortSignal): Promise<void> {
  const watch = new SilenceWatch(owner, SILENCE_MS_MAX);
  try {
    if (isFtpUrl(url)) await storeFtp(url, body, watch);
    else await put(url, body, watch);
  } catch (error) {
    owner.throwIfAborted();
    if (error instanceof UrlError) throw error;
    const found = error instanceof Error ? error.message : String(error);
    throw new UrlError("broken", `"${shownUrl(url)}": ${found}`, { cause: error });
  } finally {
    watch.close();
  }
}

async function put(url: string, { sizeBytes, open }: UploadBody, watch: SilenceWatch) {
  const answer = await requestUrl(url, {
    method: "PUT",
    headers: {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(sizeBytes),
    },
    signal: watch.signal,
    openBody: () => streamOf(heard(open(), watch)),
  });
  if (!answer.response.ok) {
    throw await refusal(answer, retryAfterMs(answer.response.headers, Date.now()));
  }
  await discardBody(answer.response);
}

async function* heard(
  chunks: AsyncIterable<Uint8Array>,
  watch: SilenceWatch,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    watch.hear();
    yield chunk;
  }
}
