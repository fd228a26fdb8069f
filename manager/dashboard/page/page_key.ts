/**
 * The key of this browser's session, which is shown with each request besides the cookie: browsers
 * send cookies to the servers at all ports of a host, where others may read them, and what a page
 * keeps to itself they do not send at all.
 *
 * @module
 */

const NAME = "tendril-session-key";

/** Of a browser that keeps nothing. */
let kept: string | undefined;

/** Keeps it, for all pages of this manager. */
export function keepKey(key: string): void {
  kept = key;
  try {
    localStorage.setItem(NAME, key);
  } catch {
    // Then it is asked for again when the page is loaded anew.
  }
}

/** The key; undefined before there is a session. */
export function readKey(): string | undefined {
  try {
    return localStorage.getItem(NAME) ?? kept;
  } catch {
    return kept;
  }
}
