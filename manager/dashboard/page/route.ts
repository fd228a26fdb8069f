/**
 * Which page an address means: all of it stands in the fragment, so that a link reproduces what is
 * seen, and so that the page works from a file too.
 *
 * @module
 */

/** A page, and what of it. */
export interface Route {
  /** First part of the path; empty is the overview. */
  readonly page: string;
  /** Second part, as the number of a task. */
  readonly id: string | undefined;
  readonly params: URLSearchParams;
}

/** A one-time token is longer, so that no name of a page is taken for one. */
const TOKEN_LENGTH_MIN = 16;

/** Reads the fragment of an address, with or without its `#`. */
export function readRoute(hash: string): Route {
  const [path = "", query = ""] = splitOnce(hash.replace(/^#?\/?/, ""), "?");
  const [page = "", id] = path.split("/").map(decode);
  return { page, id: id === "" ? undefined : id, params: new URLSearchParams(query) };
}

/** The fragment of a page, with its `#`. */
export function hrefOf(page: string, id?: string | number, params?: URLSearchParams): string {
  const path = id === undefined ? page : `${page}/${encodeURIComponent(id)}`;
  const query = params?.toString() ?? "";
  return `#/${path}${query === "" ? "" : `?${query}`}`;
}

/** Returns the parameters with some set, and without those that are set to nothing. */
export function withParams(
  params: URLSearchParams,
  changes: { readonly [name: string]: string | undefined },
): URLSearchParams {
  const changed = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === "") changed.delete(name);
    else changed.set(name, value);
  }
  return changed;
}

/** Changes parameters of the address without a new entry in the history: back leads on. */
export function changeParams(
  page: string,
  params: URLSearchParams,
  changes: { readonly [name: string]: string | undefined },
): void {
  location.replace(hrefOf(page, undefined, withParams(params, changes)));
}

/** The one-time token that a link carries in its fragment, or that a person pasted. */
export function readToken(text: string): string | undefined {
  const fragment = text.includes("#") ? text.slice(text.indexOf("#") + 1) : text;
  const token = fragment.trim().replace(/^token=/, "");
  return token.length >= TOKEN_LENGTH_MIN && /^[\w.~+=-]+$/.test(token) ? token : undefined;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** A broken escape is taken as it is: it is shown as something that is not there. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
