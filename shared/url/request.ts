/**
 * One request to a url of a user: redirects are followed here, since what a runtime's `fetch` does
 * with credentials on the way differs.
 *
 * What the url says of its user goes to its own host only, as `Authorization: Basic`, and into no
 * message. No cookies are kept. Certificates are those that the runtime trusts, proxies those that
 * the environment names.
 *
 * @module
 */

import { shownUrl } from "./address.ts";
import { isPassingStatus } from "./retry.ts";

/** What is asked. */
export interface UrlRequest {
  readonly method: "GET" | "HEAD" | "PUT";
  readonly headers: { readonly [name: string]: string };
  readonly signal: AbortSignal;
  /** Opens the body of a PUT, anew for each server that it is sent to. */
  readonly openBody?: () => BodyInit | Promise<BodyInit>;
}

/** The answer of the server that was asked last. */
export interface UrlAnswer {
  readonly response: Response;
  /** Who answered, for a message: `"https://a/x" led to "https://b/y", which`. */
  readonly who: string;
  /** What was sent there and is not to be shown, should the answer repeat it. */
  readonly secrets: readonly string[];
}

/** Why a url cannot be had, or written. */
export class UrlError extends Error {
  override readonly name = "UrlError";
  /**
   * `broken` may hold another time; what was `refused` or is `wrong` stays so; `changed` contents
   * are not those that were named.
   */
  readonly kind: "broken" | "refused" | "wrong" | "changed";
  /** Before this has passed another request is of no use. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: UrlError["kind"],
    message: string,
    { cause, retryAfterMs }: { cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, { cause });
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Redirects of one request. */
const REDIRECTS_MAX = 10;

const REDIRECT_STATUSES: readonly number[] = [301, 302, 303, 307, 308];

/** Those that have a PUT repeated elsewhere; RFC 9110, section 15.4. */
const KEEPING_STATUSES: readonly number[] = [307, 308];

/** Bytes of an answer that are looked at for a message. */
const ANSWER_BYTES_MAX = 2048;

/** Characters of it that are shown. */
const LINE_CHARS_MAX = 200;

/** Asks `text`, and who it leads to; throws UrlError, or what the signal was aborted with. */
export async function requestUrl(text: string, request: UrlRequest): Promise<UrlAnswer> {
  const first = new URL(text);
  const authorization = takeUser(first);
  let url = first;
  let who = `"${shownUrl(url.href)}"`;
  const secrets = secretsOf(new URL(text), authorization);
  for (let redirectCount = 0;; redirectCount++) {
    const isOwn = url.origin === first.origin;
    const response = await ask(url, request, isOwn ? authorization : undefined);
    if (!REDIRECT_STATUSES.includes(response.status)) return { response, who, secrets };
    await discardBody(response);
    const { status, headers } = response;
    const location = headers.get("Location") ?? "";
    url = redirectTarget({ first, url, method: request.method, status, location }, who);
    secrets.push(...secretsOf(url, undefined));
    const to = shownUrl(url.href);
    if (redirectCount >= REDIRECTS_MAX) {
      throw new UrlError("refused", `${who} leads on to "${to}" after ${REDIRECTS_MAX} redirects`);
    }
    who = `"${shownUrl(text)}" led to "${to}", which`;
  }
}

/** Where a redirect from `url` leads; throws UrlError where it must not be followed. */
export function redirectTarget(
  { first, url, method, status, location }: {
    /** That of the user. */
    readonly first: URL;
    readonly url: URL;
    readonly method: UrlRequest["method"];
    readonly status: number;
    readonly location: string;
  },
  who: string,
): URL {
  if (location === "" || !URL.canParse(location, url.href)) {
    throw new UrlError("refused", `${who} answered ${status} and does not say where to go on`);
  }
  const target = new URL(location, url.href);
  // What a server writes there is not what the user has given.
  target.username = "";
  target.password = "";
  target.hash = "";
  const to = shownUrl(target.href);
  if (target.protocol !== "http:" && target.protocol !== "https:") {
    throw new UrlError("refused", `${who} leads to "${to}", which is no http:// or https:// url`);
  }
  if (target.protocol === "http:" && first.protocol === "https:") {
    throw new UrlError("refused", `${who} leads to "${to}", which is not encrypted`);
  }
  if (method === "PUT" && !KEEPING_STATUSES.includes(status)) {
    throw new UrlError("refused", `${who} answered ${status}, which takes no PUT elsewhere`);
  }
  return target;
}

/** An answer that is no success, as a message tells it: its status and its first line. */
export async function describeAnswer({ response, who, secrets }: UrlAnswer): Promise<string> {
  const { status, statusText } = response;
  const line = hide(await firstLine(response), secrets).slice(0, LINE_CHARS_MAX);
  const said = line === "" || line === statusText ? "" : `: ${line}`;
  return `${who} answered ${`${status} ${statusText}`.trim()}${said}`;
}

/** The error for an answer that is no success. */
export async function refusal(answer: UrlAnswer, retryAfterMs?: number): Promise<UrlError> {
  const kind = isPassingStatus(answer.response.status) ? "broken" : "refused";
  return new UrlError(kind, await describeAnswer(answer), { retryAfterMs });
}

/** Ends an answer whose body is of no use. */
export async function discardBody(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {
    // The connection is gone, and the body with it.
  });
}

