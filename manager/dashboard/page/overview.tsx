/**
 * Page "Overview".
 *
 * @module
 */

import type { JSX } from "preact";

/** Page "Overview". */
export function Overview(_: { readonly params?: URLSearchParams }): JSX.Element {
  return <h1>…</h1>;
}
