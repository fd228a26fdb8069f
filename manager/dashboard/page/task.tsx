/**
 * Page of one task.
 *
 * @module
 */

import type { JSX } from "preact";

/** Page of one task. */
export function Task(_: { readonly id: number }): JSX.Element {
  return <h1>…</h1>;
}