async function ask(
  url: URL,
  { method, headers, signal, openBody }: UrlRequest,
  authorization: string | undefined,
): Promise<Response> {
  const body = await openBody?.();
  const init = {
    method,
    // Other encodings have other lengths and other ETags than what is stored.
    headers: {
      ...headers,
      "Accept-Encoding": "identity",
      ...(authorization === undefined ? {} : { Authorization: authorization }),
    },
    redirect: "manual",
    signal,
    // Of Bun: what is encoded all the same is kept as it is, as Deno does with the header above.
    decompress: false,
    ...(body === undefined ? {} : { body, duplex: "half" }),
  };
  try {
    return await fetch(url.href, init as RequestInit);
  } catch (error) {
    // Also what the body of a PUT threw.
    if (signal.aborted || error instanceof UrlError) throw error;
    // Without its cause, which shows the whole url.
    throw new UrlError("broken", `Cannot ask "${shownUrl(url.href)}": ${found(error, url)}`);
  }
}

/** Takes user and password out of `url`; returns them as a server wants them. */
function takeUser(url: URL): string | undefined {
  const { username, password } = url;
  url.username = "";
  url.password = "";
  if (username === "" && password === "") return undefined;
  const text = `${decoded(username)}:${decoded(password)}`;
  return `Basic ${Buffer.from(text, "utf8").toString("base64")}`;
}

/** Shorter words of a query would take what is none of it out of a message. */
const SECRET_CHARS_MIN = 5;

/** What a server may repeat of a request: as it was sent, and as it is read. */
function secretsOf(
  { search, searchParams, password }: URL,
  authorization: string | undefined,
): string[] {
  const words = search.slice(1).split("&").map((part) => part.replace(/^[^=]*=/, ""));
  return [
    authorization?.replace(/^Basic /, "") ?? "",
    password,
    decoded(password),
    ...words,
    ...searchParams.values(),
  ].filter((secret) => secret.length >= SECRET_CHARS_MIN);
}

/** `text` without these; the longest first, as one may hold another. */
function hide(text: string, secrets: readonly string[]): string {
  const known = [...secrets].sort((a, b) => b.length - a.length);
  return known.reduce((left, secret) => left.replaceAll(secret, "…"), text);
}

/** A percent sign that escapes nothing stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function firstLine(response: Response): Promise<string> {
  const type = response.headers.get("Content-Type") ?? "text/plain";
  const isText = /^(?:text\/plain|application\/(?:[a-z.+-]*\+)?(?:json|xml)|text\/xml)\b/i.test(
    type,
  );
  if (!isText || response.headers.has("Content-Encoding")) {
    await discardBody(response);
    return "";
  }
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      parts.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes >= ANSWER_BYTES_MAX) break;
    }
  } catch {
    // What came of it is shown.
  }
  const text = Buffer.concat(parts).subarray(0, ANSWER_BYTES_MAX).toString();
  const line = text.split(/[\r\n]/).find((part) => part.trim() !== "")?.trim() ?? "";
  return line.replace(/[^\x20-\x7e\xa0-\uffff]/g, "");
}

/** What a runtime says of a failure, without its advice to programmers. */
export function plainReason(message: string): string {
  return message.replace(/[.;] For more information.*$/s, "");
}

/** What failed, in the words of the runtime, without what it shows of the url. */
function found(error: unknown, url: URL): string {
  if (!(error instanceof Error)) return String(error);
  // Deno says "fetch failed", and what failed in the cause.
  const { message } = error.cause instanceof Error ? error.cause : error;
  return plainReason(message.replaceAll(url.href, shownUrl(url.href)));
}
