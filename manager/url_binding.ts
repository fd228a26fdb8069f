/**
 * Finds the names of urls that outlive the workflow: asks their server what identifies the
 * contents, by HEAD, or by a GET of one byte where that is refused. Where it says nothing the
 * contents are fetched and hashed. Urls of the workflow alone are named without a question.
 *
 * @module
 */

import { createHash, createHmac } from "node:crypto";
import { fileURLToPath } from "node:url";

import { fileContentName } from "../shared/cache_name.ts";
import { stampOf, stampValidator } from "../shared/file_stamp.ts";
import type { CacheName } from "../shared/ids.ts";
import type { CacheLevel } from "../shared/task.ts";
import { shownUrl } from "../shared/url/address.ts";
import { contentLengthOf, contentRangeOf } from "../shared/url/content_range.ts";
import { downloadUrl } from "../shared/url/download.ts";
import { isFtpUrl } from "../shared/url/ftp.ts";
import { waitAfter } from "../shared/url/patience.ts";
import {
  discardBody,
  refusal,
  requestUrl,
  type UrlAnswer,
  UrlError,
} from "../shared/url/request.ts";
import { isPassingStatus, retryAfterMs } from "../shared/url/retry.ts";
import { statedDigestOf } from "../shared/url/stated_digest.ts";
import { canName, statedValidatorOf } from "../shared/url/validator.ts";
import type { BoundFile } from "./core/event.ts";
import { bindLocal, FileMissingError, hashText, messageOf, suffixOf } from "./file_binding.ts";

/** A url that says nothing for this long cannot be had. */
const ANSWER_MS_MAX = 30_000;

/** A url as it is to be named. */
export interface NamedUrl {
  readonly url: string;
  readonly level: CacheLevel;
  /** SHA-256 that the user states; empty when not known. */
  readonly sha256: string;
  /** The user wants it to be run. */
  readonly isExecutable: boolean;
  /** Of the names that belong to one workflow. */
  readonly workflowId: string;
  /** Random per manager: a name must not help to guess the password of its url. */
  readonly salt: Uint8Array;
  readonly signal: AbortSignal;
}

