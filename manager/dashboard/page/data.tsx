/**
 * Page "Data".
 *
 * @module
 */

import type { JSX } from "preact";

/** Page "Data". */
export function Data(_: { readonly params: URLSearchParams }): JSX.Element {
  return <h1>…</h1>;
}
