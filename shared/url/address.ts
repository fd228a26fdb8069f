/** Urls as users give them: what is fetched of them, and what may be shown. */

/** Characters of a url: what workers take in a message. */
export const URL_CHARS_MAX = 4096;

const DEFAULT_PORTS: { readonly [protocol: string]: string } = { "https:": "443", "ftp:": "21" };

/** Schemes of files that workers fetch and store. */
const SCHEMES: readonly string[] = ["http:", "https:", "ftp:", "file:"];

/**
 * `text` as a url of a file, without its fragment, which is never sent.
 *
 * @throws {TypeError | RangeError} When it is none; the message shows no secret of it.
 */
export function parseFileUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !SCHEMES.includes(url.protocol)) {
    throw new TypeError(
      `Cannot declare "${shownUrl(text)}" as a url: expected http://, https://, ftp:// or file://`,
    );
  }
  url.hash = "";
  if (url.href.length <= URL_CHARS_MAX) return url;
  throw new RangeError(
    `Cannot declare "${shownUrl(text).slice(0, 60)}..." as a url: ` +
      `it has ${url.href.length} characters, ${URL_CHARS_MAX} at most are taken`,
  );
}

/** A url without what may be a secret: its user, its query and its fragment. */
export function shownUrl(text: string): string {
  if (!URL.canParse(text)) return text.replace(/[?#].*$/s, "").replace(/^(.*?\/\/)?.*@/s, "$1");
  const { protocol, host, pathname } = new URL(text);
  // What has no host has no user either, unless it is written where a path is.
  const path = host === "" && protocol !== "file:" ? pathname.replace(/^.*@/s, "") : pathname;
  return `${protocol}//${host}${path}`;
}

/** Host and port of a url, by which requests are counted; empty of a file. */
export function hostOfUrl(text: string): string {
  const { protocol, hostname, port } = new URL(text);
  if (protocol === "file:") return "";
  return `${hostname}:${port || (DEFAULT_PORTS[protocol] ?? "80")}`;
}
