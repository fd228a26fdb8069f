/**
 * Page "Graph".
 *
 * @module
 */

import type { JSX } from "preact";

/** Page "Graph". */
export function GraphPage(_: { readonly params: URLSearchParams }): JSX.Element {
  return <h1>…</h1>;
}
