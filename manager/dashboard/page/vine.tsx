/**
 * Page "Vine".
 *
 * @module
 */

import type { JSX } from "preact";

/** Page "Vine". */
export function VinePage(_: { readonly params: URLSearchParams }): JSX.Element {
  return <h1>…</h1>;
}
