/**
 * Page "Tasks".
 *
 * @module
 */

import type { JSX } from "preact";

/** Page "Tasks". */
export function Tasks(_: { readonly params?: URLSearchParams }): JSX.Element {
  return <h1>…</h1>;
}
