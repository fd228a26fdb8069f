/**
 * Page "Workers".
 *
 * @module
 */

import type { JSX } from "preact";

/** Page "Workers". */
export function Workers(_: { readonly params?: URLSearchParams }): JSX.Element {
  return <h1>…</h1>;
}
