/**
 * Page "Timeline".
 *
 * @module
 */

import type { JSX } from "preact";

/** Page "Timeline". */
export function Timeline(_: { readonly params: URLSearchParams }): JSX.Element {
  return <h1>…</h1>;
}
