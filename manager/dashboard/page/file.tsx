/**
 * Page of one file.
 *
 * @module
 */

import type { JSX } from "preact";

/** Page of one file. */
export function File(_: { readonly id: number }): JSX.Element {
  return <h1>…</h1>;
}