/** Names a url; throws FileMissingError when it must be asked and cannot be had. */
export async function bindUrl(named: NamedUrl): Promise<BoundFile> {
  const { url, level, sha256, isExecutable } = named;
  if (sha256 !== "") {
    const name = fileContentName(sha256, { isExecutable });
    return { name, sizeBytes: -1, digest: sha256, isDirectory: false, isExecutable };
  }
  if (level === "task" || level === "workflow") return bindUnasked(named);
  try {
    if (url.startsWith("file:")) return await bindFileUrl(named);
    // Servers of files say nothing that would tell one version from another for good.
    if (isFtpUrl(url)) return await bindContents(named);
    return await bindByServer(named);
  } catch (error) {
    if (error instanceof FileMissingError) throw error;
    throw new FileMissingError(`Cannot name url "${shownUrl(url)}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Named by itself: what it has may be anything, but is the same for the whole workflow. */
function bindUnasked({ url, workflowId, isExecutable, salt }: NamedUrl): BoundFile {
  const text = JSON.stringify([url, workflowId]);
  const { password } = new URL(url);
  const hash = password === ""
    ? hashText(text)
    : createHmac("sha256", salt).update(text).digest("hex");
  return nameless(`url-${hash}`, isExecutable);
}

async function bindByServer(named: NamedUrl): Promise<BoundFile> {
  const { url, isExecutable, signal } = named;
  const { headers, status, sizeBytes } = await askServer(url, signal);
  const stated = statedDigestOf(status, headers);
  if (stated?.algorithm === "sha256") {
    const { digest } = stated;
    const name = fileContentName(digest, { isExecutable });
    return { name, sizeBytes, digest, isDirectory: false, isExecutable };
  }
  if (!canName(headers)) return await bindContents(named);
  const validator = statedValidatorOf(headers, sizeBytes);
  const name = validatedName(url, validator);
  return { ...nameless(name, isExecutable), sizeBytes, validator };
}

/** A path of the workers, which must be there here as well: it is on a disk that they share. */
async function bindFileUrl({ url }: NamedUrl): Promise<BoundFile> {
  const path = fileURLToPath(url);
  const stamp = await stampOf(path).catch((cause: unknown) => {
    throw new FileMissingError(
      `Cannot name url "${shownUrl(url)}" for longer than the workflow: the manager cannot read ` +
        `"${path}" (${messageOf(cause)}); state its sha256`,
      { cause },
    );
  });
  // What is in a directory does not show in its own time.
  if (stamp.isDirectory) return (await bindLocal(path, "forever")).bound;
  const validator = stampValidator(stamp);
  const name = validatedName(url, validator);
  return { ...nameless(name, stamp.isExecutable), sizeBytes: stamp.sizeBytes, validator };
}

async function bindContents({ url, isExecutable, signal }: NamedUrl): Promise<BoundFile> {
  const source = { url, validator: "", sizeBytes: -1, silenceMsMax: ANSWER_MS_MAX };
  const { sizeBytes, digest } = await downloadUrl(source, signal, async (chunks) => {
    const hash = createHash("sha256");
    let sizeBytes = 0;
    for await (const chunk of chunks) {
      hash.update(chunk);
      sizeBytes += chunk.length;
    }
    return { sizeBytes, digest: hash.digest("hex") };
  });
  const name = fileContentName(digest, { isExecutable });
  return { name, sizeBytes, digest, isDirectory: false, isExecutable };
}

interface Told {
  readonly status: number;
  readonly headers: Headers;
  /** Of the whole; -1 when not told. */
  readonly sizeBytes: number;
}

/** What the server says of the contents, without them. */
async function askServer(url: string, signal: AbortSignal): Promise<Told> {
  for (let failureCount = 1;; failureCount++) {
    try {
      return await askOnce(url, signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = asUrlError(error, url);
      if (failure.kind !== "broken") throw failure;
      await waitAfter(failure, failureCount, signal);
    }
  }
}

/** Servers that know no HEAD, or do not allow it, say so in many ways: then a GET decides. */
async function askOnce(url: string, signal: AbortSignal): Promise<Told> {
  const head = await ask(url, "HEAD", signal);
  if (head.response.ok || isPassingStatus(head.response.status)) return await toldBy(head);
  await discardBody(head.response);
  const part = await ask(url, "GET", signal, { Range: "bytes=0-0" });
  // Of nothing there is no first byte.
  if (part.response.status !== 416) return await toldBy(part);
  await discardBody(part.response);
  return await toldBy(await ask(url, "GET", signal));
}

async function ask(
  url: string,
  method: "HEAD" | "GET",
  owner: AbortSignal,
  headers: { readonly [name: string]: string } = {},
): Promise<UrlAnswer> {
  const signal = AbortSignal.any([owner, AbortSignal.timeout(ANSWER_MS_MAX)]);
  return await requestUrl(url, { method, headers, signal });
}

async function toldBy(answer: UrlAnswer): Promise<Told> {
  const { status, headers } = answer.response;
  if (status !== 200 && status !== 206) {
    throw await refusal(answer, retryAfterMs(headers, Date.now()));
  }
  await discardBody(answer.response);
  const sizeBytes = status === 206
    ? contentRangeOf(headers)?.totalBytes ?? -1
    : contentLengthOf(headers);
  // To HEAD some servers answer with the length of the answer.
  return { status, headers, sizeBytes: sizeBytes === 0 ? -1 : sizeBytes };
}

function asUrlError(error: unknown, url: string): UrlError {
  if (error instanceof UrlError) return error;
  const message = `"${shownUrl(url)}" said nothing for ${ANSWER_MS_MAX} ms`;
  return new UrlError("broken", message, { cause: error });
}

/** Of one document, whoever asks for it: not of the user who does. */
function validatedName(text: string, validator: string): string {
  const url = new URL(text);
  url.username = "";
  url.password = "";
  return `url-${hashText(JSON.stringify([url.href, validator]))}`;
}

function nameless(name: string, isExecutable: boolean): BoundFile {
  return {
    name: `${name}${suffixOf(isExecutable)}` as CacheName,
    sizeBytes: -1,
    digest: "",
    isDirectory: false,
    isExecutable,
  };
}
